"""Boards of both kinds: everybody's newest note, and nothing of those who have gone."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from cache_world import Server

from cache import Board, FolderBoard, RedisBoard
from cache.board import EXPIRES


@pytest.fixture(params=["folder", "redis"])
async def boards(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[list[Board]]:
    """Three processes' views of one board."""
    if request.param == "folder":
        made: list[Board] = [FolderBoard(tmp_path, wall=time.time) for _ in range(3)]
    else:
        url, key = request.getfixturevalue("redis_url"), f"test:{uuid.uuid4().hex}"
        made = [RedisBoard(url, clock=time.monotonic, key=key) for _ in range(3)]
    yield made
    for board in made:
        await board.close()


async def notes(board: Board, name: str, note: bytes) -> dict[str, bytes]:
    news = await board.exchange(name, note)
    assert news is not None
    assert abs(news.at - time.time()) < 60  # the same day and hour, whoever's clock it is
    return news.notes


async def test_each_reads_the_newest_of_all_others(boards: list[Board]) -> None:
    one, two, three = boards
    assert await notes(one, "one", b"1") == {}
    assert await notes(two, "two", b"\x00 2\xff") == {"one": b"1"}
    assert await notes(three, "three", b"") == {"one": b"1", "two": b"\x00 2\xff"}
    assert await notes(one, "one", b"new") == {"two": b"\x00 2\xff", "three": b""}
    assert await notes(two, "two", b"2") == {"one": b"new", "three": b""}


async def test_who_takes_his_note_off_is_gone(boards: list[Board]) -> None:
    one, two, _ = boards
    await notes(one, "one", b"1")
    await one.remove("one")
    await one.remove("one")
    assert await notes(two, "two", b"2") == {}


async def test_a_note_whose_writer_died_is_gone_after_a_while(tmp_path: Path) -> None:
    board = FolderBoard(tmp_path, wall=time.time)
    await board.exchange("dead", b"1")
    then = time.time() - EXPIRES - 1.0
    os.utime(tmp_path / "dead.note", (then, then))
    assert await notes(board, "alive", b"2") == {}
    assert not (tmp_path / "dead.note").exists()


async def test_a_note_from_the_future_is_gone_as_well(tmp_path: Path) -> None:
    """The clock was ahead when its writer died, and has been set right since."""
    board = FolderBoard(tmp_path, wall=time.time)
    await board.exchange("dead", b"1")
    then = time.time() + EXPIRES + 60.0
    os.utime(tmp_path / "dead.note", (then, then))
    assert await notes(board, "alive", b"2") == {}


async def test_in_redis_too(redis_url: str) -> None:
    skew = [0.0]
    key = f"test:{uuid.uuid4().hex}"
    dying = RedisBoard(redis_url, clock=lambda: time.monotonic() - skew[0], key=key)
    await dying.exchange("dead", b"1")
    skew[0] = EXPIRES + 5.0
    # Its clock has jumped back, so that this note bears an old time.
    await dying.exchange("dead", b"old")
    alive = RedisBoard(redis_url, clock=time.monotonic, key=key)
    assert await notes(alive, "alive", b"2") == {}
    await dying.close()
    await alive.close()


async def test_a_board_that_cannot_be_reached_says_so_and_is_used_again(server: Server, tmp_path: Path) -> None:
    board = RedisBoard(server.url(), clock=time.monotonic, timeout=2.0)
    assert await board.exchange("one", b"1") is not None
    server.kill()
    assert await board.exchange("one", b"1") is None
    await board.remove("one")
    server.start()
    assert await board.exchange("one", b"1") is not None
    await board.close()
    assert await FolderBoard(tmp_path / "missing", wall=time.time).exchange("one", b"1") is None
