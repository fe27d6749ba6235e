"""Web pages of other sites, which must not spend the money of a gateway that asks nobody for a key.

A browser sends a page's POST to any address it can reach, `localhost` included, without asking first, as long as the
request is one that a form could make: by its content type, and without a header of the page's own. The page does not
see the answer, but it has been paid for. Anything else the browser asks about beforehand (a preflight, `OPTIONS`), and
no address of the gateway grants it: what arrives as JSON, or with a key, was sent by no foreign page. So the one kind
alone is refused, and pages whose own server, or a development proxy, hands on JSON with their `Origin` are served.

A page may also have its own name point to this machine (DNS rebinding): then the browser takes the gateway for the
page's own server, and lets it read, too. What it cannot do is to ask by another name. So a gateway that asks nobody for
a key, as nobody but this machine reaches it, answers only who asks for this machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.errors import Forbidden

#: What a page may send anywhere without asking first ("CORS-safelisted request-header", https://fetch.spec.whatwg.org);
#: a body without a type is one of them.
_UNASKED = frozenset({b"", b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data"})
#: Headers that hold a key, which no page may send without asking first.
_KEYS = (b"authorization", b"x-api-key", b"x-goog-api-key")
#: This machine's names, which no page of another can have: those of RFC 6761, and of containers for their host.
_HERE = re.compile(
    rb"(?:(?:[a-z0-9-]+\.)*localhost|127(?:\.[0-9]{1,3}){3}|\[(?:::1|0:0:0:0:0:0:0:1|::ffff:127(?:\.[0-9]{1,3}){3})\]"
    rb"|host\.(?:docker|containers)\.internal|gateway\.docker\.internal)\.?(?::[0-9]{1,5})?"
)


def require_own_page(headers: Mapping[bytes, bytes]) -> None:
    """Raise `Forbidden` for what a page of another site may have sent, of a caller who needed no key."""
    origin = headers.get(b"origin")
    if origin is None or headers.get(b"content-type", b"").partition(b";")[0].strip().lower() not in _UNASKED:
        return
    if any(name in headers for name in _KEYS):
        return
    # A sandboxed page's origin is `null`, which is nobody's.
    if origin.partition(b"://")[2].lower() == headers.get(b"host", b"").lower() != b"":
        return
    raise Forbidden(
        f"A web page of {origin.decode('latin-1')[:200]!r} asked without a key, as any page could at your expense. "
        "Send 'content-type: application/json' from a server of yours, or set a key (STEELYARD_API_KEYS) and send it.",
        code="cross_site_request",
    )


def require_name_of_here(headers: Mapping[bytes, bytes]) -> None:
    """Raise `Forbidden` for who asks for another host than this machine, of a caller who needed no key."""
    host = headers.get(b"host", b"localhost").lower()
    if not _HERE.fullmatch(host):
        raise Forbidden(
            f"This gateway asks nobody for a key, so it answers only by this machine's names, and not as "
            f"{host.decode('latin-1')[:200]!r}: a web page may have pointed that name here. Ask 'localhost', set a key "
            "(STEELYARD_API_KEYS), or STEELYARD_ALLOW_ANONYMOUS=true where something else guards it.",
            code="unknown_host",
        )
