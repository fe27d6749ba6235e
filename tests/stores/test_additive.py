"""Every step of the schema only adds: so the version before it runs on the schema behind it.

A step that takes away says what no version uses any more: `contract = "0012"` names the revision since which none does,
which must be an earlier one, so that whoever upgrades one version at a time never runs code that misses it.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect

import migrations.versions
from gateway.store import migrate
from gateway.store.engine import Database

#: Before there was the rule: it made anew a table that no gateway had ever written to.
_BEFORE_THE_RULE = {"0007": {"keys"}}
_NAMES = sorted(one.name for one in pkgutil.iter_modules(migrations.versions.__path__))
Tables = dict[str, dict[str, Any]]


def _schema(connection: Connection) -> Tables:
    looked = inspect(connection)
    return {
        table: {
            "columns": {one["name"]: one for one in looked.get_columns(table)},
            "unique": {tuple(one["column_names"]) for one in looked.get_unique_constraints(table)},
            "foreign": {tuple(one["constrained_columns"]) for one in looked.get_foreign_keys(table)},
            "checks": {one["name"] for one in looked.get_check_constraints(table)},
        }
        for table in looked.get_table_names()
    }


def taken(before: Tables, after: Tables) -> list[str]:
    """What code that was made for `before` would miss, or stumble over."""
    gone = [table for table in before if table not in after]
    for table, was in before.items():
        now = after.get(table)
        if now is None:
            continue
        gone += [f"{table}.{name}" for name in was["columns"] if name not in now["columns"]]
        for name, column in now["columns"].items():
            old = was["columns"].get(name)
            if old is None and not column["nullable"] and column["default"] is None:
                gone.append(f"{table}.{name}: a row without it is refused")
            if old is not None and (
                str(old["type"]) != str(column["type"]) or (old["nullable"] and not column["nullable"])
            ):
                gone.append(f"{table}.{name}: is another")
        gone += [f"{table}: {kind} {one}" for kind in ("unique", "foreign", "checks") for one in now[kind] - was[kind]]
    return gone


async def test_every_step_only_adds(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/steelyard.db"
    database, before = Database(url), Tables()
    for name in _NAMES:
        step = importlib.import_module(f"migrations.versions.{name}")
        assert step.revision == name[:4], f"{name} is not named by its revision"
        await migrate.upgrade(url, step.revision)
        async with database.read() as connection:
            after = await connection.run_sync(_schema)
        found = [one for one in taken(before, after) if one.split(".")[0].split(":")[0] not in _allowed(step)]
        assert not found, f"{name} takes away: {found}"
        before = after
    await database.dispose()


def _allowed(step: Any) -> set[str]:
    since = getattr(step, "contract", None)
    if since is not None:
        assert since < step.revision, f"{step.revision} drops what its own version stops to use"
        return {one for one in str(step.__doc__).replace(",", " ").replace("`", " ").split()}
    return _BEFORE_THE_RULE.get(step.revision, set())


_COLUMN = {"type": "VARCHAR", "nullable": True, "default": None}
_TABLE: dict[str, Any] = {"columns": {"a": _COLUMN}, "unique": set(), "foreign": set(), "checks": set()}


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ({"t": _TABLE}, []),
        ({"t": _TABLE, "u": _TABLE}, []),
        ({}, ["t"]),
        ({"t": {**_TABLE, "columns": {}}}, ["t.a"]),
        ({"t": {**_TABLE, "columns": {"a": _COLUMN, "b": _COLUMN}}}, []),
        ({"t": {**_TABLE, "columns": {"a": _COLUMN, "b": {**_COLUMN, "nullable": False, "default": "0"}}}}, []),
        ({"t": {**_TABLE, "columns": {"a": _COLUMN, "b": {**_COLUMN, "nullable": False}}}},
         ["t.b: a row without it is refused"]),
        ({"t": {**_TABLE, "columns": {"a": {**_COLUMN, "nullable": False}}}}, ["t.a: is another"]),
        ({"t": {**_TABLE, "columns": {"a": {**_COLUMN, "type": "INTEGER"}}}}, ["t.a: is another"]),
        ({"t": {**_TABLE, "unique": {("a",)}}}, ["t: unique ('a',)"]),
    ],
)  # fmt: skip
def test_the_rule_knows_what_old_code_would_stumble_over(after: Tables, told: list[str]) -> None:
    assert taken({"t": _TABLE}, after) == told
