"""Hand-computed invoices: what an answer costs, for every caller's format and every provider's, however it ends.

Prices are those of `scripted.PRICE`, in USD per million tokens: 2 in, 8 out, 0.5 read from the provider's cache, 2.5
written to it, 4 written for an hour. Every expected figure below is tokens times those, written out.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.scripted import MODELS, Heard, Json, Says, Scripted, dialect_of, events, whole
from tests.fidelity.reading import assembled
from tests.fidelity.wire import anthropic_reply, gemini_reply, openai_reply

#: USD per token.
IN, OUT, READ, WRITTEN, HOUR = 2e-6, 8e-6, 0.5e-6, 2.5e-6, 4e-6
INGRESSES = ["openai", "anthropic", "gemini", "responses", "orchestrate"]
PROVIDERS = ["openai", "anthropic", "gemini", "ollama", "grok"]
every_pair = [pytest.mark.parametrize("ingress", INGRESSES), pytest.mark.parametrize("provider", PROVIDERS)]
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
#: The question is padded so that the gateway's estimate of it, a quarter of its bytes, is this many tokens.
ESTIMATE = 100


def pairs(test: Any) -> Any:
    """Run it for every caller's format and every provider."""
    for mark in every_pair:
        test = mark(test)
    return test


# What providers say, in their own counts


def plain(provider: str) -> Json:
    """11 tokens in, 7 out."""
    return {"anthropic": anthropic_reply(), "gemini": gemini_reply({"text": "Hello "}, {"text": "there."})}.get(
        dialect_of(provider), openai_reply()
    )


def cached(provider: str) -> Json:
    """A prompt of 1,000 tokens, part of it read from the provider's cache or written to it; 7 out."""
    match provider:
        case "openai":
            details = {"cached_tokens": 600, "cache_write_tokens": 150}
            return openai_reply(usage={"prompt_tokens": 1000, "total_tokens": 1007, "prompt_tokens_details": details})
        case "grok":
            details = {"cached_tokens": 600}
            return openai_reply(usage={"prompt_tokens": 1000, "total_tokens": 1007, "prompt_tokens_details": details})
        case "anthropic":
            # Beside `input_tokens`, not among them; 150 written, of which 50 for an hour.
            counts = {"input_tokens": 250, "cache_read_input_tokens": 600, "cache_creation_input_tokens": 150}
            kinds = {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 50}
            return anthropic_reply(usage={**counts, "cache_creation": kinds})
        case "gemini":
            counts = {"promptTokenCount": 1000, "cachedContentTokenCount": 600, "totalTokenCount": 1007}
            return gemini_reply(usage=counts)
        case _:
            return openai_reply(usage={"prompt_tokens": 1000, "total_tokens": 1007})


def thought(provider: str) -> Json:
    """11 tokens in; 30 of thought and 20 of answer, by whichever count."""
    match provider:
        case "openai":
            details = {"reasoning_tokens": 30}
            return openai_reply(
                usage={"completion_tokens": 50, "total_tokens": 61, "completion_tokens_details": details}
            )
        case "grok":
            # Beside the completion, not among it: the total tells.
            details = {"reasoning_tokens": 30}
            return openai_reply(
                usage={"completion_tokens": 20, "total_tokens": 61, "completion_tokens_details": details}
            )
        case "anthropic":
            return anthropic_reply(usage={"output_tokens": 50, "output_tokens_details": {"thinking_tokens": 30}})
        case "gemini":
            # Beside the candidates.
            counts = {"candidatesTokenCount": 20, "thoughtsTokenCount": 30, "totalTokenCount": 61}
            return gemini_reply(usage=counts)
        case _:
            return openai_reply(usage={"completion_tokens": 50, "total_tokens": 61})


def _responses(reply: Json) -> Json:
    """The same answer in the form of OpenAI's Responses API, for requests that are passed on to it."""
    usage = reply["usage"]
    counts = {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": 0, **usage.get("prompt_tokens_details", {})},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0, **usage.get("completion_tokens_details", {})},
        "total_tokens": usage["total_tokens"],
    }
    text = reply["choices"][0]["message"]["content"]
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "model": reply["model"],
        "output": [item],
        "usage": counts,
    }


