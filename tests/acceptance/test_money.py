"""What an answer costs is price times tokens: in the answer, in its headers, in the record, streamed and not."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.acceptance.driving import CHAT_MODELS, World

#: USD per million tokens (input, cached input, output), by hand from the simulated cast.
PRICES = {
    "sim-openai/sim-chat": (0.15, 0.075, 0.6),
    "sim-openai/sim-gpt-large": (2.5, 1.25, 10.0),
    "sim-anthropic/sim-chat": (1.0, 0.1, 5.0),
    "sim-anthropic/sim-claude-large": (3.0, 0.3, 15.0),
    "sim-gemini/sim-chat": (0.3, 0.03, 2.5),
    "sim-gemini/sim-gemini-large": (1.25, 0.125, 10.0),
    "sim-local/sim-chat": (0.0, 0.0, 0.0),
}
#: Of 2,048 characters the simulator keeps two blocks of 1,024, which are 512 tokens.
LONG, KEPT_TOKENS = 2048, 512
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def price(model: str, fresh: int, cached: int, output: int) -> float:
    per_input, per_cached, per_output = PRICES[model]
    return (fresh * per_input + cached * per_cached + output * per_output) / 1e6


def orchestrated(world: World, model: str, prompt: str, streamed: bool, **more: Any) -> tuple[dict[str, int], float]:
    """Usage and cost as orchestrate tells them; checks that header and record say the same."""
    answer = world.orchestrate(model=model, prompt=prompt, stream=streamed, cache=False, **more)
    assert answer.status == 200, answer.body
    if streamed:
        events = dict(answer.events)
        usage, cost = events["result.done"]["usage"], events["metadata"]["cost_usd"]
    else:
        result = answer.json["results"][0]
        usage, cost = result["usage"], result["cost_usd"]
        assert float(answer.headers["x-steelyard-cost-usd"]) == pytest.approx(cost, abs=1e-10)
    record = world.record(answer.headers["x-steelyard-request-id"])
    assert record["cost_usd"] == pytest.approx(cost, abs=1e-10)
    assert record["attempts"][0]["cost_usd"] == pytest.approx(cost, abs=1e-10)
    for name in ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"):
        assert record[name] == usage[name]
    return usage, cost


@pytest.mark.parametrize("model", PRICES)
@both_ways
def test_cost_is_price_times_tokens(world: World, model: str, streamed: bool) -> None:
    usage, cost = orchestrated(world, model, "How heavy is a sack? #sim tokens=40", streamed)
    assert (usage["input_tokens"], usage["output_tokens"], usage["cached_tokens"]) == (9, 40, 0)
    assert cost == pytest.approx(price(model, 9, 0, 40), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("model", ["sim-openai/sim-chat", "sim-gemini/sim-chat"])
@both_ways
def test_cached_tokens_cost_their_own_price(world: World, model: str, streamed: bool) -> None:
    prompt = (f"{uuid.uuid4()} " * 100)[:LONG]
    first, first_cost = orchestrated(world, model, prompt, streamed)
    second, second_cost = orchestrated(world, model, prompt, streamed)
    assert (first["cached_tokens"], second["cached_tokens"]) == (0, KEPT_TOKENS)
    assert first["input_tokens"] == second["input_tokens"] == LONG // 4
    assert first_cost == pytest.approx(price(model, 512, 0, first["output_tokens"]), rel=1e-9)
    assert second_cost == pytest.approx(price(model, 0, 512, second["output_tokens"]), rel=1e-9)


@both_ways
def test_anthropics_cached_tokens_are_part_of_the_input(world: World, streamed: bool) -> None:
    # Its own format counts them beside `input_tokens`; a reader that adds them wrongly bills them twice or never.
    marked = {"type": "text", "text": (f"{uuid.uuid4()} " * 100)[:LONG], "cache_control": {"type": "ephemeral"}}
    body = {
        "model": "sim-anthropic/sim-chat",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": [marked]}],
        "stream": streamed,
    }
    answers = [world.post("/v1/messages", body) for _ in range(2)]
    records = [world.record(answer.headers["x-steelyard-request-id"]) for answer in answers]
    assert [record["input_tokens"] for record in records] == [512, 512]
    assert [record["cached_tokens"] for record in records] == [0, 512]
    output = records[1]["output_tokens"]
    assert records[1]["cost_usd"] == pytest.approx(price("sim-anthropic/sim-chat", 0, 512, output), rel=1e-9)


@pytest.mark.parametrize("model", CHAT_MODELS)
@both_ways
def test_thinking_is_paid_for(world: World, model: str, streamed: bool) -> None:
    usage, cost = orchestrated(world, model, "Think. #sim tokens=40", streamed, reasoning_effort="low")
    assert usage["output_tokens"] > 40
    assert cost == pytest.approx(price(model, usage["input_tokens"], 0, usage["output_tokens"]), rel=1e-9)


def test_an_answer_from_the_cache_costs_nothing(world: World) -> None:
    prompt = str(uuid.uuid4())
    first, second = (world.orchestrate(model="sim-openai/sim-chat", prompt=prompt) for _ in range(2))
    assert first.json["results"][0]["cost_usd"] > 0
    record = world.record(second.json["request_id"])
    assert (record["cache"], record["cost_usd"], record["attempts"]) == ("hit", 0, [])


def test_a_failed_attempt_costs_nothing(frail: World) -> None:
    frail.running.control("sim-anthropic", "down")
    answer = frail.orchestrate(
        model="sim-chat", prompt="Hello", mode="fallback", providers=["sim-anthropic", "sim-openai"]
    )
    record = frail.record(answer.json["request_id"])
    assert [attempt["cost_usd"] > 0 for attempt in record["attempts"]] == [False, True]
    assert record["cost_usd"] == pytest.approx(record["attempts"][1]["cost_usd"], rel=1e-9)


@pytest.mark.parametrize("model", CHAT_MODELS)
def test_what_came_of_a_broken_stream_is_paid_for(frail: World, model: str) -> None:
    answer = frail.orchestrate(model=model, prompt="#sim tokens=100 #sim fail=cut", stream=True)
    text = "".join(data.get("text", "") for name, data in answer.events if name == "result.delta")
    record = frail.record(answer.headers["x-steelyard-request-id"])
    assert record["outcome"] == "error"
    assert record["output_tokens"] == pytest.approx(len(text) / 4, abs=1)
    assert record["cost_usd"] > 0


@pytest.mark.parametrize(
    ("model", "per_input"), [("sim-openai/sim-embed", 0.0), ("sim-gemini/sim-embed", 0.0)], ids=["openai", "gemini"]
)
def test_a_free_model_is_free(world: World, model: str, per_input: float) -> None:
    answer = world.post("/v1/embeddings", {"model": model, "input": str(uuid.uuid4())})
    assert float(answer.headers["x-steelyard-cost-usd"]) == per_input


def test_the_totals_are_the_sum_of_the_records(frail: World) -> None:
    before = frail.get("/api/db/stats").json["totals"]
    costs = [
        orchestrated(frail, model, f"{number} #sim tokens={10 + number}", streamed=number % 2 == 0)[1]
        for number, model in enumerate([*CHAT_MODELS, *CHAT_MODELS])
    ]
    after = frail.get("/api/db/stats").json["totals"]
    assert after["requests"] - before["requests"] == len(costs)
    assert after["cost_usd"] - before["cost_usd"] == pytest.approx(sum(costs), abs=1e-9)


def test_prices_are_shown_per_million(world: World) -> None:
    shown = {model["id"]: model["price"] for model in world.get("/api/llm/models").json["models"]}
    for model, (per_input, per_cached, per_output) in PRICES.items():
        assert shown[model].pop("cache_write") is None
        assert shown[model].pop("cache_write_hour") is None
        assert shown[model] == pytest.approx({"input": per_input, "output": per_output, "cached_input": per_cached})
