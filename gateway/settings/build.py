"""Plain data → structs, with every problem found instead of the first.

Law: an unknown key is a problem that names its path and the nearest valid key; a bad value is replaced by its default
so that the rest can still be checked, and no tree is handed out while there is a problem.

msgspec's own conversion stops at the first error and shows no suggestion, which is why the walk is written here; single
values are still its work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast, get_args, get_origin

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import FieldInfo

from gateway.settings.names import suggestion
from gateway.settings.problems import Problem
from gateway.settings.scalar import Kind, Unfit, describe, kind_of, read
from gateway.settings.secrets import MASK, mask_url

Where = tuple[str | int, ...]
_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_SHOWN = 60  # characters of a bad value; enough to recognise it, too little to flood a terminal


class Given(Struct, frozen=True):
    """A value that did not come from the file: `place` is what to mend, `origin` what `config show` says of it."""

    value: Any
    place: str
    origin: str


def dotted(where: Where) -> str:
    """A path as people write it: `providers.mine.models[0].price`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).removeprefix(".")


@cache
def _fields(struct: type[Struct]) -> dict[str, FieldInfo]:
    """By the name they have in a file. Kept, because a list of keys may have a hundred thousand entries."""
    return {field.encode_name: field for field in msgspec.structs.fields(struct)}