def _responses_events(response: Json) -> list[bytes]:
    text = response["output"][0]["content"][0]["text"]
    opening = {**response, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    delta = {"type": "response.output_text.delta", **place, "logprobs": []}
    item = {**response["output"][0], "content": [], "status": "in_progress"}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    found = [
        {"type": "response.created", "response": opening},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "part": part},
        {**delta, "delta": text[:6]},
        {**delta, "delta": text[6:]},
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": response["output"][0]["content"][0]},
        {"type": "response.output_item.done", "output_index": 0, "item": response["output"][0]},
        {"type": "response.completed", "response": response},
    ]
    numbered = [{"type": one["type"], "sequence_number": number, **one} for number, one in enumerate(found)]
    return [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in numbered]


def answers(reply: Json, streamed: bool, ends: str = "well") -> Any:
    """A script that gives this answer: with `ends`, only to `Hello `, and then it ends so."""
    upto = None if ends == "well" else b"Hello"

    def play(provider: str, body: Json) -> Says:
        if "input" in body:
            response = _responses(reply)
            if not streamed:
                return whole(response)
            pieces = _responses_events(response)
            return Says(pieces=pieces if upto is None else pieces[:4], ends=ends)
        return events(dialect_of(provider), reply, upto=upto, ends=ends) if streamed else whole(reply)

    return play


# What callers ask


def ask(played: Scripted, ingress: str, provider: str, streamed: bool, *, leave: bytes | None = None) -> Heard:
    """One question of `ESTIMATE` tokens by the gateway's estimate."""
    model = f"{provider}/{MODELS[provider]}"
    stream: Json = {"stream": True} if streamed else {}
    path, query = "", ""

    def body(text: str) -> Json:
        messages = [{"role": "user", "content": text}]
        match ingress:
            case "openai":
                told = {"stream_options": {"include_usage": True}} if streamed else {}
                return {"model": model, "messages": messages, **stream, **told}
            case "anthropic":
                return {"model": model, "messages": messages, "max_tokens": 99, **stream}
            case "gemini":
                return {"contents": [{"role": "user", "parts": [{"text": text}]}]}
            case "responses":
                return {"model": model, "input": text, "store": False, **stream}
            case _:
                return {"model": model, "messages": messages, **stream}

    match ingress:
        case "openai":
            path = "/v1/chat/completions"
        case "anthropic":
            path = "/v1/messages"
        case "gemini":
            verb, query = ("streamGenerateContent", "alt=sse") if streamed else ("generateContent", "")
            path = f"/v1beta/models/{model}:{verb}"
        case "responses":
            path = "/v1/responses"
        case _:
            path = "/api/llm/orchestrate"
    # Orchestrate counts the compact form of what it was asked.
    separators = (",", ":") if ingress == "orchestrate" else None
    flag = 0 if streamed or ingress != "orchestrate" else len(',"stream":false')
    padding = 4 * ESTIMATE - len(json.dumps(body(""), separators=separators)) - flag
    return played.post(path, body("x" * padding), leave=leave, query=query)


def check(played: Scripted, heard: Heard, tokens: Json, cost: float, *, outcome: str = "ok", streamed: bool) -> None:
    """The row, its attempts, the headers and the sums say what was computed by hand."""
    row = played.record(heard)
    names = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
    assert {name: row[name] for name in names} == {**dict.fromkeys(names, 0), **tokens}
    assert row["cost_usd"] == pytest.approx(cost, rel=1e-9)
    assert sum(one["cost_usd"] for one in row["attempts"]) == pytest.approx(cost, rel=1e-9)
    assert row["outcome"] == outcome
    if not streamed:
        assert float(heard.headers["x-steelyard-cost-usd"]) == pytest.approx(cost, rel=1e-6)


