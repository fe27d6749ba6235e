"""The bytes of a connection: bodies with a bound, callers that hang up, headers that tell what happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest
from gateway_world import exchange
from hypothesis import given
from hypothesis import strategies as st
from paused_time import START, paused, run, settle

from gateway.api import wire
from gateway.errors import TooLarge
from gateway.exchange import Attempt

LIMIT = 100


class Caller:
    """Sends its body in pieces, then hangs up when told to."""

    def __init__(self, *pieces: bytes, gone: bool = False) -> None:
        self._pieces = list(pieces)
        self._gone = gone
        self._hang_up = asyncio.Event()
        self.read = 0
        self.listening = 0

    def hang_up(self) -> None:
        self._hang_up.set()

    async def receive(self) -> Any:
        if self._pieces:
            self.read += 1
            piece = self._pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(self._pieces) or self._gone}
        if not self._gone:
            self.listening += 1
            try:
                await self._hang_up.wait()
            finally:
                self.listening -= 1
        return {"type": "http.disconnect"}


def declared(length: int | str) -> dict[bytes, bytes]:
    return {b"content-length": str(length).encode()}


# ---------------------------------------------------------------------------------------------------------------- body


@given(body=st.binary(max_size=LIMIT), cuts=st.lists(st.integers(0, LIMIT), max_size=4))
def test_a_body_is_the_same_in_any_number_of_pieces(body: bytes, cuts: list[int]) -> None:
    async def scenario() -> None:
        ends = [0, *sorted(cuts), LIMIT]
        pieces = [body[start:end] for start, end in pairwise(ends)]
        assert await wire.read_body(Caller(*pieces).receive, declared(len(body)), LIMIT) == body

    run(scenario())


@paused
async def test_a_body_that_came_at_once_is_not_copied() -> None:
    body = b"x" * LIMIT
    assert await wire.read_body(Caller(body).receive, {}, LIMIT) is body


@paused
async def test_a_request_without_a_body_has_an_empty_one() -> None:
    async def receive() -> Any:
        return {"type": "http.request"}

    assert await wire.read_body(receive, {}, LIMIT) == b""


@paused
async def test_a_declared_length_beyond_the_limit_is_refused_unread() -> None:
    caller = Caller(b"x")
    with pytest.raises(TooLarge, match="100 bytes") as caught:
        await wire.read_body(caller.receive, declared(LIMIT + 1), LIMIT)
    assert caught.value.status == 413
    assert caller.read == 0


@pytest.mark.parametrize("headers", [{}, declared(1), declared("soon"), declared("-1"), declared("")])
@pytest.mark.parametrize("pieces", [[101], [100, 1], [50, 50, 1], [99, 2, 50, 50]])
@paused
async def test_what_is_sent_is_bounded_whatever_was_declared(headers: dict[bytes, bytes], pieces: list[int]) -> None:
    caller = Caller(*(b"x" * size for size in pieces))
    with pytest.raises(TooLarge):
        await wire.read_body(caller.receive, headers, LIMIT)
    assert sum(pieces[: caller.read - 1]) <= LIMIT


@paused
async def test_a_body_as_large_as_the_limit_is_taken() -> None:
    assert len(await wire.read_body(Caller(b"x" * 60, b"x" * 40).receive, declared(LIMIT), LIMIT)) == LIMIT


@pytest.mark.parametrize("pieces", [[], [b"x"], [b"x", b"y"]])
@paused
async def test_a_caller_that_hangs_up_amid_its_body_is_answered_by_nobody(pieces: list[bytes]) -> None:
    with pytest.raises(wire.HungUp):
        await wire.read_body(Caller(*pieces, gone=True).receive, {}, LIMIT)


# ------------------------------------------------------------------------------------------------------------ listener


async def listened(caller: Caller, work: Callable[[], Coroutine[Any, Any, str]]) -> str:
    with wire.Listener(caller.receive):
        return await work()


def takes(seconds: float) -> Callable[[], Coroutine[Any, Any, str]]:
    async def work() -> str:
        await asyncio.sleep(seconds)
        return "done"

    return work


@paused
async def test_work_is_cancelled_when_the_caller_hangs_up() -> None:
    caller = Caller()
    cancelled: list[float] = []

    async def work() -> str:
        try:
            await asyncio.sleep(60.0)
        except asyncio.CancelledError:
            cancelled.append(asyncio.get_running_loop().time() - START)
            raise
        return "done"

    asyncio.get_running_loop().call_later(2.0, caller.hang_up)
    with pytest.raises(wire.HungUp):
        await listened(caller, work)
    assert cancelled == [2.0]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@paused
async def test_the_task_goes_on_after_a_hang_up() -> None:
    caller = Caller()
    caller.hang_up()
    with pytest.raises(wire.HungUp):
        await listened(caller, takes(60.0))
    await asyncio.sleep(1.0)


@paused
async def test_only_a_disconnect_is_a_hang_up() -> None:
    messages = [{"type": "http.request", "body": b"", "more_body": False}] * 3

    async def receive() -> Any:
        await asyncio.sleep(0.01)
        if messages:
            return messages.pop()
        return await asyncio.Event().wait()

    with wire.Listener(receive):
        await asyncio.sleep(5.0)
    assert messages == []


@paused
async def test_work_that_ends_leaves_nobody_listening() -> None:
    caller = Caller()
    assert await listened(caller, takes(5.0)) == "done"
    await settle()
    assert caller.listening == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


@paused
async def test_quick_work_is_done_before_anybody_listens() -> None:
    caller = Caller()
    caller.hang_up()
    assert await listened(caller, takes(0.02)) == "done"
    await asyncio.sleep(1.0)
    assert (caller.read, caller.listening) == (0, 0)


@paused
async def test_each_of_many_is_listened_to_after_its_own_time_and_none_that_has_ended() -> None:
    patience = wire.Patience()
    began: dict[int, float] = {}

    def receiving(number: int) -> Callable[[], Coroutine[Any, Any, Any]]:
        async def receive() -> Any:
            began[number] = round(asyncio.get_running_loop().time() - START, 4)
            return await asyncio.Event().wait()

        return receive

    async def one(number: int, seconds: float) -> None:
        with wire.Listener(receiving(number), patience):
            await asyncio.sleep(seconds)

    async with asyncio.TaskGroup() as tasks:
        for number in range(10):
            # Every other one is quick.
            tasks.create_task(one(number, 0.001 if number % 2 else 1.0))
            await asyncio.sleep(0.01)
    assert began == {number: round(number * 0.01 + 0.03, 4) for number in range(0, 10, 2)}
    # Nobody is waited for any more, and whoever comes now is again.
    await one(11, 1.0)
    assert began.keys() >= {11}


@paused
async def test_an_error_of_the_work_stays_that_error() -> None:
    async def work() -> str:
        await asyncio.sleep(1.0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await listened(Caller(), work)
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("after", [0.0, 0.01, 1.0])
@paused
async def test_a_cancellation_from_outside_stays_one(after: float) -> None:
    caller = Caller()
    task = asyncio.create_task(listened(caller, takes(60.0)))
    await asyncio.sleep(after)
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    await settle()
    assert caller.listening == 0


@paused
async def test_a_cancellation_from_outside_outlives_a_hang_up_at_the_same_time() -> None:
    caller = Caller()
    task = asyncio.create_task(listened(caller, takes(60.0)))
    await asyncio.sleep(1.0)
    caller.hang_up()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


# ------------------------------------------------------------------------------------------------------------- answers


def shown(pairs: wire.Pairs) -> dict[str, str]:
    assert len({name for name, _ in pairs}) == len(pairs)
    return {name.decode(): value.decode("latin-1") for name, value in pairs}


@paused
async def test_headers_say_what_happened() -> None:
    done = exchange(provider="a", model="m", strategy="cost", reason="strategy:cost", cost=0.00015, overhead=0.00123)
    done.attempts = [Attempt("a", "m", 0.0), Attempt("b", "m", 0.0)]
    done.dropped = ("seed", "logit_bias")
    done.simulated = True
    assert shown(wire.facts(done)) == {
        "x-steelyard-request-id": "req_1",
        "x-steelyard-cache": "bypass",
        "x-steelyard-attempts": "2",
        "x-steelyard-strategy": "cost",
        "x-steelyard-overhead-ms": "1.23",
        "x-steelyard-provider": "a",
        "x-steelyard-model": "m",
        "x-steelyard-reason": "strategy:cost",
        "x-steelyard-cost-usd": "0.00015",
        "x-steelyard-dropped-params": "seed,logit_bias",
        "x-steelyard-simulated": "true",
    }


@pytest.mark.parametrize(("cost", "told"), [(0.0, "0"), (10.0, "10"), (1e-10, "0.0000000001"), (120.5, "120.5")])
@paused
async def test_a_cost_is_a_plain_decimal(cost: float, told: str) -> None:
    assert shown(wire.facts(exchange(cost=cost)))["x-steelyard-cost-usd"] == told


@paused
async def test_a_streams_cost_is_not_known_yet() -> None:
    assert "x-steelyard-cost-usd" not in shown(wire.facts(exchange(ttft=0.5)))


@paused
async def test_a_name_that_headers_cannot_hold_is_shown_as_well_as_they_can() -> None:
    assert shown(wire.facts(exchange(provider="a", model="mödel→x")))["x-steelyard-model"] == "mödel?x"


@paused
async def test_a_callers_field_name_cannot_split_a_header() -> None:
    pairs = wire.facts(exchange(dropped=("a\r\nset-cookie: x",)))
    assert not any(b"\r" in value or b"\n" in value for _, value in pairs)


@paused
async def test_an_answer_is_json_with_its_length() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await wire.send_whole(send, 418, b'{"a":1}', [(b"x-a", b"b")])
    start, body = sent
    assert (start["type"], start["status"]) == ("http.response.start", 418)
    assert dict(start["headers"]) == {b"content-type": b"application/json", b"content-length": b"7", b"x-a": b"b"}
    assert body == {"type": "http.response.body", "body": b'{"a":1}', "more_body": False}


@paused
async def test_a_stream_is_sent_piece_by_piece_unbuffered_and_ended() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def pieces() -> AsyncIterator[bytes]:
        assert sent[-1]["type"] == "http.response.start"
        yield b"one"
        assert sent[-1]["body"] == b"one"
        yield b"two"
        assert sent[-1]["body"] == b"two"

    await wire.send_stream(send, pieces(), [])
    headers = dict(sent[0]["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert (headers[b"cache-control"], headers[b"x-accel-buffering"]) == (b"no-cache", b"no")
    assert [(one["body"], one["more_body"]) for one in sent[1:]] == [(b"one", True), (b"two", True), (b"", False)]
