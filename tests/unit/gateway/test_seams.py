"""Streams continued by another: what it is asked, what the caller gets, who is billed, and what is left alone."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from gateway_world import Answer, Asked, Reader, World, deployment, finished, opened, said, streaming
from paused_time import paused

from gateway.api.chat import CHAT_COMPLETIONS, MESSAGES
from gateway.api.ingress import Surface
from gateway.errors import StreamBroken
from gateway.exchange import Preferences
from gateway.failover import RetryPolicy
from providers.dialect import Dialect
from providers.dialects import ANTHROPIC, GEMINI, OPENAI
from providers.errors import Cut, Fault, Overloaded
from providers.naming import plain
from providers.sse import Parser

CONTINUE = Preferences(continue_streams=True)
#: Eight characters, two tokens; the one that breaks was sent ten tokens' worth of question.
HALF = "The load"


def events(*parts: dict[str, Any]) -> bytes:
    """Events as Anthropic writes them."""
    return b"".join(b"event: %b\ndata: %b\n\n" % (one["type"].encode(), msgspec.json.encode(one)) for one in parts)


def start(index: int = 0, kind: str = "text", **more: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **more}}


def words(text: str, index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}


def stop(index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


USAGE = {"input_tokens": 10, "output_tokens": 1}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "c", "content": [], "usage": USAGE}
BEGUN: dict[str, Any] = {"type": "message_start", "message": {**MESSAGE, "stop_reason": None, "stop_sequence": None}}
ENDED: tuple[dict[str, Any], ...] = (
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 5},
    },
    {"type": "message_stop"},
)


def claude(*texts: str) -> Answer:
    return streaming(events(BEGUN, start(text=""), *(words(text) for text in texts), stop(), *ENDED))


def world_of(first: Answer, then: Answer | Fault | Any, *, second: str = "b/m", dialect: Dialect = OPENAI) -> World:
    provider, _, model = second.partition("/")
    spoken = ANTHROPIC if "claude" in model else OPENAI
    others = msgspec.structs.replace(deployment(second, priority=1, dialect=spoken), model="m")
    world = World([deployment("a/m", dialect=dialect), others], policy=RetryPolicy(rounds=0))
    world.upstreams.on("a", first)
    world.upstreams.on(provider, then)
    return world


async def read(world: World, *, surface: Surface = CHAT_COMPLETIONS, **fields: Any) -> tuple[str, list[bytes]]:
    """Everything the caller gets: the text, and the pieces."""
    streamed = await world.pipeline.stream(world.ask(surface=surface, wishes=CONTINUE, stream=True, **fields))
    pieces = [piece async for piece in streamed.pieces()]
    return text_of(b"".join(pieces)), pieces


def text_of(data: bytes) -> str:
    found: list[str] = []
    for line in data.decode().splitlines():
        if line.startswith("data: {"):
            event = msgspec.json.decode(line[6:])
            found += [one["delta"].get("content") or "" for one in event.get("choices", ())]
            if event.get("type") == "content_block_delta":
                found.append(event["delta"].get("text", ""))
    return "".join(found)


def sent(world: World) -> Any:
    """What the second was asked."""
    return msgspec.json.decode(world.upstreams.asked[1].body)


def cut(*texts: str) -> Answer:
    return streaming(opened(), *(said(text) for text in texts), Cut("gone"))


@paused
async def test_the_next_is_given_the_answer_so_far_and_told_to_go_on() -> None:
    world = world_of(cut(HALF), streaming(said(" hangs."), finished()))
    assert (await read(world))[0] == "The load hangs."
    question, answer, order = sent(world)["messages"]
    assert (question["role"], answer) == ("user", {"role": "assistant", "content": HALF})
    assert order["role"] == "user"
    assert "exactly where it stops" in order["content"]


@paused
async def test_older_claude_models_are_given_it_as_their_own_beginning() -> None:
    world = world_of(cut(HALF + " \n"), claude(" \nhangs", "."), second="b/claude-haiku-4-5")
    assert (await read(world))[0] == "The load \nhangs."
    assert sent(world)["messages"][-1] == {"role": "assistant", "content": [{"type": "text", "text": HALF}]}


@pytest.mark.parametrize("begins", ["hangs.", " hangs.", " \nhangs."])
@paused
async def test_white_space_that_a_prefill_must_not_end_with_is_not_said_twice(begins: str) -> None:
    world = world_of(cut(HALF + " \n"), claude(*begins), second="b/claude-haiku-4-5")
    assert (await read(world))[0] == "The load \nhangs."


@paused
async def test_models_that_think_first_are_told_to_go_on() -> None:
    world = world_of(cut(HALF), claude(" hangs."), second="b/claude-haiku-4-5")
    assert (await read(world, reasoning_effort="low"))[0] == "The load hangs."
    assert sent(world)["messages"][-1]["role"] == "user"


@paused
async def test_the_next_is_asked_as_fits_it() -> None:
    world = world_of(cut(HALF), claude(" hangs."), second="b/claude-haiku-4-5")
    tools = [{"type": "function", "function": {"name": "files.read"}}]
    assert (await read(world, tools=tools, stop=["\n", "END"]))[0] == "The load hangs."
    assert sent(world)["tools"][0]["name"] == plain("files.read")
    assert sent(world)["stop_sequences"] == ["END"]


@paused
async def test_what_was_said_counts_against_the_callers_bound() -> None:
    world = world_of(cut(HALF), streaming(said("!"), finished()))
    await read(world, max_tokens=20)
    assert sent(world)["max_tokens"] == 18
    exhausted = world_of(cut(HALF), streaming(said("!"), finished()))
    with pytest.raises(StreamBroken):
        await read(exhausted, max_tokens=2)
    assert len(exhausted.upstreams.asked) == 1


@paused
async def test_both_are_billed_and_each_ticket_tells_its_own_end() -> None:
    world = world_of(cut("x" * 40), streaming(said("y"), finished(prompt=30, answer=7)))
    _, pieces = await read(world, stream_options={"include_usage": True})
    closed = world.only()
    assert (closed.outcome, closed.status, closed.continued, closed.provider) == ("ok", 200, 1, "a")
    first, second = closed.attempts
    assert (first.outcome, second.outcome) == ("cut", "ok")
    assert first.usage is not None
    assert second.ttft is not None
    assert closed.cost == pytest.approx(first.cost + second.cost)
    assert (closed.usage.input_tokens, closed.usage.output_tokens) == (first.usage.input_tokens + 30, 17)
    assert world.balancer.endings() == [
        ("a/m", "failure", "cut", True),
        ("b/m", "success", 30, 7, second.cost, 0),
    ]
    told = msgspec.json.decode(pieces[-1].split(b"\n\n")[0].removeprefix(b"data: "))["usage"]
    assert (told["prompt_tokens"], told["completion_tokens"]) == (closed.usage.input_tokens, 17)
    assert all(answer.closed for answer in world.upstreams.answers)


@paused
async def test_a_caller_who_leaves_amid_the_second_part_pays_for_what_came() -> None:
    world = world_of(cut("x" * 40), streaming(said("y" * 40), asyncio.Event(), finished()))
    reader = Reader(await world.pipeline.stream(world.ask(wishes=CONTINUE, stream=True)))
    while b"yyy" not in await anext(reader):
        pass
    await reader.leave()
    closed = world.only()
    assert [(one.outcome, one.usage.output_tokens) for one in closed.attempts if one.usage] == [
        ("cut", 10),
        ("cancelled", 10),
    ]
    assert (closed.outcome, closed.usage.output_tokens) == ("cancelled", 20)
    assert [ending[1] for ending in world.balancer.endings()] == ["failure", "cancelled"]
    assert all(answer.closed for answer in world.upstreams.answers)


@paused
async def test_those_who_share_the_stream_get_the_seam_too_and_it_is_paid_once() -> None:
    go = asyncio.Event()
    world = world_of(streaming(said(HALF), go, Cut("gone")), streaming(said(" hangs."), finished()))
    readers = [
        Reader(await world.pipeline.stream(world.ask(wishes=CONTINUE, stream=True, temperature=0))) for _ in range(2)
    ]
    go.set()
    texts = [text_of(b"".join([piece async for piece in reader])) for reader in readers]
    assert texts == ["The load hangs."] * 2
    assert len(world.upstreams.asked) == 2
    assert sorted(one.cache for one in world.closed) == ["coalesced", "miss"]
    assert world.store.sets == 0, "a continued answer is not kept"


@paused
async def test_nobody_is_asked_to_add_to_what_was_all_said() -> None:
    whole = finished().split(b"data: [DONE]")[0]
    world = world_of(streaming(said("All of it."), whole, Cut("gone")), streaming(said("more"), finished()))
    with pytest.raises(StreamBroken):
        await read(world)
    assert len(world.upstreams.asked) == 1


def called(arguments: str) -> bytes:
    """An event in which a tool's call begins."""
    call = {"index": 0, "id": "t1", "type": "function", "function": {"name": "weigh", "arguments": arguments}}
    choice = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}
    return b"data: " + msgspec.json.encode({"id": "c1", "model": "m", "created": 1, "choices": [choice]}) + b"\n\n"


