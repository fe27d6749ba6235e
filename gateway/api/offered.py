"""Where a request says whose it is: the key it offers, and the address it comes from."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

#: Addresses of Google's, whose clients may put the key in the URL.
_KEY_IN_QUERY = "/v1beta/"


def api_key(headers: dict[bytes, bytes]) -> str | None:
    """The caller's key: `Authorization: Bearer`, `x-api-key` or `x-goog-api-key`, in this order."""
    bearer = headers.get(b"authorization", b"")
    if bearer[:7].lower() == b"bearer ":
        return bearer[7:].strip().decode("latin-1")
    for name in (b"x-api-key", b"x-goog-api-key"):
        if value := headers.get(name):
            return value.strip().decode("latin-1")
    return None


def offered_key(headers: dict[bytes, bytes], path: str, query: bytes) -> str | None:
    """The caller's key on an ordinary route: in a header, or below Google's addresses in the URL."""
    key = api_key(headers)
    return key_in(query) if key is None and path.startswith(_KEY_IN_QUERY) else key


def address_of(scope: Mapping[str, Any]) -> str:
    """Where the connection comes from; empty where it has no address."""
    client = scope.get("client")
    return client[0] if client else ""


def key_in(query: bytes) -> str | None:
    """The key in a query string, where Google's older clients put it."""
    return dict(parse_qsl(query.decode("latin-1"))).get("key")
