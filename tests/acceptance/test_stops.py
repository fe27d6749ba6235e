"""Stop sequences that a provider does not take, looked for by the gateway: for every caller's format and provider."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.scripted import MODELS, PRICE, Heard, Json, Says, Scripted, dialect_of, events, whole
from tests.fidelity.reading import assembled
from tests.fidelity.wire import anthropic_reply, gemini_reply, openai_reply

#: More than OpenAI and Gemini take, the last one a sequence that Anthropic refuses.
STOPS = ["<a>", "<b>", "<c>", "<d>", "<e>", "\n\n"]
#: Provider → the sequences it is sent of those.
SENT = {
    "openai": STOPS[:4],
    "gemini": STOPS[:5],
    "anthropic": STOPS[:5],
    "grok": STOPS[:4],
    "bare": STOPS[:4],
    "ollama": STOPS,
}
SAID, KEPT = "Seventeen characters of it.\n\nAnd what is beyond.", "Seventeen characters of it."
INGRESSES = ["openai", "anthropic", "gemini", "orchestrate"]
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
by_gateway = pytest.mark.parametrize("provider", [name for name in SENT if name != "ollama"])


def ask(played: Scripted, ingress: str, provider: str, streamed: bool, **more: Any) -> Heard:
    model, messages = f"{provider}/{MODELS[provider]}", [{"role": "user", "content": "Hi"}]
    stream = {"stream": True} if streamed else {}
    match ingress:
        case "openai":
            told = {"stream_options": {"include_usage": True}} if streamed else {}
            body = {"model": model, "messages": messages, "stop": STOPS, **stream, **told, **more}
            return played.post("/v1/chat/completions", body)
        case "anthropic":
            body = {"model": model, "messages": messages, "max_tokens": 99, "stop_sequences": STOPS, **stream}
            return played.post("/v1/messages", body)
        case "gemini":
            config = {"stopSequences": STOPS}
            body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": config}
            verb, query = ("streamGenerateContent", "alt=sse") if streamed else ("generateContent", "")
            return played.post(f"/v1beta/models/{model}:{verb}", body, query=query)
        case _:
            return played.post("/api/llm/orchestrate", {"model": model, "prompt": "Hi", "stop": STOPS, **stream})


def reply(provider: str, text: str) -> Json:
    match dialect_of(provider):
        case "anthropic":
            return anthropic_reply({"type": "text", "text": text})
        case "gemini":
            return gemini_reply(*({"text": piece} for piece in (text[:10], text[10:28], text[28:])))
        case _:
            return openai_reply({"content": text})


def told(ingress: str, heard: Heard, streamed: bool) -> tuple[str, str]:
    """The text, and why it ended, as this format says it."""
    if ingress == "orchestrate":
        if not streamed:
            result = heard.json["results"][0]
            return result["response"], result["finish_reason"]
        ends = [one["finish_reason"] for one in heard.events if "finish_reason" in one]
        return "".join(one.get("text", "") for one in heard.events), ends[0]
    answer = assembled(ingress, heard.body) if streamed else heard.json
    match ingress:
        case "openai":
            (choice,) = answer["choices"]
            return choice["message"]["content"], choice["finish_reason"]
        case "anthropic":
            assert answer["stop_sequence"] == "\n\n"
            return "".join(block["text"] for block in answer["content"]), answer["stop_reason"]
        case _:
            (candidate,) = answer["candidates"]
            return "".join(part["text"] for part in candidate["content"]["parts"]), candidate["finishReason"]


ENDS = {"openai": "stop", "anthropic": "stop_sequence", "gemini": "STOP", "orchestrate": "stop"}


@pytest.mark.parametrize("ingress", INGRESSES)
@by_gateway
@both_ways
def test_the_text_ends_before_the_stop(played: Scripted, ingress: str, provider: str, streamed: bool) -> None:
    answer = reply(provider, SAID)
    played.script = lambda _name, _body: events(dialect_of(provider), answer) if streamed else whole(answer)
    heard = ask(played, ingress, provider, streamed)
    assert heard.status == 200, heard.body
    assert told(ingress, heard, streamed) == (KEPT, ENDS[ingress])
    (sent,) = played.sent
    found = sent.body.get(
        "stop", sent.body.get("stop_sequences", sent.body.get("generationConfig", {}).get("stopSequences"))
    )
    assert found == SENT[provider]
    row = played.record(heard)
    assert (row["outcome"], row["finish_reason"]) == ("ok", "stop")


def test_what_the_provider_does_is_left_to_it(played: Scripted) -> None:
    played.script = lambda _name, _body: whole(reply("ollama", SAID))
    heard = ask(played, "openai", "ollama", False)
    assert played.sent[0].body["stop"] == STOPS
    assert told("openai", heard, False)[0] == SAID, "it says where it stopped"


#: Characters of the text up to the event with the stop: the scripts halve it, Gemini's has three parts.
CAME = {"openai": 123, "anthropic": 123, "gemini": 28}


@by_gateway
def test_a_stream_is_cut_at_once_and_told_honestly(played: Scripted, provider: str) -> None:
    # It would never end: only because it is given up is there an answer.
    answer = reply(provider, SAID + " x" * 100)
    played.script = lambda _name, _body: events(dialect_of(provider), answer, upto=b"And what", ends="never")
    heard = ask(played, "openai", provider, True)
    assert told("openai", heard, True) == (KEPT, "stop")
    (sent,) = played.sent
    assert sent.closed
    row = played.record(heard)
    usage = assembled("openai", heard.body)["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (row["input_tokens"], row["output_tokens"])
    # Nobody counted the answer: a token for each four of all the characters that came, those beyond the stop included.
    assert row["output_tokens"] == -(-CAME[dialect_of(provider)] // 4)
    assert row["cost_usd"] == pytest.approx(row["input_tokens"] * PRICE.input + row["output_tokens"] * PRICE.output)
    assert row["outcome"] == "ok"


def test_whoever_leaves_with_the_end_has_heard_it_all(played: Scripted) -> None:
    played.script = lambda _name, _body: events("openai", reply("openai", SAID), upto=b"And what", ends="never")
    body: Json = {"model": f"openai/{MODELS['openai']}", "messages": [{"role": "user", "content": "Hi"}]}
    body |= {"stop": STOPS, "stream": True}
    heard = played.post("/v1/chat/completions", body, leave=b'"finish_reason":"stop"')
    row = played.record(heard)
    assert (row["outcome"], row["attempts"][0]["outcome"]) == ("ok", "ok")


def test_no_more_is_held_back_than_may_be_a_stop(played: Scripted) -> None:
    pieces = ["All of this <", "f> is told, \n", "even that\n", "\nand no more"]
    head = {"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunks = [{**head, "choices": [{"index": 0, "delta": {"content": one}, "finish_reason": None}]} for one in pieces]
    played.script = lambda _name, _body: Says(
        pieces=[b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks], ends="never"
    )
    heard = ask(played, "openai", "openai", True)
    deltas = [one["choices"][0]["delta"].get("content") for one in heard.events if one["choices"]]
    assert [one for one in deltas if one] == ["All of this ", "<f> is told, ", "\neven that"]


def test_a_break_tells_what_was_held_back(played: Scripted) -> None:
    played.script = lambda _name, _body: events("openai", openai_reply({"content": "ab<"}), upto=b'"b<"', ends="cut")
    heard = ask(played, "openai", "openai", True)
    text = "".join(one["choices"][0]["delta"].get("content", "") for one in heard.events if one.get("choices"))
    assert text == "ab<"
    assert heard.events[-1]["error"]["code"] == "stream_broken"


@both_ways
def test_each_of_several_choices_has_its_own_stop(played: Scripted, streamed: bool) -> None:
    texts = iter(["First.\n\nMore.", "Second."])

    def play(_name: str, _body: Json) -> Says:
        answer = reply("anthropic", next(texts))
        return events("anthropic", answer) if streamed else whole(answer)

    played.script = play
    heard = ask(played, "openai", "anthropic", streamed, n=2)
    answer = assembled("openai", heard.body) if streamed else heard.json
    found = sorted(answer["choices"], key=lambda one: one["index"])
    assert [one["message"]["content"] for one in found] == ["First.", "Second."]


def test_more_than_anybody_needs_are_refused(played: Scripted) -> None:
    body: Json = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}], "stop": ["x"] * 65}
    heard = played.post("/v1/chat/completions", body)
    assert (heard.status, heard.json["error"]["param"]) == (400, "stop")
