"""Laws of the simulator's physics, words, schedule and control, on a clock of our own."""

from __future__ import annotations

import asyncio
import json
import math
import statistics
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.simulator import (
    Faults,
    Knee,
    Lengths,
    Limits,
    Mode,
    Model,
    Outage,
    Provider,
    Simulation,
    Simulator,
    Speed,
    anthropic_ask,
    default_cast,
    instant,
    load,
)
from providers.simulator.openai import duration
from providers.simulator.physics import (
    Bucket,
    PromptCache,
    first_token_s,
    load_factor,
    mishap,
    outage_at,
    output_tokens,
    tokens,
)
from providers.simulator.vectors import embed
from providers.simulator.wire import Complaint
from providers.simulator.writing import directives

# --- physics


def test_first_token_follows_its_log_normal() -> None:
    speed = Speed(first_token_s=0.4, sigma=0.3)
    logs = [math.log(first_token_s(speed, 0, Random(n))) for n in range(2000)]
    assert math.isclose(math.exp(statistics.median(logs)), 0.4, rel_tol=0.05)
    assert math.isclose(statistics.stdev(logs), 0.3, rel_tol=0.1)


def test_stragglers_come_at_their_share() -> None:
    speed = Speed(first_token_s=1.0, straggler_share=0.2, straggler_factor=5.0)
    rng = Random(1)
    late = sum(first_token_s(speed, 0, rng) > 1 for _ in range(2000))
    assert 340 < late < 460


def test_prefill_counts_uncached_tokens_only() -> None:
    assert first_token_s(Speed(first_token_s=0.5, prefill_s_per_1k=0.1), 2000, Random(0)) == pytest.approx(0.7)


def test_zero_means_at_once() -> None:
    assert first_token_s(Speed(), 100_000, Random(0)) == 0


def test_lengths_have_their_median_and_grow_with_the_quantile() -> None:
    lengths = Lengths(median_tokens=60, sigma=0.5)
    assert output_tokens(lengths, 0.5) == 60
    assert output_tokens(lengths, 0.05) < 60 < output_tokens(lengths, 0.95)


def test_load_slows_only_beyond_the_knee() -> None:
    knee = Knee(in_flight=4, slowdown=0.25)
    assert [load_factor(knee, n) for n in (1, 4, 5, 8)] == [1.0, 1.0, 1.25, 2.0]
    assert load_factor(None, 1000) == 1.0


def test_outages_begin_end_and_repeat() -> None:
    once, often = Outage(start_s=10, duration_s=5), Outage(start_s=100, duration_s=5, every_s=50, kind="hang")
    kinds = {at: outage_at((once, often), at) for at in (9.9, 10, 14.9, 15, 99, 102, 106, 152)}
    assert [at for at, outage in kinds.items() if outage] == [10, 14.9, 102, 152]
    assert kinds[152] is often


def test_mishaps_come_at_their_shares() -> None:
    rng = Random(3)
    drawn = [mishap(Faults(down=0.1, cut=0.2), rng) for _ in range(4000)]
    assert 320 < drawn.count("down") < 480
    assert 680 < drawn.count("cut") < 920
    assert mishap(Faults(), rng) is None


def test_a_bucket_empties_refills_and_tells_how_long() -> None:
    bucket = Bucket(60, now=0.0)
    assert bucket.take(59, 0.0).remaining == 1
    refused = bucket.take(3, 0.0)
    assert refused.refused_for_s == pytest.approx(2.0)
    assert bucket.take(3, refused.refused_for_s or 0).refused_for_s is None
    assert bucket.take(0, 1000).reset_s == 0


@given(st.lists(st.tuples(st.integers(0, 200), st.floats(0, 60)), max_size=30))
def test_who_waits_as_told_is_admitted(steps: list[tuple[int, float]]) -> None:
    bucket, now = Bucket(100, now=0.0), 0.0
    for amount, pause in steps:
        now += pause
        allowance = bucket.take(amount, now)
        assert 0 <= allowance.remaining <= 100
        if allowance.refused_for_s is not None:
            now += allowance.refused_for_s
            assert bucket.take(amount, now).refused_for_s is None


def test_the_prompt_cache_forgets_after_five_minutes_and_keeps_order() -> None:
    cache, prompt = PromptCache(), "a" * 1024 + "b" * 1024 + "tail"
    assert cache.lookup("m", prompt, 0.0) == (0, 512)
    assert cache.lookup("m", prompt, 299.0) == (512, 0)
    assert cache.lookup("m", "a" * 1024 + "c" * 1024, 300.0) == (256, 256)
    assert cache.lookup("m", "c" * 1024 + "b" * 1024, 300.0) == (0, 512)
    assert cache.lookup("other", prompt, 300.0) == (0, 512)
    assert cache.lookup("m", prompt, 700.0) == (0, 512)