class Builder:
    """Builds structs from data whose leaves may be `Given`, and keeps what it found: problems and origins."""

    def __init__(self, file: str, look_up: Callable[[str], str | None]) -> None:
        """Call the data's origin `file`; `look_up` finds the variables that its `${NAME}` name."""
        self.problems: list[Problem] = []
        self._file = file
        self._look_up = look_up
        self._given: dict[Where, Given] = {}
        self._written: set[Where] = set()
        self._failed: set[Where] = set()

    def place(self, where: Where) -> str:
        """What a person has to mend to change the value at `where`."""
        given = self._nearest_given(where)
        return given.place if given else f"{self._file}: {dotted(where)}" if where else self._file

    def origin(self, where: Where) -> str | None:
        """Where the value came from; None when it is a default."""
        given = self._nearest_given(where)
        if given:
            return given.origin
        return self._file if where in self._written else None

    def failed_below(self, where: Where) -> bool:
        """Something at `where` or below has a problem, so what refers to it is not to blame as well."""
        return any(failed[: len(where)] == where for failed in self._failed)

    def dropped(self, where: Where) -> bool:
        """What the file says at `where` itself is not in the tree."""
        return where in self._failed

    def blame(self, where: Where, message: str) -> None:
        """Note a problem at `where`."""
        self._failed.add(where)
        self.problems.append(Problem(self.place(where), message))

    def build(self, hint: Any, raw: Any, where: Where = ()) -> Any:
        """The value at `where`, or UNSET after noting why there is none."""
        if isinstance(raw, Given):
            self._given[where] = raw
            raw = raw.value
        self._written.add(where)
        kind = kind_of(hint)
        struct = next((m for m in kind.members if isinstance(m, type) and issubclass(m, Struct)), None)
        if struct and (isinstance(raw, Mapping) or len(kind.members) == 1):
            return self._struct(struct, raw, where)
        member = kind.members[0]
        if member is Any:
            return raw
        if get_origin(member) is dict:
            return self._dict(get_args(member), raw, where)
        if get_origin(member) is tuple:
            return self._tuple(get_args(member)[0], raw, where, kind)
        return self._scalar(kind, raw, where)

    def _nearest_given(self, where: Where) -> Given | None:
        return next((self._given[where[:n]] for n in range(len(where), -1, -1) if where[:n] in self._given), None)

    def _struct(self, struct: type[Struct], raw: Any, where: Where) -> Any:
        fields = _fields(struct)
        if not isinstance(raw, Mapping):
            self.blame(where, f"must be a mapping with: {', '.join(fields)}.")
            return UNSET
        raw = cast("Mapping[object, Any]", raw)
        for key in raw:
            if key not in fields:
                self.blame((*where, str(key)), f"there is no such key. {suggestion(str(key), fields)}")
        values: dict[str, Any] = {}
        whole = True
        for name, field in fields.items():
            if raw.get(name) is None:
                value = UNSET
                if field.required:
                    whole = False
                    self.blame((*where, name), f"is missing; write {describe(kind_of(field.type))}.")
            else:
                value = self.build(field.type, raw[name], (*where, name))
                whole = whole and not (value is UNSET and field.required)
            if value is not UNSET:
                values[field.name] = value
        return struct(**values) if whole else UNSET

    def _dict(self, of: tuple[Any, ...], raw: Any, where: Where) -> Any:
        if not isinstance(raw, Mapping):
            self.blame(where, "must be a mapping of names.")
            return UNSET
        built: dict[str, Any] = {}
        for name, value in cast("Mapping[object, Any]", raw).items():
            try:
                key = read(name, kind_of(of[0]))
            except Unfit as unfit:
                self.blame(where, f"the name '{name}' is not valid: {unfit}")
                continue
            made = self.build(of[1], {} if value is None else value, (*where, key))
            if made is UNSET:
                self._failed.add((*where, key))
            else:
                built[key] = made
        return built

    def _tuple(self, of: Any, raw: Any, where: Where, kind: Kind) -> Any:
        if not isinstance(raw, Sequence) or isinstance(raw, str):
            self.blame(where, "must be a list.")
            return UNSET
        items = cast("Sequence[Any]", raw)
        if not items and any(meta.min_length for meta in kind.metas):
            self.blame(where, "must have at least one entry.")
            return UNSET
        built = [self.build(of, item, (*where, index)) for index, item in enumerate(items)]
        # All or nothing: with a gap, later checks would name the wrong entry.
        return UNSET if UNSET in built else tuple(built)

    def _scalar(self, kind: Kind, raw: Any, where: Where) -> Any:
        if isinstance(raw, Mapping | list | tuple) or raw is None:
            self.blame(where, f"must be {describe(kind)}.")
            return UNSET
        value = self._resolve(raw, where, kind)
        if value is UNSET:
            return UNSET
        try:
            return read(value, kind)
        except Unfit as unfit:
            # What a reference stands for is taken for a secret wherever it is used.
            hidden = kind.secret or value != raw
            self.blame(where, f"{show(value, kind, hidden=hidden)} is not valid: {unfit}")
            return UNSET

    def _resolve(self, raw: Any, where: Where, kind: Kind) -> Any:
        """Replace `${NAME}` in what the file says, and `file:` wherever a secret is wanted."""
        if not isinstance(raw, str):
            return raw
        value = raw if self._nearest_given(where) else self._substitute(raw, where)
        if value is None:
            return UNSET
        return self._secret_file(value, where) if kind.secret and value.startswith("file:") else value

    def _substitute(self, text: str, where: Where) -> str | None:
        missing: list[str] = []

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name is None:
                return "${"
            found = self._look_up(name) if _VARIABLE.fullmatch(name) else None
            if found is None:
                missing.append(name)
            return found or ""

        value = _REFERENCE.sub(replace, text)
        for name in missing:
            if _VARIABLE.fullmatch(name):
                self.blame(where, f"the variable {name} is not set. Set it in the environment or in .env.")
            else:
                self.blame(where, "'${…}' must hold the name of a variable; write '$${' for the characters themselves.")
        return None if missing else value

    def _secret_file(self, reference: str, where: Where) -> Any:
        path = Path(reference.removeprefix("file:"))
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "not UTF-8 text"
            self.blame(where, f"the file {path} cannot be read: {reason}.")
            return UNSET
        if not text:
            self.blame(where, f"the file {path} is empty.")
            return UNSET
        return text


def show(value: object, kind: Kind, *, hidden: bool) -> str:
    """A bad value for an error message: masked when it may be secret, cut when it is long."""
    if hidden:
        return mask_url(value) if kind.extra("schemes") and isinstance(value, str) else MASK
    text = str(value)
    if "://" in text:
        text = mask_url(text)
    return f"'{text[:_LONGEST_SHOWN]}{'…' if len(text) > _LONGEST_SHOWN else ''}'"
