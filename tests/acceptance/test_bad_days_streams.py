"""Streams that break, and callers that hang up: no false ending, no call that outlives its caller, nobody blamed."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from types import AsyncGeneratorType
from typing import Any, TypeVar

import anthropic
import openai
import pytest

from tests.acceptance.bad_days import (
    DIALECTS,
    MODEL,
    Caller,
    Day,
    a_day,
    ask,
    callers,
    eventually,
    four,
    impatient,
    look,
    patient,
    question,
    until_seen,
)

#: A provider and the dialect of its caller: bytes that pass untouched, and both that are translated.
some_pairs = pytest.mark.parametrize(
    ("name", "dialect"), [("alfa", "openai"), ("bravo", "openai"), ("charlie", "anthropic")]
)
every_dialect = pytest.mark.parametrize("name", ["alfa", "bravo", "charlie"], ids=DIALECTS.get)


_Error = TypeVar("_Error", bound=Exception)


class Stall:
    """Stands before the simulator; once the first words of an answer have passed, nothing more comes."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.stalled = 0
        self.hung_up = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        self._writers += [writer, up_writer]
        for work in (self._up(reader, up_writer), self._down(up_reader, writer)):
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await _read(reader):
            writer.write(data)
        self.hung_up += 1
        writer.close()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = b""
        while data := await _read(reader):
            passed += data
            words = passed.find(b"[sim")
            end = passed.find(b"\n\r\n" if b"\n\r\n" in passed[words:] else b"\n\n", words)
            if words >= 0 and end >= 0:
                end += 4
                writer.write(data[: max(0, end - (len(passed) - len(data)))])
                self.stalled += 1
                return
            writer.write(data)
        writer.close()

    async def stop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        while self._tasks:
            await asyncio.wait(self._tasks)


async def _read(reader: asyncio.StreamReader) -> bytes:
    """What comes; nothing at the end, however rude."""
    try:
        return await reader.read(65_536)
    except ConnectionError:
        return b""


