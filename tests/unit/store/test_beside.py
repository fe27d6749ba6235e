"""What lies beside a database: its files bear its name, whoever asks for it and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.store.beside import name_of

ONE = "postgresql+asyncpg://ann:secret@db.example.org:5432/steelyard"


@pytest.mark.parametrize(
    "same",
    [
        "postgresql+psycopg://bob:other@db.example.org:5432/steelyard",
        "postgresql://db.example.org:5432/steelyard?ssl=require",
    ],
)
def test_one_database_has_one_name(same: str) -> None:
    assert name_of(same) == name_of(ONE)


@pytest.mark.parametrize(
    "other",
    [
        "postgresql+asyncpg://ann:secret@db.example.org:5432/staging",
        "postgresql+asyncpg://ann:secret@other.example.org:5432/steelyard",
        "postgresql+asyncpg://ann:secret@db.example.org:5433/steelyard",
        "postgresql+asyncpg://ann:secret@/steelyard?host=/tmp",
        "sqlite+aiosqlite:///steelyard",
    ],
)
def test_two_have_two(other: str) -> None:
    assert name_of(other) != name_of(ONE)


def test_a_file_has_one_name_from_wherever_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = name_of("sqlite+aiosqlite:///data/steelyard.db")
    assert name == name_of(f"sqlite+aiosqlite:///{tmp_path}/data/steelyard.db")
    assert name == name_of(f"sqlite:///{tmp_path}/data/../data/steelyard.db")
    assert name.isalnum()
    monkeypatch.chdir("/")
    assert name != name_of("sqlite+aiosqlite:///data/steelyard.db")
