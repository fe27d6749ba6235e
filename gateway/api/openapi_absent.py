"""In the OpenAPI document: what is answered to whoever names what there is not, or asks while the database is away.

Litestar knows of neither: both are said from within.
"""

_AWAY = {"503": "The database is not available right now."}
_REQUEST = {"404": "There is no such request, or it is not yours."}
_SCHEDULE = {"404": "There is no such schedule, or it is not yours."}
_SESSION = {"404": "There is no such session, or it is not yours."}
_RESPONSE = {"404": "There is no such response, or it is not yours."}
_MODEL = {"404": "There is no such model, or this key may not use it."}
_FURTHER = {
    ("get", "/api/db/requests/{request_id}"): _REQUEST | _AWAY,
    ("get", "/api/llm/dwa/explain/{request_id}"): _REQUEST | _AWAY,
    ("get", "/api/llm/dwa/best-provider"): _MODEL,
    ("post", "/api/llm/dwa/reset"): {"404": "There is no such provider or deployment."},
    ("get", "/api/schedules/{schedule_id}"): _SCHEDULE | _AWAY,
    ("patch", "/api/schedules/{schedule_id}"): _SCHEDULE
    | _AWAY
    | {"422": "The line, the time zone or the inputs mean nothing; `error.problems` lists all that is wrong."},
    ("delete", "/api/schedules/{schedule_id}"): _SCHEDULE | _AWAY,
    ("get", "/api/sessions/{session_id}"): _SESSION | _AWAY,
    ("delete", "/api/sessions/{session_id}"): _SESSION | _AWAY,
    ("get", "/v1/responses/{response_id}"): _RESPONSE | _AWAY,
    ("delete", "/v1/responses/{response_id}"): _RESPONSE | _AWAY,
    ("get", "/v1/responses/{response_id}/input_items"): _RESPONSE | _AWAY,
    ("post", "/v1/responses/{response_id}/cancel"): _RESPONSE | _AWAY,
    ("get", "/v1/models/{name}"): _MODEL,
    ("get", "/v1beta/models/{name}"): _MODEL,
}
#: What is there as soon as it is named.
_MADE_BY_NAME = {("put", "/api/workflows/{slug}")}


def further(verb: str, path: str) -> dict[str, str]:
    """The errors of an operation; empty for what is not of here."""
    # Whatever stands for a name, one with a slash leads to no operation at all.
    nowhere = {"404": "There is nothing at this address."} if (verb, path) in _MADE_BY_NAME else {}
    return _FURTHER.get((verb, path), nowhere)
