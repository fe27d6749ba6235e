"""Which answers are drawn for the judge, and what the drawing costs those that are not."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from gateway_world import World, deployment, drain, finished, reply, said, streaming
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog import Route
from gateway.exchange import Preferences
from gateway.quality import grading
from gateway.quality.sampling import JUDGE, Sample, Sampling
from providers.chat import ChatReply, Choice, Text, Usage
from providers.dialects import ANTHROPIC, OPENAI


class Chance(random.Random):
    """Counts what is drawn."""

    def __init__(self) -> None:
        super().__init__(5)
        self.drawn = 0

    def random(self) -> float:
        self.drawn += 1
        return super().random()


class Listening(World):
    """A pipeline whose answers may be drawn."""

    def __init__(self, share: float, *, judged: bool = True, dialect: Any = OPENAI) -> None:
        one = deployment("a/m", dialect=dialect)
        super().__init__([one], routes=[Route("r", (one,), judge=judged)])
        self.chance = Chance()
        self.samples: list[Sample] = []
        self.pipeline._sampling = Sampling(share, self.chance, self.samples.append)  # pyright: ignore[reportPrivateUsage] - as the parts wire it


async def test_an_answer_that_is_not_drawn_has_paid_one_random_number() -> None:
    world = Listening(0.0)
    world.upstreams.on("a", reply())
    await world.pipeline.reply(world.ask())
    world.upstreams.on("a", streaming(said("hi"), finished()))
    await drain((await world.pipeline.stream(world.ask(stream=True))).pieces())
    assert (world.chance.drawn, world.samples) == (2, [])


async def test_about_the_share_is_drawn() -> None:
    world = Listening(0.25)
    world.upstreams.on("a", reply())
    for _ in range(400):
        await world.pipeline.reply(world.ask())
    assert 70 <= len(world.samples) <= 130


@pytest.mark.parametrize("surface", ["stream", "whole"])
async def test_a_route_may_abstain_and_the_judge_is_never_drawn(surface: str) -> None:
    for world, model in (
        (Listening(1.0, judged=False), "r"),
        (Listening(1.0), "m"),
    ):
        ask = world.ask(stream=surface == "stream", model=model)
        if model == "m":
            ask.exchange.surface = JUDGE
        if surface == "stream":
            world.upstreams.on("a", streaming(said("hi"), finished()))
            await drain((await world.pipeline.stream(ask)).pieces())
        else:
            world.upstreams.on("a", reply())
            await world.pipeline.reply(ask)
        assert (world.samples, world.chance.drawn) == ([], 0)


async def test_a_caller_that_leaves_amid_a_stream_leaves_nothing_to_judge() -> None:
    world = Listening(1.0)
    world.upstreams.on("a", streaming(said("one"), said("two"), finished()))
    streamed = await world.pipeline.stream(world.ask(stream=True))
    await streamed.close()
    assert world.samples == []


async def test_an_answer_from_the_cache_is_not_drawn_again() -> None:
    world = Listening(1.0)
    world.upstreams.on("a", reply())
    for _ in range(3):
        await world.pipeline.reply(world.ask(temperature=0, wishes=Preferences(cache="on")))
    assert len(world.samples) == 1


async def test_what_was_drawn_is_what_was_said() -> None:
    world = Listening(1.0)
    world.upstreams.on("a", reply("whole"))
    await world.pipeline.reply(world.ask())
    world.upstreams.on("a", streaming(said("in "), said("pieces"), finished()))
    await drain((await world.pipeline.stream(world.ask(stream=True))).pieces())
    asked = [grading.question(sample, "j") for sample in world.samples]
    assert [b"whole" in (body or b"") for body in asked] == [True, False]
    assert b"in pieces" in (asked[1] or b"")


# --- what the judge is asked, and what it may answer -----------------------------------------------------------


def sample(messages: list[Any], answer: str = "fine", *, dialect: Any = OPENAI) -> Sample:
    body = msgspec.json.encode({"model": "m", "max_tokens": 9, "messages": messages})
    return Sample("req_1", dialect.parse(body), dialect, ChatReply("c", "m", [Choice([Text(answer)])], Usage()))


def shown(one: Sample) -> Any:
    body = grading.question(one, "j")
    return None if body is None else msgspec.json.decode(msgspec.json.decode(body)["messages"][1]["content"])


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
def test_the_judge_sees_the_conversation_and_the_answer(dialect: Any) -> None:
    turns = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": [{"type": "text", "text": "three"}]},
    ]
    assert shown(sample(turns, dialect=dialect)) == {
        "conversation": [
            {"role": "user", "text": "one"},
            {"role": "assistant", "text": "two"},
            {"role": "user", "text": "three"},
        ],
        "answer": "fine",
    }


def test_of_a_long_conversation_the_newest_is_shown_and_a_long_answer_is_left_alone() -> None:
    turns = [{"role": "user", "content": "old " * 5000}, {"role": "user", "content": "new"}]
    told = shown(sample(turns))["conversation"]
    assert told[-1]["text"] == "new"
    assert sum(len(one["text"]) for one in told) == 8_000
    assert shown(sample(turns[1:], "x" * 16_000)) is not None
    assert shown(sample(turns[1:], "x" * 16_001)) is None
    assert shown(sample(turns[1:], "")) is None


def test_a_picture_is_not_judged_in_words() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    assert shown(sample([{"role": "user", "content": [picture, {"type": "text", "text": "what?"}]}])) is None


@given(st.text(max_size=200))
def test_no_answer_breaks_out_of_its_quotes(text: str) -> None:
    assert shown(sample([{"role": "user", "content": "q"}], f"a{text}"))["answer"] == f"a{text}"


def graded(text: str) -> float | None:
    return grading.grade(ChatReply("c", "m", [Choice([Text(text)])], Usage()))


@given(st.floats(0, 1))
def test_every_grade_on_the_scale_is_read(score: float) -> None:
    assert graded(f' {{"score": {score}}}\n') == pytest.approx(score)
    assert graded('{"score": 1}') == 1.0


@given(st.text(max_size=60) | st.floats(1.0001, 1e9).map(lambda score: f'{{"score": {score}}}'))
def test_nothing_else_is_a_grade(text: str) -> None:
    assert graded(text) is None
    assert grading.grade(ChatReply("c", "m", [], Usage())) is None