def test_durations_read_as_go_writes_them() -> None:
    assert [duration(s) for s in (0, 0.02, 1, 1.5, 60, 3723)] == ["0ms", "20ms", "1s", "1.5s", "1m0s", "1h2m3s"]


@given(st.text(max_size=60), st.text(max_size=60))
def test_vectors_are_unit_and_repeatable(one: str, other: str) -> None:
    a, b = embed(one, 64), embed(other, 64)
    assert math.isclose(sum(x * x for x in a), 1, rel_tol=1e-9)
    assert a == embed(one, 64)
    assert -1.0000001 <= sum(x * y for x, y in zip(a, b, strict=True)) <= 1.0000001


def test_like_texts_lie_nearer_than_unlike_ones() -> None:
    def cosine(one: str, other: str) -> float:
        return sum(x * y for x, y in zip(embed(one, 256), embed(other, 256), strict=True))

    assert cosine("the price of tea in China", "the price of tea in India") > 0.6
    assert abs(cosine("the price of tea in China", "wooden boats sail fast")) < 0.3


def test_directives_are_read_and_unknown_ones_ignored() -> None:
    read = directives("please #sim tokens=50 and #sim tools=a,b #sim fail=529 #sim nonsense=1 #sim think")
    assert (read.tokens, read.tools, read.fail, read.think) == (50, ("a", "b"), "overloaded", True)
    assert directives("#sim fail=nothing #sim tokens=many") == directives("plain")


# --- configuration


def test_unknown_keys_and_impossible_shares_are_refused() -> None:
    model = {"name": "m"}
    provider: dict[str, Any] = {"name": "p", "dialect": "openai", "models": [model]}
    assert load({"providers": [provider]}).providers[0].models[0].name == "m"
    wrong: list[dict[str, Any]] = [
        {**provider, "speeed": 1},
        {**provider, "faults": {"down": 0.6, "hang": 0.6}},
        {**provider, "models": [model, model]},
        {**provider, "outages": [{"start_s": 0, "duration_s": 10, "every_s": 5}]},
        {**provider, "limits": {"requests_per_min": 0}},
    ]
    for one in wrong:
        with pytest.raises(msgspec.ValidationError):
            load({"providers": [one]})
    with pytest.raises(msgspec.ValidationError):
        load({"providers": [provider, provider]})


def test_a_key_never_shows_in_a_repr() -> None:
    provider = Provider(name="p", dialect="openai", models=(Model(name="m"),), api_key="very-secret")
    assert "very-secret" not in repr(Simulation(providers=(provider,)))


def test_the_default_cast_offers_four_candidates_for_one_name() -> None:
    cast = default_cast()
    assert [any(model.name == "sim-chat" for model in provider.models) for provider in cast.providers] == [True] * 4
    chats = [model for provider in cast.providers for model in provider.models if model.kind == "chat"]
    assert all(0.15 <= model.speed.first_token_s <= 0.6 for model in chats)
    assert all(model.speed == Speed() for provider in instant(cast).providers for model in provider.models)


# --- the application, on paused time


class Clock:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.naps: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


def simulator(clock: Clock, **provider: Any) -> Simulator:
    told: dict[str, Any] = {"name": "p", "dialect": "openai", "models": (Model(name="m"),), **provider}
    cast = Simulation(providers=(Provider(**told),))
    return Simulator(cast, clock=clock, wall=lambda: 1_800_000_000.0 + clock.now, sleep=clock.sleep, seed=7)


async def post(app: Simulator, path: str, body: Any, *, gone: Awaitable[Any] | None = None) -> tuple[int, bytes]:
    """Send one request; the caller hangs up when `gone` is done."""
    first = True
    never: Callable[[], Awaitable[Any]] = asyncio.Event().wait

    async def receive() -> dict[str, Any]:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}
        await (gone if gone is not None else never())
        return {"type": "http.disconnect"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}
    await app(scope, receive, send)
    status = sent[0]["status"] if sent else 0
    return status, b"".join(message.get("body", b"") for message in sent)