@paused
async def test_a_call_that_has_begun_is_nobody_elses_to_end() -> None:
    world = world_of(streaming(said("Let me see."), called('{"a'), Cut("gone")), streaming(said("!"), finished()))
    with pytest.raises(StreamBroken):
        await read(world)
    assert len(world.upstreams.asked) == 1


@paused
async def test_neither_is_one_that_began_in_the_second_part() -> None:
    world = World([deployment(f"{name}/m", priority=n) for n, name in enumerate("abc")], policy=RetryPolicy(rounds=0))
    world.upstreams.on("a", cut(HALF))
    world.upstreams.on("b", streaming(said(" is"), called('{"a'), Cut("gone as well")))
    with pytest.raises(StreamBroken, match="b/m: gone as well"):
        await read(world)
    closed = world.only()
    assert [one.outcome for one in closed.attempts] == ["cut", "cut"]
    assert closed.cost == pytest.approx(sum(one.cost for one in closed.attempts))


@paused
async def test_when_the_next_cannot_the_break_is_told_as_it_was() -> None:
    world = world_of(cut(HALF), Overloaded())
    with pytest.raises(StreamBroken, match="a/m: gone"):
        await read(world)
    assert [one.outcome for one in world.only().attempts] == ["cut", "overloaded"]


@paused
async def test_a_break_after_the_deadline_is_not_continued() -> None:
    late = asyncio.Event()
    world = world_of(streaming(said(HALF), late, Cut("gone")), streaming(said("!"), finished()))
    reader = Reader(await world.pipeline.stream(world.ask(wishes=CONTINUE, stream=True)))
    asyncio.get_running_loop().call_later(90.0, late.set)
    with pytest.raises(StreamBroken):
        _ = [piece async for piece in reader]
    assert len(world.upstreams.asked) == 1


