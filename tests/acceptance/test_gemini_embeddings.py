"""Embeddings through Google's SDK, from every provider dialect that has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from tests.acceptance.driving import World
from tests.acceptance.scripted import MODELS, PRICE, Says, Scripted
from tests.fidelity.wire import Json

MODEL_OF = {"openai": "sim-openai/sim-embed", "gemini": "sim-gemini/sim-embed"}
every_provider = pytest.mark.parametrize("model", MODEL_OF.values(), ids=MODEL_OF)
VERBS = ["embedContent", "batchEmbedContents"]
DIMENSIONS = 256  # the simulated model's own


@pytest.fixture(scope="module")
def gemini(world: World) -> Iterator[genai.Client]:
    with genai.Client(api_key="any", http_options={"base_url": world.url}) as client:
        yield client


def one(text: str, **more: Any) -> Json:
    return {"model": "models/whatever", "content": {"parts": [{"text": text}]}, **more}


def vectors(answer: types.EmbedContentResponse) -> list[list[float]]:
    return [row.values or [] for row in answer.embeddings or ()]


@every_provider
def test_every_content_has_its_vector(gemini: genai.Client, model: str) -> None:
    answer = gemini.models.embed_content(model=model, contents=["a load", "a weight", "a beam"])
    assert [len(vector) for vector in vectors(answer)] == [DIMENSIONS] * 3
    single = gemini.models.embed_content(model=model, contents="a weight")
    assert vectors(single) == [pytest.approx(vectors(answer)[1], abs=1e-6)]


def test_providers_and_formats_agree(world: World, gemini: genai.Client) -> None:
    found = [vectors(gemini.models.embed_content(model=model, contents="x y"))[0] for model in MODEL_OF.values()]
    body = {"model": MODEL_OF["openai"], "input": "x y", "encoding_format": "float"}
    told = world.post("/v1/embeddings", body).json["data"][0]["embedding"]
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert found[0] == pytest.approx(told, abs=1e-6)


@every_provider
def test_fewer_dimensions_are_asked_for(world: World, gemini: genai.Client, model: str) -> None:
    config = types.EmbedContentConfig(output_dimensionality=16)
    answer = gemini.models.embed_content(model=model, contents=["a", "b"], config=config)
    assert [len(vector) for vector in vectors(answer)] == [16, 16]


@pytest.mark.parametrize("said", [{"output_dimensionality": 16}, {"embedContentConfig": {"outputDimensionality": 16}}])
def test_dimensions_may_be_asked_for_in_any_of_googles_ways(world: World, said: Json) -> None:
    told = world.post(f"/v1beta/models/{MODEL_OF['openai']}:embedContent", one("a", **said))
    assert len(told.json["embedding"]["values"]) == 16, told.body


@every_provider
@pytest.mark.parametrize("verb", VERBS)
def test_the_answer_has_the_form_of_its_verb_and_its_record(world: World, model: str, verb: str) -> None:
    body = one("a load of text") if verb == "embedContent" else {"requests": [one("a load of text")]}
    told = world.post(f"/v1beta/models/{model}:{verb}", body)
    assert told.status == 200, told.body
    assert ("embedding" in told.json) == (verb == "embedContent")
    row = world.record(told.headers["x-steelyard-request-id"])
    assert row["input_tokens"] == 4
    assert row["surface"] == {"embedContent": "embed_content", "batchEmbedContents": "batch_embed_contents"}[verb]


@every_provider
@pytest.mark.parametrize("verb", VERBS)
def test_a_vector_is_kept_and_costs_nothing_the_second_time(world: World, model: str, verb: str) -> None:
    asked = one(f"kept {model}", title="T") if model == MODEL_OF["gemini"] else one(f"kept {model}")
    body = asked if verb == "embedContent" else {"requests": [asked]}
    path = f"/v1beta/models/{model}:{verb}"
    first, second = world.post(path, body), world.post(path, body)
    assert (first.headers["x-steelyard-cache"], second.headers["x-steelyard-cache"]) == ("miss", "hit")
    assert first.body == second.body
    assert float(second.headers["x-steelyard-cost-usd"]) == 0


def test_what_a_vector_is_for_is_told_to_gemini_and_refused_elsewhere(world: World, gemini: genai.Client) -> None:
    config = types.EmbedContentConfig(task_type="RETRIEVAL_DOCUMENT", title="Loads")
    assert vectors(gemini.models.embed_content(model=MODEL_OF["gemini"], contents="a", config=config))
    before = world.asked()
    with pytest.raises(errors.ClientError) as caught:
        gemini.models.embed_content(model=MODEL_OF["openai"], contents="a", config=config)
    assert caught.value.code == 400
    assert "requests.taskType, requests.title" in (caught.value.message or "")
    assert world.asked() == before
    body = one("a", taskType="RETRIEVAL_DOCUMENT", embed_content_config={"task_type": "CLUSTERING"})
    path = f"/v1beta/models/{MODEL_OF['openai']}:embedContent"
    dropped = world.post(path, body, x_steelyard_drop_params="true")
    assert dropped.status == 200, dropped.body
    assert dropped.headers["x-steelyard-dropped-params"] == "taskType,embedContentConfig.taskType"
    nothing = world.post(path, one("a", taskType="TASK_TYPE_UNSPECIFIED", title=None))
    assert nothing.status == 200, nothing.body


@pytest.mark.parametrize(
    ("asks", "named"),
    [
        ([one("a"), {**one("b"), "content": {"parts": [{"text": "b"}, {"text": "c"}]}}], "requests.content.parts"),
        (
            [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]}}],
            "requests.content.parts.inlineData",
        ),
        ([one("a", outputDimensionality=8), one("b")], "requests.outputDimensionality"),
    ],
    ids=["parts", "picture", "lengths"],
)
def test_what_is_no_text_goes_to_nobody_else(world: World, asks: list[Json], named: str) -> None:
    path = f"/v1beta/models/{MODEL_OF['openai']}:batchEmbedContents"
    for headers in ({}, {"x_steelyard_drop_params": "true"}):
        told = world.post(path, {"requests": asks}, **headers)
        assert told.status == 400, told.body
        assert named in told.json["error"]["message"]


@pytest.mark.parametrize(
    ("verb", "body", "named"),
    [
        ("embedContent", {}, "content"),
        ("embedContent", {"content": {"parts": []}}, "content.parts"),
        ("embedContent", one("a", outputDimensionality=0), "outputDimensionality"),
        ("batchEmbedContents", {"requests": []}, "requests"),
        ("batchEmbedContents", {"requests": [{"content": {}}]}, "requests.content.parts"),
        ("batchEmbedContents", {"requests": 7}, "requests"),
    ],
    ids=str,
)
def test_a_body_that_is_none_is_refused(world: World, verb: str, body: Json, named: str) -> None:
    before = world.asked()
    told = world.post(f"/v1beta/models/{MODEL_OF['gemini']}:{verb}", body)
    assert told.status == 400, told.body
    assert f"'{named}'" in told.json["error"]["message"]
    assert world.asked() == before


def test_a_model_that_does_not_embed_is_refused(gemini: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as caught:
        gemini.models.embed_content(model="sim-chat", contents="a")
    assert (caught.value.code, "embeddings" in (caught.value.message or "")) == (400, True)


def test_models_that_embed_say_so(gemini: genai.Client) -> None:
    listed = {one.name: one.supported_actions for one in gemini.models.list()}
    assert listed["models/sim-embed"] == ["embedContent", "batchEmbedContents"]


@pytest.mark.parametrize("verb", VERBS)
def test_gemini_gets_the_callers_bytes_but_for_the_models_name(played: Scripted, verb: str) -> None:
    vector: Json = {"values": [1.0, 0.5]}
    answer = {"embedding": vector} if verb == "embedContent" else {"embeddings": [vector], "later": 1}
    played.script = lambda _name, _body: Says(json.dumps(answer).encode())
    asked = one("a load of text", taskType="CLUSTERING", novelty={"a": 1.0})
    body = asked if verb == "embedContent" else {"requests": [asked]}
    told = played.post(f"/v1beta/models/gemini/{MODELS['gemini']}:{verb}", body)
    assert told.body == json.dumps(answer).encode()
    (sent,) = played.sent
    named = {**asked, "model": f"models/{MODELS['gemini']}"}
    assert sent.path == f"/v1beta/models/{MODELS['gemini']}:{verb}"
    assert sent.body == (named if verb == "embedContent" else {"requests": [named]})
    # It counted nothing, which is no reason to charge nothing.
    assert played.record(told)["cost_usd"] == pytest.approx(4 * PRICE.input)


def test_another_providers_count_is_told_and_billed(played: Scripted) -> None:
    answer = {"object": "list", "model": "m", "data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 9}}
    played.script = lambda _name, _body: Says(json.dumps(answer).encode())
    told = played.post(f"/v1beta/models/openai/{MODELS['openai']}:embedContent", one("a load of text"))
    assert told.json == {"embedding": {"values": [1.0]}, "usageMetadata": {"promptTokenCount": 9}}
    assert played.sent[0].body == {"model": MODELS["openai"], "input": ["a load of text"]}
    assert played.record(told)["cost_usd"] == pytest.approx(9 * PRICE.input)