@asynccontextmanager
async def a_stalling_day(folder: Path, name: str) -> AsyncGenerator[tuple[Day, Stall]]:
    """The provider of that name falls silent after its first words, each time."""
    stall = Stall(0)
    server = await asyncio.start_server(stall.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with a_day(folder, four(name, tokens=200), by_way_of={name: port}) as day:
        stall._upstream = day.running.port
        yield day, stall
    server.close()
    await stall.stop()


async def raised(kind: type[_Error], reading: Awaitable[None]) -> _Error:
    """The error in which it ends, and none of the SDK's half-read readers, which no closing of the stream closes.

    An error kept by the frame it passed through, as `pytest.raises` would keep it, is a ring, and its traceback holds
    those nested generators. Python collects rings in whatever thread it happens to be in. If that is the gateway's,
    this one's loop closes the outer generators while the collector is still at the inner: "async generator already
    executing". Without the traceback, there is no ring, and they go at once, here.
    """
    try:
        await reading
    except kind as exc:
        error = exc.with_traceback(None)
    else:
        pytest.fail(f"it ended without {kind.__name__}")
    await eventually(lambda: not half_read(), what="readers are left to the collector")
    return error


def half_read() -> list[object]:
    """The readers of the SDKs' HTTP clients that are neither at their end nor closed."""
    found = [one for one in gc.get_objects() if isinstance(one, AsyncGeneratorType)]
    return [one for one in found if one.ag_frame and one.ag_frame.f_globals["__name__"].startswith("http")]


async def openai_breaks(day: Day, name: str) -> str:
    """The official SDK raises; what it had read until then."""
    said: list[str] = []

    async def read(client: openai.AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(
            model=f"{name}/{MODEL}", messages=[{"role": "user", "content": "Tell me."}], stream=True
        )
        async with stream:
            async for chunk in stream:
                said.extend(choice.delta.content or "" for choice in chunk.choices)

    async with openai.AsyncOpenAI(base_url=f"{day.url}/v1", api_key="any", max_retries=0) as client:
        error = await raised(openai.APIError, read(client))
    assert error.code == "stream_broken"
    return "".join(said)


async def anthropic_breaks(day: Day, name: str) -> str:
    """The same of Anthropic's."""
    said: list[str] = []

    async def read(client: anthropic.AsyncAnthropic) -> None:
        async with client.messages.stream(
            model=f"{name}/{MODEL}", max_tokens=64, messages=[{"role": "user", "content": "Tell me."}]
        ) as stream:
            async for event in stream:
                said.extend([event.text] if event.type == "text" else [])

    async with anthropic.AsyncAnthropic(base_url=day.url, api_key="any", max_retries=0) as client:
        error = await raised(anthropic.APIError, read(client))
    body = error.body
    assert isinstance(body, dict)
    assert body["error"]["code"] == "stream_broken"
    return "".join(said)


async def the_raw_stream_has_no_clean_end(day: Day, name: str, dialect: str) -> None:
    async with callers() as session:
        told = await ask(session, day.url, "Tell me.", dialect=dialect, stream=True, model=f"{name}/{MODEL}")
        assert told.status == 200
        assert b"[DONE]" not in told.body
        assert b"message_stop" not in told.body
        assert b'"finish_reason":"stop"' not in told.body
        assert told.events[-1]["error"]["source"] == "provider"
        assert told.events[-1]["request_id"] == told.id
        found = await until_seen(session, f"{day.url}/api/db/requests/{told.id}", lambda page: "outcome" in page)
        assert (found["outcome"], found["error_code"]) == ("error", "stream_broken")
        assert [one["outcome"] for one in found["attempts"]] == ["cut"]


@every_dialect
async def test_a_stream_that_is_cut_ends_in_an_error_and_never_in_a_clean_end(name: str, tmp_path: Path) -> None:
    with a_day(tmp_path, four(name, tokens=200)) as day:
        day.befall("cut")
        assert "[sim" in await openai_breaks(day, name)
        assert "[sim" in await anthropic_breaks(day, name)
        for dialect in ("openai", "anthropic"):
            day.serving.app.parts.balancer.reset()
            await the_raw_stream_has_no_clean_end(day, name, dialect)


@every_dialect
async def test_a_stream_that_falls_silent_ends_in_an_error_and_is_given_up_upstream(name: str, tmp_path: Path) -> None:
    async with a_stalling_day(tmp_path, name) as (day, stall):
        assert (await openai_breaks(day, name)).startswith("[sim")
        assert (await anthropic_breaks(day, name)).startswith("[sim")
        for dialect in ("openai", "anthropic"):
            day.serving.app.parts.balancer.reset()
            await the_raw_stream_has_no_clean_end(day, name, dialect)
        assert stall.stalled == 4
        await eventually(lambda: stall.hung_up == 4, what="the gateway keeps a connection that it gave up")


@some_pairs
async def test_a_slow_stream_is_not_a_silent_one(name: str, dialect: str, tmp_path: Path) -> None:
    with a_day(tmp_path, four(name), impatient) as day:
        day.befall("drip", seconds=0.05)  # 16 tokens: longer in all than the idle timeout of 0.5 s
        async with callers() as session:
            told = await ask(session, day.url, "Tell me.", dialect=dialect, stream=True, model=f"{name}/{MODEL}")
        assert told.good, told.body


@some_pairs
async def test_an_error_as_first_event_falls_over_and_the_caller_sees_a_clean_stream(
    name: str, dialect: str, tmp_path: Path
) -> None:
    with a_day(tmp_path, four(name)) as day:
        day.befall("first_event_error", name)
        async with callers() as session:
            for number in range(20):  # the DWA tries strangers first: sooner or later it is the broken one's turn
                told = await ask(session, day.url, f"Tell me {number}.", dialect=dialect, stream=True)
                assert told.good, told.body
                if told.attempts > 1:
                    break
            else:
                pytest.fail(f"{name} was never asked")
        assert told.provider != name


# Callers that hang up


def is_quiet(day: Day) -> bool:
    """Nothing of any request is left, in the gateway or at a provider."""
    parts = day.serving.app.parts
    return (
        not day.busy()
        and not parts.transport.pool.busy
        and not parts.cache.replies
        and not parts.cache.streams
        and all(row.in_flight == 0 for row in parts.balancer.stats())
    )


async def nobody_is_blamed(day: Day, *, cancelled: int) -> None:
    """So many exchanges are recorded as cancelled, and the DWA knows of nothing bad."""
    await eventually(lambda: is_quiet(day), what="something outlives its caller")
    async with callers() as session:
        page = await until_seen(
            session,
            f"{day.url}/api/db/requests/recent?limit=500&status=499",
            lambda found: len(found["requests"]) >= cancelled,
        )
        assert len(page["requests"]) == cancelled
        for row in page["requests"]:
            assert row["outcome"] == "cancelled"
            assert row["error_type"] is None
            assert [one["outcome"] for one in row["attempts"]] == ["cancelled"]
        rows = (await look(session, f"{day.url}/api/llm/dwa/stats"))["deployments"]
        assert sum(row["cancelled"] for row in rows) == cancelled
        assert not any(row["failures"] or row["last_error"] for row in rows)


ORCHESTRATE: dict[str, Any] = {"prompt": "Tell me.", "model": MODEL}
_HANG_UPS: list[tuple[str, str, dict[str, Any], bool]] = [
    ("openai", *question("Tell me."), False),
    ("openai cacheable", *question("Tell me.", temperature=0), False),
    ("openai stream", *question("Tell me.", stream=True), True),
    ("openai cacheable stream", *question("Tell me.", stream=True, temperature=0), False),
    ("anthropic", *question("Tell me.", dialect="anthropic"), True),
    ("anthropic stream", *question("Tell me.", dialect="anthropic", stream=True), False),
    ("native stream", "/api/llm/orchestrate", {**ORCHESTRATE, "stream": True}, False),
]


@pytest.mark.parametrize(("path", "body", "rudely"), [case[1:] for case in _HANG_UPS], ids=[c[0] for c in _HANG_UPS])
async def test_hanging_up_before_the_answer_aborts_the_upstream_call(
    path: str, body: dict[str, Any], rudely: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with a_day(tmp_path, change=patient) as day:
        day.befall("hang")
        caller = await Caller.asks(day.url, path, body)
        await eventually(lambda: day.busy() == 1)
        await caller.hang_up(rudely=rudely)
        await eventually(lambda: sum(day.counters(name)["aborted"] for name in DIALECTS) == 1)
        await nobody_is_blamed(day, cancelled=1)
        assert day.seen() == 1, "somebody else was asked on behalf of a caller who had gone"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


_STREAMS: list[tuple[str, str, str, dict[str, Any], bytes]] = [
    ("openai from openai", "alfa", *question("Tell me.", stream=True), b'"content":"['),
    ("openai from gemini", "charlie", *question("Tell me.", stream=True), b'"content":"['),
    ("openai cacheable", "bravo", *question("Tell me.", stream=True, temperature=0), b'"content":"['),
    ("anthropic from anthropic", "bravo", *question("Tell me.", dialect="anthropic", stream=True), b"text_delta"),
    ("native from gemini", "charlie", "/api/llm/orchestrate", {**ORCHESTRATE, "stream": True}, b"result.delta"),
]


@pytest.mark.parametrize(("name", "path", "body", "words"), [c[1:] for c in _STREAMS], ids=[c[0] for c in _STREAMS])
async def test_hanging_up_amid_a_stream_aborts_it_and_bills_what_came(
    name: str, path: str, body: dict[str, Any], words: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with a_day(tmp_path, four(name, tokens=200, tokens_per_s=20), change=patient) as day:
        caller = await Caller.asks(day.url, path, {**body, "model": f"{name}/{MODEL}"})
        await caller.until(words)
        await caller.hang_up()
        await eventually(lambda: day.counters(name)["aborted"] == 1)
        await nobody_is_blamed(day, cancelled=1)
        async with callers() as session:
            row = (await look(session, f"{day.url}/api/db/requests/recent"))["requests"][0]
        assert row["provider"] == name
        assert row["ttft_s"] is not None
        assert 1 <= row["output_tokens"] < 200
        assert float(row["cost_usd"]) > 0
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_hanging_up_during_a_pause_between_retries_ends_it(tmp_path: Path) -> None:
    with a_day(tmp_path, change=patient) as day:
        day.befall("throttled", seconds=4)
        caller = await Caller.asks(day.url, *question("Tell me."))
        await eventually(lambda: day.seen() == len(DIALECTS) and day.busy() == 0)
        await caller.hang_up()
        async with callers() as session:
            page = await until_seen(
                session, f"{day.url}/api/db/requests/recent", lambda found: found["requests"], within=3.0
            )
        assert page["requests"][0]["outcome"] == "cancelled"
        assert [one["outcome"] for one in page["requests"][0]["attempts"]] == ["throttled"] * len(DIALECTS)
        assert is_quiet(day)


async def test_hanging_up_before_the_question_is_whole_leaves_no_trace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with a_day(tmp_path) as day:
        for rudely in (False, True):
            caller = await Caller.asks(day.url, *question("Tell me." * 1000), cut_at=2000)
            await caller.hang_up(rudely=rudely)
        async with callers() as session:
            assert (await ask(session, day.url, "And now a real one.")).good
            page = await until_seen(session, f"{day.url}/api/db/requests/recent", lambda found: found["requests"])
        assert len(page["requests"]) == 1
        assert day.seen() == 1
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_crowd_that_hangs_up_leaves_nothing_behind(tmp_path: Path) -> None:
    with a_day(tmp_path, change=patient) as day:
        day.befall("hang")
        asked = [question(f"Tell me {number}.", stream=number % 2 == 0) for number in range(60)]
        crowd = await asyncio.gather(*(Caller.asks(day.url, *one) for one in asked))
        await eventually(lambda: day.busy() == 60)
        await asyncio.gather(*(caller.hang_up(rudely=number % 3 == 0) for number, caller in enumerate(crowd)))
        await nobody_is_blamed(day, cancelled=60)
        day.heal()
        async with callers() as session:
            told = await ask(session, day.url, "Are you well?")
            assert told.good
            assert told.attempts == 1