@paused
async def test_what_the_second_thinks_is_not_part_of_the_answer() -> None:
    thinking = start(0, "thinking", thinking="", signature="")
    thought = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "Where was I?"},
    }
    then = streaming(events(BEGUN, thinking, thought, stop(), start(1, text=""), words(" hangs.", 1), stop(1), *ENDED))
    world = world_of(cut(HALF), then, second="b/claude-5")
    text, pieces = await read(world)
    assert text == "The load hangs."
    assert b"Where was I" not in b"".join(pieces)


# In Anthropic's format blocks are numbered, and a caller's SDK holds us to it


def blocks(pieces: list[bytes]) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for line in b"".join(pieces).decode().splitlines():
        if line.startswith("data: {"):
            event = msgspec.json.decode(line[6:])
            if "index" in event:
                found.append((event["type"].removeprefix("content_block_"), event["index"]))
    return found


async def read_blocks(*parts: dict[str, Any]) -> list[tuple[str, int]]:
    """Blocks a caller of Anthropic's format sees when its own provider breaks after these events."""
    first = streaming(events(BEGUN, *parts), Cut("gone"))
    world = world_of(first, streaming(said(" more"), finished()), dialect=ANTHROPIC)
    _, pieces = await read(world, surface=MESSAGES, max_tokens=100)
    return blocks(pieces)


