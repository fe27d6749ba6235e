"""Values that must not be seen.

Law: no secret appears in a repr, a string, a log line or an error; `reveal` is the only way to it, and easy to search
for. What cannot be told apart from a secret is masked whole.
"""

from __future__ import annotations

import re

MASK = "********"
#: A secret this long keeps 96 bits or so when its last four characters are shown, enough to tell two keys apart.
_HINT_FROM = 20
_USER = re.compile(r"[A-Za-z0-9._-]*")
_PORT = re.compile(r"\d{0,5}")


class Secret:
    """A key or password."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Hide `value`."""
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def hint(self) -> str:
        """The mask, with the last four characters of a secret long enough to spare them."""
        return MASK + self._value[-4:] if len(self._value) >= _HINT_FROM else MASK

    def __repr__(self) -> str:
        return MASK

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


class SecretUrl(Secret):
    """A URL that may hold a password: its string form shows everything else."""

    __slots__ = ()

    def hint(self) -> str:
        """The URL without its password and query."""
        return mask_url(self._value)

    def __repr__(self) -> str:
        return mask_url(self._value)

    def __str__(self) -> str:
        return mask_url(self._value)


def mask_url(url: str) -> str:
    """The URL without credentials, query and fragment; only the mask when it is not clearly a URL.

    Written by hand instead of with urllib: a password with an unescaped `/`, `#` or `?` makes a parser take its rest
    for the path, and show it. Everything before the last `@` is hidden instead.
    """
    scheme, colon, rest = url.partition("://")
    if not colon or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return MASK
    userinfo, at, place = rest.rpartition("@")
    if "?" in userinfo or "#" in userinfo:
        return f"{scheme}://{MASK}"
    if at:
        user, user_colon, _ = userinfo.partition(":")
        known = user_colon and _USER.fullmatch(user)
        rest, shown = place, f"{scheme}://{user}:{MASK}@" if known else f"{scheme}://{MASK}@"
    else:
        shown = f"{scheme}://"
    rest, query, _ = rest.partition("?")
    rest, fragment, _ = rest.partition("#")
    host, port_colon, port = rest.partition("/")[0].rpartition(":")
    if port_colon and not host.endswith("]") and not _PORT.fullmatch(port):
        # `redis://:password` with the host forgotten looks like a port that is no number.
        return f"{scheme}://{MASK}"
    return shown + rest + (f"?{MASK}" if query or fragment else "")
