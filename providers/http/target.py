"""Where a request goes: an absolute URL taken apart once, and the bytes of its head.

Law: nothing that a caller or a configuration put into a URL or a header can end the line it stands in.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote, urlsplit

_PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: What may stand in a request target as it is: reserved and unreserved characters, and escapes.
_SAFE = "/%:?#[]@!$&'()*+,;=-._~"


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is connected to: requests to the same peer may share a connection. A `proxy` stands in between."""

    scheme: str
    host: str
    port: int
    proxy: str | None


@dataclass(frozen=True, slots=True)
class Target:
    """A URL."""

    peer: Peer
    host: str
    """The value of the Host header."""
    path: str
    """What is asked for: path and query, or the whole URL for a proxy that passes requests on."""
    headers: tuple[tuple[str, str], ...]
    """Credentials of the URL or its proxy."""


def target_of(url: str, proxy: str | None) -> Target:
    """Take `url` apart. Raises ValueError when it is not an absolute HTTP URL."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("not an absolute http or https URL")
    port = parts.port or _PORTS[parts.scheme]
    host = parts.hostname.encode("idna").decode("ascii") if not parts.hostname.isascii() else parts.hostname
    shown = f"[{host}]" if ":" in host else host
    if port != _PORTS[parts.scheme]:
        shown = f"{shown}:{port}"
    path = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        path = f"{path}?{quote(parts.query, safe=_SAFE)}"
    headers = [("authorization", found)] if (found := credentials(parts)) else []
    if proxy is not None and parts.scheme == "http":
        path = f"http://{shown}{path}"
        if found := credentials(urlsplit(proxy)):
            headers.append(("proxy-authorization", found))
    return Target(Peer(parts.scheme, host, port, proxy), shown, path, tuple(headers))


def credentials(parts: SplitResult) -> str | None:
    """What the user and password of a URL are in a header."""
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + b64encode(pair.encode()).decode()


def head_of(method: str, target: Target, headers: Iterable[tuple[str, str]]) -> bytes:
    """The request line and headers, without the length and the empty line. Raises ValueError for what is malformed.

    The first header of a name by which the gateway describes itself (`user-agent`, `accept-encoding`) must stand
    before its default: a name of those two is sent once.
    """
    lines = [f"{method} {target.path} HTTP/1.1", f"host: {target.host}"]
    once: set[str] = set()
    for name, value in (*headers, *target.headers):
        key = name.lower()
        if key in _ONCE:
            if key in once:
                continue
            once.add(key)
        if not _TOKEN.fullmatch(name):
            raise ValueError("a header name is malformed")
        lines.append(f"{name}: {value}")
    text = "\r\n".join(lines)
    if text.count("\r") != len(lines) - 1 or text.count("\n") != len(lines) - 1 or "\0" in text:
        raise ValueError("a header would not end where it should")
    return text.encode()


_ONCE = {"user-agent", "accept-encoding", "authorization"}