@paused
async def test_an_open_block_goes_on() -> None:
    found = await read_blocks(start(text=""), words(HALF))
    assert found == [("start", 0), ("delta", 0), ("delta", 0), ("stop", 0)]


@paused
async def test_a_closed_block_is_followed_by_the_next() -> None:
    found = await read_blocks(start(text=""), words(HALF), stop())
    assert found == [("start", 0), ("delta", 0), ("stop", 0), ("start", 1), ("delta", 1), ("stop", 1)]


@paused
async def test_blocks_that_held_nothing_are_counted() -> None:
    found = await read_blocks(start(text=""), stop(), start(1, text=""), words(HALF, 1), stop(1), start(2, text=""))
    assert found[-4:] == [("stop", 2), ("start", 3), ("delta", 3), ("stop", 3)]


@paused
async def test_a_servers_tool_is_nothing_another_can_go_on_with() -> None:
    search = start(0, "server_tool_use", id="s1", name="web_search", input={})
    first = streaming(events(BEGUN, search, stop(), start(1, text=""), words(HALF, 1)), Cut("gone"))
    world = world_of(first, streaming(said(" more"), finished()), dialect=ANTHROPIC)
    with pytest.raises(StreamBroken):
        await read(world, surface=MESSAGES, max_tokens=100)
    assert len(world.upstreams.asked) == 1


@pytest.mark.parametrize(
    ("part", "opaque"),
    [
        ({"text": "hello"}, False),
        ({"text": ""}, False),
        ({"text": "hm", "thought": True}, False),
        ({"functionCall": {"name": "weigh", "args": {}}}, False),
        ({"inlineData": {"mimeType": "image/png", "data": "AA=="}}, True),
        ({"executableCode": {"language": "PYTHON", "code": "1"}}, True),
    ],
    ids=str,
)
def test_neither_is_a_picture_amid_a_gemini_stream(part: dict[str, Any], opaque: bool) -> None:
    decoder = GEMINI.stream_decoder()
    candidate = {"index": 0, "content": {"role": "model", "parts": [part]}}
    for event in Parser().feed(b"data: " + msgspec.json.encode({"candidates": [candidate]}) + b"\n\n"):
        decoder.feed(event)
    assert decoder.opaque is opaque


@paused
async def test_the_bodies_on_record_are_what_the_caller_got() -> None:
    world = world_of(cut(HALF), streaming(said(" hangs."), finished()))
    ask = world.ask(wishes=CONTINUE, stream=True)
    ask.exchange.request_body = ask.body
    streamed = await world.pipeline.stream(ask)
    got = b"".join([piece async for piece in streamed.pieces()])
    assert world.only().response_body == got


@paused
async def test_off_unless_asked_for() -> None:
    world = world_of(cut(HALF), streaming(said("!"), finished()))
    streamed = await world.pipeline.stream(world.ask(stream=True))
    with pytest.raises(StreamBroken):
        _ = [piece async for piece in streamed.pieces()]
    assert [_host(one) for one in world.upstreams.asked] == ["a"]


def _host(asked: Asked) -> str:
    return asked.url.split("/")[2]
