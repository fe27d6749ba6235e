"""Embeddings through the OpenAI SDK, from every provider dialect that has them."""

from __future__ import annotations

import math
from typing import Any

import openai
import pytest

from tests.acceptance.driving import World

every_provider = pytest.mark.parametrize("model", ["sim-openai/sim-embed", "sim-gemini/sim-embed"])
DIMENSIONS = 256  # the simulated model's own


@every_provider
@pytest.mark.parametrize("given", ["a load", ["a load"], ["a load", "a weight", "a beam"]], ids=["text", "one", "many"])
@pytest.mark.parametrize("form", ["float", "base64"])
def test_every_text_has_its_vector(chatgpt: openai.OpenAI, model: str, given: str | list[str], form: Any) -> None:
    # The SDK asks for base64 and unpacks it unless told otherwise; `float` passes through.
    more: dict[str, Any] = {"encoding_format": "float"} if form == "float" else {}
    reply = chatgpt.embeddings.create(model=model, input=given, **more)
    count = 1 if isinstance(given, str) else len(given)
    assert [row.index for row in reply.data] == list(range(count))
    for row in reply.data:
        assert len(row.embedding) == DIMENSIONS
        assert math.isclose(math.hypot(*row.embedding), 1.0, rel_tol=1e-3)
    assert reply.object == "list"


@every_provider
def test_the_answer_names_its_model_and_its_tokens(chatgpt: openai.OpenAI, model: str) -> None:
    reply = chatgpt.embeddings.create(model=model, input=["a load", "a weight"])
    assert reply.model == "sim-embed"
    assert reply.usage.prompt_tokens > 0
    assert reply.usage.total_tokens == reply.usage.prompt_tokens


@every_provider
def test_both_forms_hold_the_same_vector(chatgpt: openai.OpenAI, model: str) -> None:
    packed = chatgpt.embeddings.create(model=model, input="a load").data[0].embedding
    plain = chatgpt.embeddings.create(model=model, input="a load", encoding_format="float").data[0].embedding
    assert packed == pytest.approx(plain, abs=1e-6)


def test_providers_of_one_model_agree(chatgpt: openai.OpenAI) -> None:
    one, other = (
        chatgpt.embeddings.create(model=f"{provider}/sim-embed", input=["x y", "z"]).data
        for provider in ("sim-openai", "sim-gemini")
    )
    for left, right in zip(one, other, strict=True):
        assert left.embedding == pytest.approx(right.embedding, abs=1e-6)


@every_provider
def test_fewer_dimensions_are_asked_for(chatgpt: openai.OpenAI, model: str) -> None:
    reply = chatgpt.embeddings.create(model=model, input=["a", "b"], dimensions=16)
    assert [len(row.embedding) for row in reply.data] == [16, 16]


@every_provider
@pytest.mark.parametrize("dimensions", [4097, 10**9, 10**400])
def test_more_dimensions_than_there_are_is_the_callers_error(world: World, model: str, dimensions: int) -> None:
    answer = world.post("/v1/embeddings", {"model": model, "input": "a balance", "dimensions": dimensions})
    assert answer.status == 400, answer.body
    assert answer.json["error"]["type"] == "invalid_request_error"
    stats = world.get("/api/llm/dwa/stats").json["deployments"]
    assert [one["failures"] for one in stats if f"{one['provider']}/{one['model']}" == model] == [0]


@every_provider
def test_a_vector_is_kept_and_costs_nothing_the_second_time(world: World, model: str) -> None:
    body = {"model": model, "input": f"kept {model}"}
    first, second = (world.post("/v1/embeddings", body) for _ in range(2))
    assert (first.headers["x-steelyard-cache"], second.headers["x-steelyard-cache"]) == ("miss", "hit")
    assert first.body == second.body
    assert float(second.headers["x-steelyard-cost-usd"]) == 0


def test_lists_of_tokens_pass_within_the_dialect(chatgpt: openai.OpenAI) -> None:
    assert len(chatgpt.embeddings.create(model="sim-openai/sim-embed", input=[[1, 2], [3]]).data) == 2


def test_lists_of_tokens_are_refused_where_they_mean_nothing(chatgpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        chatgpt.embeddings.create(model="sim-gemini/sim-embed", input=[[1, 2], [3]])
    assert caught.value.code == "unsupported_parameter"


def test_a_model_that_does_not_embed_is_refused(world: World, chatgpt: openai.OpenAI) -> None:
    before = world.asked()
    with pytest.raises(openai.BadRequestError) as caught:
        chatgpt.embeddings.create(model="sim-chat", input="a")
    assert "embeddings" in caught.value.message
    assert world.asked() == before


def test_a_model_that_only_embeds_is_refused_for_chat(world: World, chatgpt: openai.OpenAI) -> None:
    before = world.asked()
    with pytest.raises(openai.BadRequestError) as caught:
        chatgpt.chat.completions.create(model="sim-embed", messages=[{"role": "user", "content": "x"}])
    assert caught.value.code == "unsupported_capability"
    assert world.asked() == before


@pytest.mark.parametrize("given", [[], "", [""], 7, [1.5], {"a": 1}, None], ids=str)
def test_an_input_that_is_none_is_refused(world: World, given: object) -> None:
    before = world.asked()
    answer = world.post("/v1/embeddings", {"model": "sim-gemini/sim-embed", "input": given})
    assert answer.status == 400
    assert answer.json["error"]["param"].startswith("input")
    assert world.asked() == before