def chat(said: str = "hello #sim tokens=40", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": said}], **more}


CHAT = "/p/v1/chat/completions"


async def test_a_whole_answer_takes_first_token_plus_output() -> None:
    clock = Clock()
    app = simulator(clock, models=(Model(name="m", speed=Speed(first_token_s=0.5, tokens_per_s=20)),))
    assert (await post(app, CHAT, chat()))[0] == 200
    assert clock.now == pytest.approx(0.5 + 40 / 20)


async def test_a_stream_is_paced_and_ends_when_the_whole_would() -> None:
    clock = Clock()
    app = simulator(clock, models=(Model(name="m", speed=Speed(first_token_s=0.5, tokens_per_s=20)),))
    _, body = await post(app, CHAT, chat(stream=True))
    assert body.endswith(b"data: [DONE]\n\n")
    assert clock.naps[0] == 0.5
    assert len(clock.naps) == 1 + 40
    assert clock.now == pytest.approx(0.5 + 40 / 20)


async def test_no_latency_never_sleeps() -> None:
    clock = Clock()
    await post(simulator(clock), CHAT, chat(stream=True))
    assert clock.naps == []


async def test_slow_multiplies_and_drip_pauses() -> None:
    clock = Clock()
    app = simulator(clock, models=(Model(name="m", speed=Speed(first_token_s=0.5)),))
    app.control("p", Mode(mode="slow", factor=4, seconds=1))
    await post(app, CHAT, chat())
    assert clock.now == pytest.approx(3.0)
    app.control("p", Mode(mode="drip", seconds=2))
    await post(app, CHAT, chat("#sim tokens=3", stream=True))
    assert clock.naps[-3:] == [2.0, 2.0, 2.0]


async def test_outages_come_and_go_with_the_clock() -> None:
    clock = Clock()
    app = simulator(clock, outages=(Outage(start_s=10, duration_s=5),))
    seen: list[int] = []
    for clock.now in (0.0, 12.0, 20.0):
        seen.append((await post(app, CHAT, chat()))[0])
    assert seen == [200, 500, 200]


async def test_modes_override_chance_and_may_be_counted() -> None:
    app = simulator(Clock(), faults=Faults(overloaded=1.0))
    app.control("p", Mode(mode="down", requests=2))
    assert [(await post(app, CHAT, chat()))[0] for _ in range(3)] == [500, 500, 503]


async def test_waiting_out_a_quota_admits_again() -> None:
    clock = Clock()
    app = simulator(clock, limits=Limits(requests_per_min=1))
    first, refused = [(await post(app, CHAT, chat()))[0] for _ in range(2)]
    clock.now += 60
    assert (first, refused, (await post(app, CHAT, chat()))[0]) == (200, 429, 200)


async def test_the_same_seed_says_and_does_the_same() -> None:
    def world() -> Simulator:
        return simulator(Clock(), models=(Model(name="m", lengths=Lengths(sigma=1.0)),), faults=Faults(down=0.5))

    one, other = world(), world()
    for n in range(20):
        assert await post(one, CHAT, chat(f"question {n}")) == await post(other, CHAT, chat(f"question {n}"))


async def test_a_caller_who_hangs_up_is_counted_once_and_leaves_nothing_in_flight() -> None:
    app = simulator(Clock())
    app.control("p", Mode(mode="hang"))
    listening, gone = asyncio.Event(), asyncio.Event()

    async def hang_up() -> None:
        listening.set()
        await gone.wait()

    waiting = asyncio.ensure_future(post(app, CHAT, chat(), gone=hang_up()))
    await listening.wait()
    assert app.state()["p"]["counters"]["in_flight"] == 1
    gone.set()
    assert await waiting == (0, b"")
    counters = app.state()["p"]["counters"]
    assert (counters["in_flight"], counters["aborted"], counters["by_status"]) == (0, 1, {})


async def test_counters_add_up() -> None:
    app = simulator(Clock())
    await post(app, CHAT, chat())
    await post(app, CHAT, {"model": "m"})
    await post(app, "/p/v1/nowhere", {})
    counters = app.state()["p"]["counters"]
    assert counters["by_status"] == {"200": 1, "400": 1, "404": 1}
    assert (counters["requests"], counters["output_tokens"]) == (3, 40)
    assert counters["input_tokens"] == tokens(len("hello #sim tokens=40"))


async def test_the_control_endpoint_obeys_and_explains() -> None:
    app = simulator(Clock())
    status, said = await post(app, "/_control/p", {"mode": "throttled", "seconds": 9})
    assert (status, json.loads(said)["mode"]) == (200, "throttled")
    status, body = await post(app, CHAT, chat())
    assert (status, b"try again in 9s" in body) == (429, True)
    assert (await post(app, "/_control/p", {"mode": "tired"}))[0] == 400
    assert (await post(app, "/_control/p", {"mode": "slow", "factr": 2}))[0] == 400
    assert (await post(app, "/_control/nobody", {"mode": "down"}))[0] == 404
    assert (await post(app, "/nobody/v1/chat/completions", chat()))[0] == 404


@pytest.mark.parametrize(
    ("roles", "place"),
    [
        (["user", "system"], None),
        (["user", "system", "assistant", "user"], None),
        (["system", "user"], "messages.0"),
        (["user", "system", "user"], "messages.1"),
        (["user", "assistant", "system"], "messages.2"),
    ],
)
def test_instructions_amid_a_conversation_stand_where_claude_takes_them(roles: list[str], place: str | None) -> None:
    turns = [{"role": role, "content": "x"} for role in roles]
    body = json.dumps({"model": "m", "max_tokens": 5, "messages": turns}).encode()
    version = {b"anthropic-version": b"2023-06-01"}
    if place is None:
        assert anthropic_ask.messages(body, version, count=False).last_user == "x"
        return
    with pytest.raises(Complaint) as caught:
        anthropic_ask.messages(body, version, count=False)
    assert place in caught.value.reply.body.decode()
