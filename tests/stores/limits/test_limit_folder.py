"""Counting in a folder: workers that die, a worker that is stopped amid counting, a full disk."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from limits_world import PassingFolder, limiter

from gateway.governance.limits import folder as folders

_WORKER = """
import asyncio, sys, time
from pathlib import Path
from typing import Any
from gateway.governance.limits.folder import FolderBackend
from gateway.governance.limits.window import Limiter, Need
from gateway.settings.limits import Rates

async def work():
    backend = FolderBackend(Path(sys.argv[1]), clock=lambda: 1000.0)
    hundred, two = Limiter.of("key", "many", Rates(rpm=100)), Limiter.of("key", "held", Rates(concurrency=2))
    held = await backend.take(Need((two,), 0))
    counted = 0
    while (verdict := await backend.take(Need((hundred,), 0))).grant is not None:
        assert not verdict.grant.alone
        counted += 1
        await asyncio.sleep(0)
    print(counted, held.grant is not None, flush=True)
    time.sleep(60)

asyncio.run(work())
"""


def test_workers_count_together_and_the_dead_give_back_what_they_held(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen([sys.executable, "-c", _WORKER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        told = [worker.stdout.readline().split() for worker in workers if worker.stdout]
        assert sum(int(counted) for counted, _ in told) == 100
        assert [held for _, held in told] == ["True", "True"]
        asyncio.run(_bury(tmp_path, workers[0]))
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            if worker.stdout:
                worker.stdout.close()


async def _bury(folder: Path, worker: subprocess.Popen[str]) -> None:
    counting = PassingFolder(folder)
    held = limiter("held", at_a_time=2)
    assert (await counting.take(held)).refusal is not None
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    await counting.granted(held)
    assert (await counting.take(held)).refusal is not None
    await counting.close()


async def test_a_worker_that_starts_holds_nothing_of_its_predecessor(tmp_path: Path) -> None:
    counting = PassingFolder(tmp_path)
    held = limiter(at_a_time=5)
    await counting.granted(held)
    await counting.granted(held)
    # It goes without a word, and another takes its place.
    await counting.processes.pop().close()
    state = (await counting.take(held)).states[0]
    assert state.running == 0
    await counting.close()


async def test_one_who_is_stopped_amid_counting_holds_up_a_moment_and_then_nobody(tmp_path: Path) -> None:
    counting = PassingFolder(tmp_path)
    grant = await counting.granted(limiter(rpm=5, at_a_time=1))
    lock = os.open(tmp_path / "limits" / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    counting.processes[0].settle(grant, 0)
    alone = await counting.granted(limiter(rpm=5, at_a_time=1))
    assert alone.alone
    assert counting.processes[0].alone
    os.close(lock)
    counting.pass_seconds(1)
    # What ended meanwhile has been told.
    together = await counting.granted(limiter(rpm=5, at_a_time=1))
    assert not together.alone
    assert not counting.processes[0].alone
    counting.processes[0].settle(alone, 0)
    await counting.close()


async def test_on_a_full_disk_each_worker_counts_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = PassingFolder(tmp_path)
    known = limiter("known", rpm=5)
    await counting.granted(known)

    def full(_file: int, _data: bytes, _at: int) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(folders.os, "pwrite", full)
        assert (await counting.granted(limiter("new", rpm=1))).alone
        assert (await counting.take(limiter("new", rpm=1))).refusal is not None
    counting.pass_seconds(1)
    assert not (await counting.granted(known)).alone
    await counting.close()


async def test_more_limiters_than_records_are_counted_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "RECORDS", 1)
    counting = PassingFolder(tmp_path)
    await counting.granted(limiter("first", rpm=5))
    assert (await counting.granted(limiter("second", rpm=5))).alone
    await counting.close()


async def test_records_of_idle_limiters_are_given_up_when_others_need_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "RECORDS", 3)
    counting = PassingFolder(tmp_path)
    idle, running, busy, late = (limiter(name, rpm=2, at_a_time=1) for name in ("idle", "running", "busy", "late"))
    await counting.settle(await counting.granted(idle))
    held = await counting.granted(running, process=1)
    counting.pass_seconds(62)
    await counting.settle(await counting.granted(busy, process=1), process=1)
    assert not (await counting.granted(late)).alone
    # Whoever knew them where they were finds them where they are.
    for process in (0, 1):
        states = (await counting.take(running, busy, late, process=process)).states
        assert [state[:3] for state in states] == [(0, 0, 1), (1, 0, 0), (1, 0, 1)]
    await counting.settle(held, process=1)
    assert (await counting.take(running, limiter("full", rpm=1))).states[0].running == 0
    await counting.close()


async def test_room_is_made_for_all_limiters_of_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "RECORDS", 3)
    counting = PassingFolder(tmp_path)
    for name in ("one", "two"):
        await counting.settle(await counting.granted(limiter(name, rpm=1)))
    counting.pass_seconds(62)
    several = tuple(limiter(name, rpm=1) for name in ("new", "newer", "newest"))
    assert not (await counting.granted(*several)).alone
    assert [state.requests for state in (await counting.take(*several)).states] == [1, 1, 1]
    await counting.close()


async def test_what_ends_after_the_end_does_no_harm(tmp_path: Path) -> None:
    counting = PassingFolder(tmp_path)
    grant = await counting.granted(limiter(at_a_time=1))
    await counting.close()
    counting.processes[0].settle(grant, 0)


async def test_what_ends_while_another_counts_makes_one_timer_however_much_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = PassingFolder(tmp_path)
    grants = [await counting.granted(limiter(at_a_time=50)) for _ in range(50)]
    lock = os.open(tmp_path / "limits" / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    loop, made = asyncio.get_running_loop(), list[object]()
    later = loop.call_later

    def noted(*arguments: Any) -> asyncio.TimerHandle:
        made.append(arguments)
        return later(*arguments)

    monkeypatch.setattr(loop, "call_later", noted)
    for grant in grants:
        counting.processes[0].settle(grant, 0)
    assert len(made) == 1
    monkeypatch.undo()
    os.close(lock)
    await counting.close()
    other = PassingFolder(tmp_path)
    for _ in range(50):
        await other.granted(limiter(at_a_time=50))
    await other.close()


async def test_what_ends_while_another_counts_is_set_right_by_itself(tmp_path: Path) -> None:
    counting = PassingFolder(tmp_path)
    one = limiter(at_a_time=1)
    grant = await counting.granted(one)
    lock = os.open(tmp_path / "limits" / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    counting.processes[0].settle(grant, 0)
    os.close(lock)
    other = counting.process()
    counting.processes.append(other)
    give_up = asyncio.get_running_loop().time() + 20
    while (await counting.take(one, process=1)).grant is None:
        assert asyncio.get_running_loop().time() < give_up
        await asyncio.sleep(0.002)
    await counting.close()
