"""Settings as people look at them: YAML, secrets masked, and beside each value where it came from.

The text is for reading and comparing; a masked secret makes it useless as input, on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml
from msgspec import Struct

from gateway.settings.build import Where
from gateway.settings.load import Loaded
from gateway.settings.secrets import MASK, Secret
from gateway.settings.tree import ModelSettings

_COLUMN = 56  # where comments begin; fits the longest default line
_PER_MILLION = 1_000_000


def show_settings(loaded: Loaded) -> str:
    """The whole tree as commented YAML."""
    return "\n".join(_lines(loaded.settings, (), loaded)) + "\n"


def _lines(value: object, where: Where, loaded: Loaded) -> Iterator[str]:
    indent = "  " * len(where)
    for name, item in _items(value):
        here = (*where, name)
        if isinstance(item, Struct | dict) and item:
            yield f"{indent}{name}:"
            yield from _lines(cast("object", item), here, loaded)
        elif isinstance(item, tuple) and any(isinstance(entry, Struct) for entry in cast("tuple[object, ...]", item)):
            yield f"{indent}{name}:"
            for index, entry in enumerate(cast("tuple[Struct, ...]", item)):
                yield _comment(f"{indent}  - {_inline(entry)}", loaded.origin((*here, index)) or "catalogue")
        else:
            yield _comment(f"{indent}{name}: {_inline(item)}", _origin(here, loaded))


def _origin(where: Where, loaded: Loaded) -> str:
    if where[0] == "providers" and where[2:3] == ("timeout",):
        own = (*where[:2], "timeout", where[-1])
        return loaded.origin(own) or loaded.origin(("timeout", where[-1])) or "default"
    return loaded.origin(where) or "default"


def _items(value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Struct):
        yield from ((name, getattr(value, name)) for name in value.__struct_fields__ if name != "name")
    else:
        for name, item in cast("Mapping[str, Any]", value).items():
            # The only mapping of plain text is a profile's headers, and any of them may be a key.
            yield name, MASK if isinstance(item, str) else item


def _inline(value: Any) -> str:
    text = yaml.safe_dump(_plain(value), default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _plain(value: Any) -> Any:
    """YAML's own types for what the tree holds; the only place that turns a secret into text."""
    match value:
        case Secret():
            return value.hint()
        case Path():
            return str(value)
        case ModelSettings():
            known = {name: usd for name, usd in msgspec.structs.asdict(value.price).items() if usd is not None}
            price = {name: round(usd * _PER_MILLION, 6) for name, usd in known.items()}
            fields = {name: _plain(item) for name, item in msgspec.structs.asdict(value).items() if item is not None}
            return {**fields, "price": price}
        case Struct():
            told = ((one.name, getattr(value, one.name), one.default) for one in msgspec.structs.fields(value))
            return {name: _plain(item) for name, item, default in told if item is not None and item != default}
        case frozenset():
            return sorted(cast("frozenset[str]", value))
        case tuple():
            return [_plain(item) for item in cast("tuple[Any, ...]", value)]
        case _:
            return value


def _comment(line: str, origin: str) -> str:
    return f"{line:<{_COLUMN}}  # {origin}"
