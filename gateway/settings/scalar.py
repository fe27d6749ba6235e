"""One value, from text or YAML, to what its annotation says; or the words for what it should have been.

Law: nothing is guessed. `yes`, `on` and `1` are booleans and `20MiB` is a size, but a number is never text (YAML reads
`0123` as 83), a fraction never a whole number, and `nan` nothing at all.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from gateway.settings.names import nearest
from gateway.settings.secrets import Secret, SecretUrl

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]i?b|b)?", re.IGNORECASE)
_UNITS = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip


class Unfit(Exception):
    """A value that its setting cannot take. The message follows `… is not valid:` and says what can."""


class Kind(Struct, frozen=True):
    """An annotation taken apart: the types it allows but None, and its constraints."""

    hint: Any
    members: tuple[Any, ...]
    metas: tuple[Meta, ...]

    def extra(self, name: str) -> Any:
        """What the annotation says under `name` (`env`, `unit`, `schemes`), or None."""
        return next((meta.extra[name] for meta in self.metas if meta.extra and name in meta.extra), None)

    @property
    def secret(self) -> bool:
        """The value must not be shown as it is."""
        return any(isinstance(member, type) and issubclass(member, Secret) for member in self.members)

    @property
    def description(self) -> str | None:
        """What the setting is for."""
        return next((meta.description for meta in self.metas if meta.description), None)


def kind_of(hint: Any) -> Kind:
    """Take an annotation apart."""
    metas: list[Meta] = []

    def bare(annotated: Any) -> Any:
        while get_origin(annotated) is Annotated:
            annotated, *more = get_args(annotated)
            metas.extend(meta for meta in more if isinstance(meta, Meta))
        return annotated

    outer = bare(hint)
    union = get_args(outer) if get_origin(outer) in (Union, UnionType) else (outer,)
    members = tuple(bare(member) for member in union if member is not NoneType)
    return Kind(hint, members, tuple(metas))


def choices(kind: Kind) -> tuple[str, ...]:
    """The words the setting may be, when it is a choice."""
    return next((get_args(member) for member in kind.members if get_origin(member) is Literal), ())


def read(value: object, kind: Kind) -> Any:
    """The value as its setting wants it.

    Raises:
        Unfit: it cannot be; says what can.
    """
    member = kind.members[0]
    if choices(kind):
        return _choice(value, kind)
    if member is bool:
        return _boolean(value)
    if member in (int, float):
        return _number(value, kind)
    if not isinstance(value, str):
        raise Unfit(f"it must be {describe(kind)}, in quotes.")
    text = value.strip()
    if member is SecretUrl:
        return SecretUrl(_url(text, kind))
    if member is Secret:
        # What is made of several parts may have spaces between and within them.
        return Secret(text if kind.extra("spaces") and text.isprintable() else _key(text))
    if member is Path:
        return Path(text)
    try:
        return msgspec.convert(text, kind.hint)
    except msgspec.ValidationError:
        raise Unfit(f"it must be {describe(kind)}.") from None


def describe(kind: Kind) -> str:
    """What the setting takes, to be read after `it must be`."""
    member = kind.members[0]
    if struct := next((m for m in kind.members if isinstance(m, type) and issubclass(m, Struct)), None):
        words = "".join(f"'{word}', or " for word in choices(kind))
        return f"{words}a mapping with: {', '.join(struct.__struct_fields__)}"
    if words := choices(kind):
        return f"one of {', '.join(words)}"
    if member is bool:
        return "true or false"
    if kind.extra("unit") == "bytes":
        return "a size of at least one byte, such as 20MiB or 500kB"
    if member in (int, float):
        noun = "a whole number" if member is int else "a number"
        return noun + (" of seconds" if kind.extra("unit") == "seconds" else "") + _bounds(kind)
    if member is SecretUrl:
        return "a URL that begins with " + " or ".join(f"{scheme}://" for scheme in kind.extra("schemes"))
    if member is Secret:
        return "text of printable ASCII characters without spaces"
    pattern = next((meta.pattern for meta in kind.metas if meta.pattern), None)
    return f"text that matches {pattern}" if pattern else "text"


def _bounds(kind: Kind) -> str:
    low = next((m.ge for m in kind.metas if m.ge is not None), None)
    above = next((m.gt for m in kind.metas if m.gt is not None), None)
    high = next((m.le for m in kind.metas if m.le is not None), None)
    below = next((m.lt for m in kind.metas if m.lt is not None), None)
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    if above is not None:
        return f" above {above:g}" + (f" and below {below:g}" if below is not None else "")
    return f", {low:g} or more" if low is not None else ""


def _choice(value: object, kind: Kind) -> str:
    words = choices(kind)
    word = str(value).strip().casefold()
    if word in words:
        return word
    meant = nearest(word, words)
    raise Unfit(f"it must be {describe(kind)}." + (f" Did you mean '{meant}'?" if meant else ""))


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().casefold()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise Unfit("it must be true or false.")


def _number(value: object, kind: Kind) -> int | float:
    text = value.strip() if isinstance(value, str) else value
    if kind.extra("unit") == "bytes" and isinstance(text, str) and (match := _SIZE.fullmatch(text)):
        text = int(float(match[1]) * _UNITS[(match[2] or "").casefold()])
    try:
        number = msgspec.convert(text, kind.hint, strict=False)
    except msgspec.ValidationError:
        raise Unfit(f"it must be {describe(kind)}.") from None
    if not isinstance(number, int | float) or isinstance(number, bool) or not math.isfinite(number):
        raise Unfit(f"it must be {describe(kind)}.")
    return number


def _key(text: str) -> str:
    if text and text.isascii() and text.isprintable() and " " not in text:
        return text
    raise Unfit("it must be printable ASCII characters without spaces; copy it again, whole.")


def _url(text: str, kind: Kind) -> str:
    scheme, separator, rest = text.partition("://")
    valid: tuple[str, ...] = kind.extra("schemes")
    if separator and rest and scheme in valid:
        return text
    family = "postgresql" if scheme == "postgres" else scheme.partition("+")[0]
    meant = next((known for known in valid if known.partition("+")[0] == family), None)
    fix = f" Write {meant}:// instead of {scheme}://." if separator and meant and meant != scheme else ""
    raise Unfit(f"it must be {describe(kind)}.{fix}")
