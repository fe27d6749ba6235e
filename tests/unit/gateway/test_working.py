"""A worker that cannot open ends, and says why."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway import working
from gateway.settings.tree import Settings


class App:
    """An application that lives and has nothing to do."""

    parts: Any = None
    lived = False

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        yield
        self.lived = True


async def test_a_worker_that_cannot_open_is_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App()

    async def cannot(_parts: Any) -> None:
        raise ModuleNotFoundError("dbos")

    def made(_settings: Settings) -> App:
        return app

    monkeypatch.setattr(working, "create_app", made)
    monkeypatch.setattr(working, "_open", cannot)
    with pytest.raises(ExceptionGroup) as caught:
        await working.work(Settings())
    assert [type(one) for one in caught.value.exceptions] == [ModuleNotFoundError]
