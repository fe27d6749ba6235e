"""The database, asked by commands: what keeps it from answering is told with what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import rich_click as click

from gateway.store.errors import SchemaUnknown, StoreUnavailable

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """What it comes to. Raises `click.ClickException` as `told`."""
    with told():
        return asyncio.run(work)


@contextmanager
def told() -> Generator[None]:
    """Raises `click.ClickException` for a database that is away, or of another version."""
    try:
        yield
    except StoreUnavailable as exc:
        advice = "Is it there, does DATABASE_URL name it, and may you write to it? `steelyard doctor` looks closer."
        raise click.ClickException(f"{exc}\n{advice}") from exc
    except SchemaUnknown as exc:
        raise click.ClickException(str(exc)) from exc
