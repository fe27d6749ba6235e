"""`kill -9` amid accepted rows that no database has seen: they are in the log all the same, each once."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sqlalchemy import text

from gateway.store.engine import Database
from gateway.store.request_log import LogLimits, RequestLog

Eventually = Callable[[Callable[[], Any]], Awaitable[None]]
_ROOT = Path(__file__).parents[2]
#: It never writes to the database of its own accord, so that whatever is there later came out of the journal; after a
#: flush it goes on, so that both halves of the journal have been in use.
_VICTIM = """
import asyncio, sys
sys.path.insert(0, "tests/stores")
from pathlib import Path
from store_faults import exchange
from gateway.store.engine import Database
from gateway.store.request_log import LogLimits, RequestLog

async def main(url, spill):
    log = RequestLog(Database(url), Path(spill), LogLimits(flush_seconds=3600))
    await log.start()
    for n in range(300):
        assert log.offer(exchange(n))
        if n % 70 == 69:
            await log.flush()
    print("accepted", flush=True)
    await asyncio.sleep(3600)

asyncio.run(main(*sys.argv[1:]))
"""


async def _killed_with_rows_in_memory(url: str, spill: Path) -> None:
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _VICTIM, url, str(spill), cwd=_ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert victim.stdout is not None
    assert await victim.stdout.readline() == b"accepted\n"
    assert len(await _ids(url)) == 280, "the rest should be in its memory"
    victim.send_signal(signal.SIGKILL)
    await victim.wait()


async def _ids(url: str) -> list[str]:
    reader = Database(url)
    async with reader.read() as connection:
        found = list((await connection.execute(text("SELECT id FROM exchanges"))).scalars())
    await reader.dispose()
    return found


def _files(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.rglob(pattern))


async def _until_all_are_there(url: str) -> None:
    found: list[str] = []
    async with asyncio.timeout(20):
        while len(found) < 300:
            await asyncio.sleep(0.02)
            found = await _ids(url)
    assert sorted(found) == [f"req_{n:08d}" for n in range(300)]


async def test_whoever_starts_next_writes_what_a_killed_process_had_in_memory(url: str, tmp_path: Path) -> None:
    await _killed_with_rows_in_memory(url, tmp_path / "spill")
    log = RequestLog(Database(url), tmp_path / "spill")
    await log.start()
    await _until_all_are_there(url)
    assert (log.stats().replayed, log.stats().dropped) == (20, 0)
    await log.close()


async def test_a_sibling_that_runs_beside_it_takes_over_and_leaves_the_slot_to_the_next(
    url: str, tmp_path: Path, eventually: Eventually
) -> None:
    sibling = RequestLog(Database(url), tmp_path / "spill", LogLimits(adopt_seconds=0.02))
    await sibling.start()
    await _killed_with_rows_in_memory(url, tmp_path / "spill")
    await _until_all_are_there(url)
    await eventually(lambda: sibling.stats().spill_segments == 0)
    assert (sibling.stats().replayed, sibling.stats().dropped) == (20, 0)
    replacement = RequestLog(Database(url), tmp_path / "spill", LogLimits())
    await replacement.start()
    assert _files(tmp_path, "[0-9]") == ["0", "1"]
    await replacement.close()
    await sibling.close()
    assert _files(tmp_path, "*.spill") == []