def told_usage(ingress: str, heard: Heard, streamed: bool) -> tuple[int, int]:
    """The tokens in and out that the caller was told, cached ones and thoughts included, as ours count them."""
    if ingress == "orchestrate":
        found = (
            [one["usage"] for one in heard.events if "usage" in one]
            if streamed
            else [heard.json["results"][0]["usage"]]
        )
        return found[0]["input_tokens"], found[0]["output_tokens"]
    if ingress == "responses":
        usage = (heard.events[-1]["response"] if streamed else heard.json)["usage"]
        return usage["input_tokens"], usage["output_tokens"]
    answer = assembled(ingress, heard.body) if streamed else heard.json
    if ingress == "openai":
        usage = answer["usage"]
        # xAI's own count, passed on as it is, has the thoughts beside the completion.
        return usage["prompt_tokens"], usage["total_tokens"] - usage["prompt_tokens"]
    if ingress == "anthropic":
        usage = answer["usage"]
        read, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
        return usage["input_tokens"] + read + written, usage["output_tokens"]
    usage = answer["usageMetadata"]
    return usage["promptTokenCount"], usage["totalTokenCount"] - usage["promptTokenCount"]


# The invoices


@pairs
@both_ways
def test_a_plain_answer(played: Scripted, ingress: str, provider: str, streamed: bool) -> None:
    played.script = answers(plain(provider), streamed)
    heard = ask(played, ingress, provider, streamed)
    assert told_usage(ingress, heard, streamed) == (11, 7)
    # 11 × 2 + 7 × 8 = 78 millionths
    check(played, heard, {"input_tokens": 11, "output_tokens": 7}, 78e-6, streamed=streamed)


#: Provider → tokens, and what they cost.
CACHED: dict[str, tuple[Json, float]] = {
    # 250 fresh, 600 read, 150 written: 250 × 2 + 600 × 0.5 + 150 × 2.5 + 7 × 8 = 500 + 300 + 375 + 56 millionths
    "openai": ({"cached_tokens": 600, "cache_write_tokens": 150}, 1231e-6),
    # The same, with 50 of those written for an hour: 500 + 300 + 100 × 2.5 + 50 × 4 + 56
    "anthropic": ({"cached_tokens": 600, "cache_write_tokens": 150}, 1306e-6),
    # 400 fresh, 600 read: 400 × 2 + 600 × 0.5 + 7 × 8 = 800 + 300 + 56
    "gemini": ({"cached_tokens": 600}, 1156e-6),
    "grok": ({"cached_tokens": 600}, 1156e-6),
    # It has no such cache: 1000 × 2 + 7 × 8
    "ollama": ({}, 2056e-6),
}


@pairs
@both_ways
def test_the_providers_cache(played: Scripted, ingress: str, provider: str, streamed: bool) -> None:
    played.script = answers(cached(provider), streamed)
    heard = ask(played, ingress, provider, streamed)
    assert told_usage(ingress, heard, streamed) == (1000, 7)
    tokens, cost = CACHED[provider]
    check(played, heard, {"input_tokens": 1000, "output_tokens": 7, **tokens}, cost, streamed=streamed)


@pairs
@both_ways
def test_thinking(played: Scripted, ingress: str, provider: str, streamed: bool) -> None:
    played.script = answers(thought(provider), streamed)
    heard = ask(played, ingress, provider, streamed)
    assert told_usage(ingress, heard, streamed) == (11, 50)
    thoughts = {} if provider == "ollama" else {"reasoning_tokens": 30}
    # 11 × 2 + (30 + 20) × 8 = 422 millionths
    check(played, heard, {"input_tokens": 11, "output_tokens": 50, **thoughts}, 422e-6, streamed=streamed)


#: Of `Hello `, six characters, a quarter is two tokens. Anthropic has told the prompt's by then; elsewhere it is the
#: estimate of 100.
PART: dict[str, tuple[Json, float]] = {
    # 11 × 2 + 2 × 8 = 38 millionths
    "anthropic": ({"input_tokens": 11, "output_tokens": 2}, 38e-6),
    # 100 × 2 + 2 × 8 = 216 millionths
    **dict.fromkeys(["openai", "ollama", "grok"], ({"input_tokens": 100, "output_tokens": 2}, 216e-6)),
    "gemini": ({"input_tokens": 100, "output_tokens": 2}, 216e-6),
}


