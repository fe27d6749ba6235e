"""Who can write to the database must not thereby run code: the durable engine makes and reads no pickle."""

from __future__ import annotations

import base64
import pickle
from pathlib import Path
from typing import Any

import pytest
from dbos import _serialization as engines_own

from gateway.workflows import engine

ROOT = Path(__file__).parents[3]
RAN: list[str] = []


class Program:
    def __reduce__(self) -> Any:
        return RAN.append, ("it ran",)


def test_a_row_that_says_it_is_a_pickle_is_not_believed() -> None:
    planted = base64.b64encode(pickle.dumps(Program())).decode()
    with pytest.raises(engine.PickleRefused):
        engines_own.deserialize_value(planted, "py_pickle", engines_own.DBOSPortableJSONSerializer())
    with pytest.raises(engine.PickleRefused):
        engines_own.serialize_value(1, engines_own.WorkflowSerializationFormat.NATIVE, engines_own.DBOSPortableJSON)
    assert RAN == []


def test_json_is_read_as_before() -> None:
    made, kind = engines_own.serialize_value({"a": [1]}, None, engines_own.DBOSPortableJSONSerializer())
    assert engines_own.deserialize_value(made, kind, engines_own.DBOSPortableJSONSerializer()) == {"a": [1]}


def test_nothing_of_ours_asks_for_a_pickle() -> None:
    for top in ("gateway", "providers", "cache", "dwa", "migrations"):
        for path in (ROOT / top).rglob("*.py"):
            text = path.read_text()
            for word in ("import pickle", "from pickle", "import shelve", "import marshal", "import dill"):
                assert word not in text, f"{path.name}: {word}"
