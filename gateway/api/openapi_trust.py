"""Errors of the addresses of keys and of administration in the OpenAPI document, beside those that all have."""

_AWAY = {"503": "The database is not available right now."}
_NONE = {"404": "There is no such key."}
_REVOKED = {"409": "The key is revoked."}
_WRONG = {"422": "The key names what there is not; `error.problems` lists all of it."}
_TAKEN = {"409": "The name is taken, or there is no administrator with a key."}
_ERRORS = {
    ("post", "/api/keys"): _TAKEN | _WRONG,
    ("get", "/api/keys/{key_id}"): _NONE,
    ("patch", "/api/keys/{key_id}"): _NONE | _REVOKED | _WRONG,
    ("delete", "/api/keys/{key_id}"): _NONE,
    ("post", "/api/keys/{key_id}/rotate"): _NONE | _REVOKED,
}
_RELOAD = {
    "409": "Another reload is under way, or this gateway was not started by `steelyard serve`.",
    "422": "The settings are wrong, or nothing starts with them: `error.problems` lists why. The old ones stay.",
    "503": "The process that was asked is about to end; ask again.",
}


def further(verb: str, path: str) -> dict[str, str]:
    """The errors of an operation; empty for what is not of here."""
    if path == "/api/admin/reload":
        return _RELOAD
    return {**_ERRORS.get((verb, path), {}), **_AWAY} if path.startswith("/api/keys") else {}
