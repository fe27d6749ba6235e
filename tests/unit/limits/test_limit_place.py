"""Where a gateway counts for limits, and what its documents say of it."""

from __future__ import annotations

import re
import time
from pathlib import Path

from gateway.governance.limits.folder import FolderBackend
from gateway.governance.limits.memory import MemoryBackend
from gateway.governance.limits.place import backend_of
from gateway.governance.limits.redis import RedisBackend
from gateway.settings import load
from gateway.settings.limits import Queue, Rates
from gateway.settings.secrets import SecretUrl
from gateway.settings.sections import RedisSettings

ROOT = Path(__file__).parents[3]
NONE = RedisSettings()
SOME = RedisSettings(url=SecretUrl("redis://127.0.0.1:1/0"))


async def test_replicas_before_workers_before_oneself(tmp_path: Path) -> None:
    found = [
        backend_of(redis, folder, None, clock=time.monotonic)
        for redis, folder in ((SOME, str(tmp_path)), (NONE, str(tmp_path)), (NONE, None))
    ]
    assert [type(one) for one in found] == [RedisBackend, FolderBackend, MemoryBackend]
    assert [one.name for one in found] == ["redis", "folder", "memory"]
    for one in found:
        await one.close()


def test_a_reload_goes_on_counting_in_memory() -> None:
    before = MemoryBackend(clock=time.monotonic)
    assert backend_of(NONE, None, before, clock=time.monotonic) is before


def test_the_configuration_in_the_document_is_one(tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "docs" / "limits.md").read_text(), re.DOTALL)
    assert block is not None
    file = tmp_path / "steelyard.yaml"
    file.write_text(block[1])
    settings = load({"TEAM_KEY": "team-0123456789abcdef", "OPENAI_API_KEY": "sk-0123456789abcdef"}, config=file)
    assert settings.limits.default == Rates(rpm=600, concurrency=20)
    assert settings.limits.tags == {"research": Rates(tpm=200_000)}
    assert settings.limits.queue == Queue(seconds=5.0, size=1000)
    assert settings.routes["quick"].rates == Rates(rpm=1000)
    assert settings.keys[0].rates == Rates(rpm=60, tpm=50_000, concurrency=4)
