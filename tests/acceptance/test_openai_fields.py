"""Fields that not every dialect can say, and the list of models, through the official OpenAI SDK."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.acceptance.driving import ANTHROPIC, GEMINI, OPENAI, World

both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def ask(client: openai.OpenAI, said: str, *, streamed: bool, model: str, **more: Any) -> str:
    """The answer's text."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": said}], **more}
    reply: Any = client.chat.completions.create(stream=streamed, **body)
    return text_of(reply) if streamed else reply.choices[0].message.content


def text_of(stream: Any) -> str:
    return "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)


def test_fields_the_gateway_does_not_know_survive(chatgpt: openai.OpenAI) -> None:
    # The strict provider refuses what it does not know either, which proves that it came through.
    with pytest.raises(openai.BadRequestError) as caught:
        ask(chatgpt, "Hello", model=OPENAI, streamed=False, extra_body={"frobnicate": {"deep": 1}})
    assert caught.value.code == "unknown_parameter"
    assert caught.value.param == "frobnicate"
    told: Any = caught.value.body
    assert told["source"] == "provider"


@pytest.mark.parametrize(
    "more", [{"logit_bias": {"1": 1}}, {"store": True}, {"prediction": {"type": "content", "content": "x"}}], ids=str
)
def test_fields_only_openai_knows_are_taken_by_openai(chatgpt: openai.OpenAI, more: dict[str, Any]) -> None:
    assert ask(chatgpt, "Hello", model=OPENAI, streamed=False, **more)


UNSUPPORTED: list[tuple[str, dict[str, Any], str]] = [
    (ANTHROPIC, {"logit_bias": {"1": 1}}, "logit_bias"),
    (GEMINI, {"logit_bias": {"1": 1}}, "logit_bias"),
    (ANTHROPIC, {"extra_body": {"frobnicate": 1}}, "frobnicate"),
    (GEMINI, {"extra_body": {"frobnicate": 1}}, "frobnicate"),
    (ANTHROPIC, {"seed": 1}, "seed"),
    (ANTHROPIC, {"n": 17}, "n"),
    (ANTHROPIC, {"logprobs": True}, "logprobs"),
    (ANTHROPIC, {"presence_penalty": 0.5}, "presence_penalty"),
    (ANTHROPIC, {"temperature": 1.5}, "temperature"),
    (GEMINI, {"user": "someone"}, "user"),
]
each_unsupported = pytest.mark.parametrize(
    ("model", "more", "name"), UNSUPPORTED, ids=[f"{model}-{name}" for model, _, name in UNSUPPORTED]
)


@each_unsupported
@both_ways
def test_a_field_the_dialect_cannot_say_is_refused_by_name(
    world: World, chatgpt: openai.OpenAI, model: str, more: dict[str, Any], name: str, streamed: bool
) -> None:
    before = world.asked()
    with pytest.raises(openai.BadRequestError) as caught:
        ask(chatgpt, "Some json.", model=model, streamed=streamed, **more)
    assert caught.value.code == "unsupported_parameter"
    assert caught.value.param == name
    assert name in caught.value.message
    assert model.split("/")[0] in caught.value.message
    assert world.asked() == before


@each_unsupported
def test_a_field_is_dropped_aloud_when_the_caller_allows_it(
    chatgpt: openai.OpenAI, model: str, more: dict[str, Any], name: str
) -> None:
    raw = chatgpt.chat.completions.with_raw_response.create(
        model=model,
        messages=[{"role": "user", "content": "Some json."}],
        extra_headers={"X-Steelyard-Drop-Params": "true"},
        **more,
    )
    assert raw.headers["x-steelyard-dropped-params"] == name
    assert raw.parse().choices[0].message.content


@pytest.mark.parametrize("model", [ANTHROPIC, GEMINI])
def test_a_stream_names_what_was_dropped(chatgpt: openai.OpenAI, model: str) -> None:
    raw = chatgpt.chat.completions.with_raw_response.create(
        model=model,
        messages=[{"role": "user", "content": "Hello"}],
        logit_bias={"1": 1},
        stream=True,
        extra_headers={"X-Steelyard-Drop-Params": "true"},
    )
    assert raw.headers["x-steelyard-dropped-params"] == "logit_bias"
    assert text_of(raw.parse())


def test_models_are_listed_and_found(chatgpt: openai.OpenAI) -> None:
    names = [model.id for model in chatgpt.models.list()]
    assert {"auto", "sim-chat", "sim-gpt-large", "sim-embed"} <= set(names)
    assert len(names) == len(set(names))
    for name in ("sim-gpt-large", "auto", OPENAI):
        assert chatgpt.models.retrieve(name).id == name
    with pytest.raises(openai.NotFoundError) as caught:
        chatgpt.models.retrieve("nobody")
    assert caught.value.code == "model_not_found"


def test_every_listed_model_may_be_asked(chatgpt: openai.OpenAI) -> None:
    for model in chatgpt.models.list():
        if model.id != "sim-embed":
            assert ask(chatgpt, "Hello", model=model.id, streamed=False)