@pairs
def test_a_stream_that_its_caller_leaves(played: Scripted, ingress: str, provider: str) -> None:
    played.script = answers(plain(provider), True, "never")
    heard = ask(played, ingress, provider, True, leave=b"Hello")
    assert all(one.closed for one in played.sent)
    tokens, cost = PART[provider]
    check(played, heard, tokens, cost, outcome="cancelled", streamed=True)


@pairs
def test_a_stream_that_breaks(played: Scripted, ingress: str, provider: str) -> None:
    played.script = answers(plain(provider), True, "cut")
    heard = ask(played, ingress, provider, True)
    tokens, cost = PART[provider]
    check(played, heard, tokens, cost, outcome="error", streamed=True)


@pytest.mark.parametrize("ingress", ["openai", "gemini"])
@pytest.mark.parametrize("provider", PROVIDERS)
@both_ways
def test_two_answers(played: Scripted, ingress: str, provider: str, streamed: bool) -> None:
    one = plain(provider)
    calls = 2 if provider in ("anthropic", "gemini", "ollama") else 1
    if calls == 1:
        # Both by one call, which reads the prompt once: 11 in, 14 out.
        usage = {"prompt_tokens": 11, "completion_tokens": 14, "total_tokens": 25}
        one = {**one, "choices": [one["choices"][0], {**one["choices"][0], "index": 1}], "usage": usage}
    played.script = answers(one, streamed)
    model = f"{provider}/{MODELS[provider]}"
    if ingress == "openai":
        body: Json = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "n": 2}
        body |= {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}
        heard = played.post("/v1/chat/completions", body)
    else:
        body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": {"candidateCount": 2}}
        verb, query = ("streamGenerateContent", "alt=sse") if streamed else ("generateContent", "")
        heard = played.post(f"/v1beta/models/{model}:{verb}", body, query=query)
    assert len(played.sent) == calls
    assert told_usage(ingress, heard, streamed) == (11 * calls, 14)
    # Two calls: 2 × 11 × 2 + 2 × 7 × 8 = 156 millionths; one: 11 × 2 + 14 × 8 = 134
    cost = {1: 134e-6, 2: 156e-6}[calls]
    check(played, heard, {"input_tokens": 11 * calls, "output_tokens": 14}, cost, streamed=streamed)


@pytest.mark.parametrize("provider", ["anthropic", "gemini", "ollama"])
def test_two_answers_of_which_one_stream_breaks(played: Scripted, provider: str) -> None:
    left = [answers(plain(provider), True), answers(plain(provider), True, "late")]
    played.script = lambda name, body: left.pop(0)(name, body)
    body: Json = {"model": f"{provider}/{MODELS[provider]}", "messages": [{"role": "user", "content": ""}], "n": 2}
    body["stream"] = True
    body["messages"][0]["content"] = "x" * (4 * ESTIMATE - len(json.dumps(body)))
    heard = played.post("/v1/chat/completions", body)
    # The first is whole: 11 × 2 + 7 × 8 = 78 millionths. The other as any that breaks.
    tokens, cost = PART[provider]
    both = {"input_tokens": 11 + tokens["input_tokens"], "output_tokens": 7 + tokens["output_tokens"]}
    check(played, heard, both, 78e-6 + cost, outcome="error", streamed=True)


def test_the_sums_are_those_of_the_invoices(played: Scripted) -> None:
    before = played.totals()
    expected = 0.0
    for ingress in INGRESSES:
        for provider in PROVIDERS:
            played.script = answers(cached(provider), False)
            assert ask(played, ingress, provider, False).status == 200
            expected += CACHED[provider][1]
    after = played.totals()
    # And the one that waited for the sums.
    assert after["requests"] - before["requests"] == 26
    # 5 × (1231 + 1306 + 1156 + 1156 + 2056) = 34525 millionths
    assert expected == pytest.approx(34525e-6)
    assert after["cost_usd"] - before["cost_usd"] == pytest.approx(34525e-6, rel=1e-9)
