"""Guardrails, from callers of every format to providers of every format, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.settings import RouteSettings, Settings
from gateway.settings.guardrails import (
    Guardrail,
    Language,
    Moderation,
    OutputSchema,
    Pattern,
    PromptSize,
)
from tests.acceptance.scripted import MODELS, Heard, Json, Says, Scripted, dialect_of, events, scripted, whole
from tests.fidelity.wire import anthropic_reply, gemini_reply, openai_reply

EMAIL, CARD, KEY = "alice.b@mail.example.com", "4111 1111 1111 1111", "sk-proj-abcdefghij1234567890"
ANSWER = f"Write to {EMAIL}, and pay with {CARD}."
CLEAN = "Write to [email], and pay with [card]."
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
GUARDRAILS = {
    "private": Guardrail(pattern=Pattern(find=("email", "card"), action="redact")),
    "secret": Guardrail(
        pattern=Pattern(find=("api_key", "private_key"), regexes={"code": r"Bluebird\s?\d+"}, longest=16)
    ),
    "short": Guardrail(prompt_size=PromptSize(characters=60)),
    "few": Guardrail(prompt_size=PromptSize(tokens=40)),
    "latin": Guardrail(language=Language(scripts=("latin",))),
    "shaped": Guardrail(output_schema=OutputSchema(schema=SCHEMA)),
    "judged": Guardrail(moderation=Moderation(model=f"bare/{MODELS['bare']}", side="both", timeout=5)),
    "polite": Guardrail(moderation=Moderation(model=f"grok/{MODELS['grok']}", policy="No insults.", fail="open")),
}
PROVIDERS = ("ollama", "anthropic", "gemini")


def _guarded(settings: Settings) -> Settings:
    """For each guardrail, a route to each provider."""
    routes = {
        f"{name}-{provider}": RouteSettings(
            name=f"{name}-{provider}", targets=(f"{provider}/{MODELS[provider]}",), guardrails=(name,)
        )
        for name in GUARDRAILS
        for provider in (*PROVIDERS, "openai")
    }
    both = tuple(f"{name}/{MODELS[name]}" for name in ("anthropic", "ollama"))
    routes["private-both"] = RouteSettings(
        name="private-both", targets=both, guardrails=("private",), strategy="priority"
    )
    return replace(settings, guardrails=GUARDRAILS, routes=routes)


@pytest.fixture(scope="module")
def _guards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripted]:
    with scripted(tmp_path_factory.mktemp("guarded"), change=_guarded) as made:
        yield made


@pytest.fixture
def gateway(_guards: Scripted) -> Scripted:
    _guards.forget()
    return _guards


# Callers


def _openai(model: str, text: str, stream: bool) -> tuple[str, Json]:
    return "/v1/chat/completions", {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}


def _anthropic(model: str, text: str, stream: bool) -> tuple[str, Json]:
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    return "/v1/messages", {"model": model, "max_tokens": 50, "stream": stream, "messages": messages}


def _gemini(model: str, text: str, stream: bool) -> tuple[str, Json]:
    verb = "streamGenerateContent" if stream else "generateContent"
    return f"/v1beta/models/{model}:{verb}", {"contents": [{"role": "user", "parts": [{"text": text}]}]}


def _responses(model: str, text: str, stream: bool) -> tuple[str, Json]:
    return "/v1/responses", {"model": model, "input": text, "stream": stream}


def _orchestrate(model: str, text: str, stream: bool) -> tuple[str, Json]:
    return "/api/llm/orchestrate", {"model": model, "prompt": text, "stream": stream}


def _completions(model: str, text: str, stream: bool) -> tuple[str, Json]:
    return "/v1/completions", {"model": model, "prompt": text, "stream": stream}


CALLERS: dict[str, Callable[[str, str, bool], tuple[str, Json]]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "responses": _responses,
    "orchestrate": _orchestrate,
    "completions": _completions,
}


def ask(gateway: Scripted, caller: str, model: str, text: str, *, stream: bool = False, cache: str = "off") -> Heard:
    path, body = CALLERS[caller](model, text, stream)
    return gateway.post(path, body, query="alt=sse" if caller == "gemini" else "", x_steelyard_cache=cache)


def said(caller: str, heard: Heard, *, stream: bool) -> str:
    """The words of an answer."""
    if not stream:
        told = heard.json
        match caller:
            case "openai":
                return told["choices"][0]["message"]["content"]
            case "anthropic":
                return told["content"][0]["text"]
            case "gemini":
                return told["candidates"][0]["content"]["parts"][0]["text"]
            case "responses":
                return told["output"][0]["content"][0]["text"]
            case "orchestrate":
                return told["results"][0]["response"]
            case _:
                return told["choices"][0]["text"]
    return "".join(_piece(caller, one) for one in heard.events)


def _piece(caller: str, event: Json) -> str:
    match caller:
        case "openai":
            return "".join(one["delta"].get("content") or "" for one in event["choices"])
        case "anthropic":
            return event.get("delta", {}).get("text", "")
        case "gemini":
            parts = [part for one in event["candidates"] for part in one.get("content", {}).get("parts", [])]
            return "".join(part.get("text", "") for part in parts)
        case "responses":
            return event["delta"] if event["type"] == "response.output_text.delta" else ""
        case "orchestrate":
            return event.get("text", "")
        case _:
            return "".join(one["text"] for one in event["choices"])


# Providers


def _reply(provider: str, text: str) -> Json:
    match dialect_of(provider):
        case "anthropic":
            return anthropic_reply({"type": "text", "text": text})
        case "gemini":
            return gemini_reply({"text": text})
        case _:
            return openai_reply({"content": text})


def answers(text: str, *, stream: bool = False, size: int = 1) -> Callable[[str, Json], Says]:
    """Every provider says this; streamed, so many characters at a time."""

    def script(provider: str, _: Json) -> Says:
        if not stream:
            return whole(_reply(provider, text))
        return Says(pieces=_stream(provider, [text[at : at + size] for at in range(0, len(text), size)]))

    return script


def _stream(provider: str, texts: list[str]) -> list[bytes]:
    """A stream of these pieces, each an event of its own."""
    # Gemini says why it ended with its last piece.
    reply = gemini_reply({"text": "QQ"}, {"text": ""}) if provider == "gemini" else _reply(provider, "QQQQ")
    probe = events(dialect_of(provider), reply).pieces
    first = next(at for at, one in enumerate(probe) if b"QQ" in one)
    last = max(at for at, one in enumerate(probe) if b"QQ" in one)
    made = [probe[first].replace(b"QQQQ", b"QQ").replace(b"QQ", json.dumps(text)[1:-1].encode()) for text in texts]
    return [*probe[:first], *made, *probe[last + 1 :]]


def refused(heard: Heard, guardrail: str, *found: str) -> None:
    """It is a violation, by its name and without what was found."""
    assert heard.status == 400
    error = heard.json["error"]
    assert f"'{guardrail}'" in error["message"]
    assert "content_filter" in heard.body.decode().lower()
    assert not any(one in heard.body.decode() for one in found)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("caller", CALLERS)
def test_private_things_neither_go_nor_come(gateway: Scripted, caller: str, provider: str, stream: bool) -> None:
    gateway.script = answers(ANSWER, stream=stream)
    heard = ask(gateway, caller, f"private-{provider}", f"Who is {EMAIL} with {CARD}?", stream=stream)
    assert heard.status == 200
    assert said(caller, heard, stream=stream) == CLEAN
    assert EMAIL not in heard.body.decode()
    assert CARD not in heard.body.decode()
    (sent,) = gateway.sent
    assert "Who is [email] with [card]?" in json.dumps(sent.body)
    assert EMAIL not in json.dumps(sent.body)
    assert "private=redacted request" in heard.headers["x-steelyard-guardrails"]
    told = gateway.record(heard)["tags"]["steelyard_guardrails"]
    assert told == ["private=redacted request", "private=redacted response"]


@pytest.mark.parametrize("caller", CALLERS)
def test_secrets_are_refused_before_anybody_is_asked(gateway: Scripted, caller: str) -> None:
    heard = ask(gateway, caller, "secret-ollama", f"Use {KEY}, please")
    refused(heard, "secret", KEY)
    assert not gateway.sent
    record = gateway.record(heard)
    assert (record["error_code"], record["error_source"], record["status"]) == ("content_filter", "policy", 400)
    assert KEY not in json.dumps(record)


@pytest.mark.parametrize("caller", CALLERS)
def test_a_whole_answer_is_withheld_and_paid_for(gateway: Scripted, caller: str) -> None:
    gateway.script = answers(f"It is {KEY}.")
    heard = ask(gateway, caller, "secret-ollama", "What is the key?")
    refused(heard, "secret", KEY)
    assert len(gateway.sent) == 1, "no other provider is asked"
    assert gateway.record(heard)["cost_usd"] > 0


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("caller", CALLERS)
def test_a_stream_ends_where_a_secret_would_begin(gateway: Scripted, caller: str, provider: str) -> None:
    gateway.script = answers(f"The key for you is {KEY} and more.", stream=True)
    heard = ask(gateway, caller, f"secret-{provider}", "What is the key?", stream=True)
    assert heard.status == 200
    text = heard.body.decode()
    assert "content_filter" in text.lower()
    assert "'secret'" in text
    assert KEY not in text
    assert said(caller, Heard(200, {}, _without_errors(heard)), stream=True) == "The key for you is "
    assert gateway.record(heard)["error_code"] == "content_filter"


def _without_errors(heard: Heard) -> bytes:
    kept = [one for one in heard.body.replace(b"\r\n", b"\n").split(b"\n\n") if b"content_filter" not in one.lower()]
    return b"\n\n".join(kept)


def test_an_expression_of_ones_own_is_found_however_it_is_cut(gateway: Scripted) -> None:
    for size in (1, 2, 3, 5, 11):
        gateway.script = answers("It flies: Bluebird 12, they say.", stream=True, size=size)
        heard = ask(gateway, "openai", "secret-ollama", "What flies?", stream=True)
        assert b"content_filter" in heard.body
        assert b"Bluebird" not in heard.body


def test_the_arguments_of_a_call_are_looked_through_and_stay_json(gateway: Scripted) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "pay", "arguments": '{"card":4111111111111111,"n":1}'}}
    reply = openai_reply({"content": None, "tool_calls": [call]}, finish="tool_calls")
    for stream in (False, True):
        gateway.script = lambda _provider, _body, stream=stream: events("openai", reply) if stream else whole(reply)
        heard = ask(gateway, "openai", "private-ollama", "Pay", stream=stream)
        if stream:
            deltas = [one["choices"][0]["delta"] for one in heard.events if one["choices"]]
            calls = [one for delta in deltas for one in delta.get("tool_calls", [])]
            arguments = "".join(one["function"].get("arguments", "") for one in calls)
        else:
            arguments = heard.json["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
        assert json.loads(arguments) == {"card": "[card]", "n": 1}


def test_a_request_keeps_its_bytes_but_for_what_is_redacted(gateway: Scripted) -> None:
    gateway.script = answers("Yes.")
    body: Json = {
        "model": "private-ollama",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": f"I am {EMAIL}"}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]},
        ],
        "temperature": 1.0,
        "user": EMAIL,
        "unknown": {"id": CARD, "list": [EMAIL, 1.50]},
    }
    assert gateway.post("/v1/chat/completions", body).status == 200
    (sent,) = gateway.sent
    assert sent.body == {
        **body,
        "model": MODELS["ollama"],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "I am [email]"}]}, body["messages"][1]],
        "user": "[email]",
        "unknown": {"id": CARD, "list": ["[email]", 1.50]},
    }


def test_probabilities_do_not_tell_what_is_redacted(gateway: Scripted) -> None:
    reply = openai_reply({"content": ANSWER})
    reply["choices"][0]["logprobs"] = {"content": [{"token": EMAIL, "logprob": 0.0, "top_logprobs": []}]}
    gateway.script = lambda _provider, _body: whole(reply)
    heard = ask(gateway, "openai", "private-ollama", "Who?")
    assert said("openai", heard, stream=False) == CLEAN
    assert heard.json["choices"][0]["logprobs"] is None


@pytest.mark.parametrize(("name", "length"), [("short", 61), ("few", 200)])
@pytest.mark.parametrize("caller", CALLERS)
def test_a_prompt_may_be_too_long(gateway: Scripted, caller: str, name: str, length: int) -> None:
    gateway.script = answers("Yes.")
    refused(ask(gateway, caller, f"{name}-ollama", "x" * length), name)
    assert not gateway.sent
    assert ask(gateway, caller, f"{name}-ollama", "Shorter?").status == 200


@pytest.mark.parametrize("caller", CALLERS)
def test_an_answer_in_another_script_is_withheld(gateway: Scripted, caller: str) -> None:
    gateway.script = answers("Это совсем другой язык, не так ли?")
    refused(ask(gateway, caller, "latin-ollama", "Hi"), "latin")
    gateway.script = answers("Naïve Straße, and π ≈ 3.")
    assert ask(gateway, caller, "latin-ollama", "Hi").status == 200


def test_a_stream_in_another_script_ends(gateway: Scripted) -> None:
    for text in ("Это совсем другой язык, не так ли? " * 4, "Привет!"):
        gateway.script = answers(text, stream=True)
        heard = ask(gateway, "openai", "latin-ollama", "Hi", stream=True)
        assert b"content_filter" in heard.body
        assert b"[DONE]" not in heard.body


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("caller", CALLERS)
def test_an_answer_follows_its_schema(gateway: Scripted, caller: str, stream: bool) -> None:
    gateway.script = answers('{"n": 1}', stream=stream)
    heard = ask(gateway, caller, "shaped-ollama", "Count", stream=stream)
    assert json.loads(said(caller, heard, stream=stream)) == {"n": 1}
    gateway.script = answers('{"n": "one"}', stream=stream)
    refused(ask(gateway, caller, "shaped-ollama", "Count", stream=stream), "shaped", "one")


def _moderated(flagged: Callable[[str], bool], stream: bool = False) -> Callable[[str, Json], Says]:
    def script(provider: str, body: Json) -> Says:
        if provider != "bare":
            return answers("You fool.", stream=stream)(provider, body)
        results = [{"flagged": flagged(one), "categories": {"harassment": flagged(one)}} for one in body["input"]]
        return Says(json.dumps({"id": "m", "results": results}).encode(), headers={"content-type": "application/json"})

    return script


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("caller", CALLERS)
def test_prompts_and_answers_are_moderated(gateway: Scripted, caller: str, stream: bool) -> None:
    gateway.script = _moderated(lambda text: "insult" in text, stream)
    refused(ask(gateway, caller, "judged-ollama", "An insult, please", stream=stream), "judged")
    assert [one.provider for one in gateway.sent] == ["bare"]
    gateway.script = _moderated(lambda text: "fool" in text, stream)
    refused(ask(gateway, caller, "judged-ollama", "Hello", stream=stream), "judged", "fool")
    gateway.script = _moderated(lambda text: False, stream)
    heard = ask(gateway, caller, "judged-ollama", "Hello", stream=stream)
    assert said(caller, heard, stream=stream) == "You fool."


def test_a_moderator_that_cannot_be_asked_refuses_or_lets_pass(gateway: Scripted) -> None:
    gateway.script = lambda provider, body: (
        Says(b"{}", 500) if provider in ("bare", "grok") else answers("Hi")(provider, body)
    )
    heard = ask(gateway, "openai", "judged-ollama", "Hello")
    assert heard.status == 503
    assert "'judged'" in heard.json["error"]["message"]
    heard = ask(gateway, "openai", "polite-ollama", "Hello")
    assert heard.status == 200
    assert heard.headers["x-steelyard-guardrails"] == "polite=unavailable request"


def test_any_chat_model_may_moderate_by_a_policy(gateway: Scripted) -> None:
    words = iter(("PASS", "BLOCK", "Well,"))

    def script(provider: str, body: Json) -> Says:
        if provider == "grok":
            assert "No insults." in body["messages"][0]["content"]
            return whole(openai_reply({"content": next(words)}))
        return answers("Hi")(provider, body)

    gateway.script = script
    assert ask(gateway, "openai", "polite-ollama", "Hello").status == 200
    refused(ask(gateway, "openai", "polite-ollama", "Hello"), "polite")
    heard = ask(gateway, "openai", "polite-ollama", "Hello")
    assert heard.headers["x-steelyard-guardrails"] == "polite=unavailable request"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_cache_keeps_what_was_told(gateway: Scripted, stream: bool) -> None:
    gateway.script = answers(ANSWER, stream=stream)
    question = f"Cached, {stream}?"
    asked: dict[str, Any] = {"stream": stream, "cache": "on"}
    plain = ask(gateway, "openai", f"ollama/{MODELS['ollama']}", question, **asked)
    assert EMAIL in said("openai", plain, stream=stream)
    for expected in ("miss", "hit"):
        heard = ask(gateway, "openai", "private-ollama", question, **asked)
        assert heard.headers["x-steelyard-cache"] == expected
        assert said("openai", heard, stream=stream) == CLEAN
    gateway.script = answers(f"It is {KEY}.", stream=stream)
    for _ in range(2):
        heard = ask(gateway, "openai", "secret-ollama", question, **asked)
        assert "content_filter" in heard.body.decode()
        assert heard.headers["x-steelyard-cache"] == "miss"


def test_a_conversation_keeps_what_was_told(gateway: Scripted) -> None:
    for stream in (False, True):
        gateway.script = answers(ANSWER, stream=stream)
        path, body = _orchestrate("private-ollama", f"I am {EMAIL}", stream)
        body["session_id"] = f"guarded-{stream}"
        assert gateway.post(path, body).status == 200
        gateway.post(path, {**body, "prompt": "Go on"})
        messages = gateway.sent[-1].body["messages"]
        assert [one["content"] for one in messages] == ["I am [email]", CLEAN, "Go on"]
        path, body = _responses("private-ollama", f"I am {EMAIL}", stream)
        heard = gateway.post(path, body)
        told = heard.events[-1]["response"] if stream else heard.json
        stored = json.dumps(gateway.get(f"/v1/responses/{told['id']}"))
        assert CLEAN in stored
        assert EMAIL not in stored
        gateway.post(path, {**body, "input": "Go on", "previous_response_id": told["id"]})
        assert EMAIL not in json.dumps(gateway.sent[-1].body)


def test_counting_and_comparing_are_guarded_too(gateway: Scripted) -> None:
    gateway.script = lambda _provider, _body: whole({"input_tokens": 3})
    _, body = _anthropic("private-anthropic", f"I am {EMAIL}", False)
    del body["max_tokens"], body["stream"]
    assert gateway.post("/v1/messages/count_tokens", body).status == 200
    assert EMAIL not in json.dumps(gateway.sent[-1].body)
    gateway.script = answers(ANSWER)
    path, body = _orchestrate("private-ollama", f"I am {EMAIL}", False)
    told = gateway.post(path, {**body, "mode": "compare"}).json
    assert [one["response"] for one in told["results"]] == [CLEAN]
    assert EMAIL not in json.dumps(gateway.sent[-1].body)
    refused(gateway.post(path, {**body, "model": "secret-ollama", "prompt": KEY, "mode": "compare"}), "secret", KEY)


def test_a_stream_that_breaks_lets_go_of_what_it_held_back(gateway: Scripted) -> None:
    pieces = _stream("openai", ["Write to ", "alice.b@mail"])
    last = max(at for at, one in enumerate(pieces) if b"alice" in one)
    gateway.script = lambda _provider, _body: Says(pieces=pieces[: last + 1], ends="cut")
    heard = ask(gateway, "openai", "private-ollama", "Who?", stream=True)
    texts = [one for one in heard.events if "choices" in one]
    assert "".join(_piece("openai", one) for one in texts) == "Write to alice.b@mail"
    assert heard.events[-1]["error"]["code"] == "stream_broken"


def test_without_a_name_nothing_is_guarded(gateway: Scripted) -> None:
    gateway.script = answers(ANSWER)
    heard = ask(gateway, "openai", f"ollama/{MODELS['ollama']}", f"{EMAIL} {KEY}")
    assert said("openai", heard, stream=False) == ANSWER
    assert EMAIL in json.dumps(gateway.sent[-1].body)
    assert "x-steelyard-guardrails" not in heard.headers


# Responses that the provider has itself


def _native(text: str) -> Json:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
    top = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m"}
    return {**top, "output": [item], "usage": usage}


def _native_events(text: str, *, whole: bool = True) -> list[bytes]:
    response = _native(text)
    (item,) = response["output"]
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    told: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **where, "part": {"type": "output_text", "text": ""}},
        *({"type": "response.output_text.delta", **where, "delta": one, "logprobs": []} for one in text),
    ]
    if whole:
        told += [
            {"type": "response.output_text.done", **where, "text": text},
            {"type": "response.content_part.done", **where, "part": item["content"][0]},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": response},
        ]
    return [b"data: " + json.dumps({**one, "sequence_number": at}).encode() + b"\n\n" for at, one in enumerate(told)]


def test_native_responses_are_guarded_as_well(gateway: Scripted) -> None:
    for stream in (False, True):
        answer = Says(pieces=_native_events(ANSWER)) if stream else whole(_native(ANSWER))
        gateway.script = lambda _provider, _body, answer=answer: answer
        heard = ask(gateway, "responses", "private-openai", f"I am {EMAIL}", stream=stream)
        assert gateway.sent[-1].path == "/responses"
        assert EMAIL not in json.dumps(gateway.sent[-1].body)
        assert EMAIL not in heard.body.decode()
        assert said("responses", heard, stream=stream) == CLEAN
        told = heard.events[-1]["response"] if stream else heard.json
        assert told["output"][0]["content"][0]["text"] == CLEAN
        assert EMAIL not in json.dumps(gateway.get(f"/v1/responses/{told['id']}"))


def test_a_native_response_that_is_withheld_says_nothing_of_it(gateway: Scripted) -> None:
    gateway.script = lambda _provider, _body: Says(pieces=_native_events(f"Well, the key is {KEY}, they say."))
    heard = ask(gateway, "responses", "secret-openai", "Which key?", stream=True)
    last = heard.events[-1]
    assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", "content_filter")
    assert last["response"]["output"] == []
    assert KEY not in heard.body.decode()


@pytest.mark.parametrize("caller", ["responses", "orchestrate"])
def test_a_response_that_breaks_tells_no_more_than_its_events_did(gateway: Scripted, caller: str) -> None:
    gateway.script = lambda _provider, _body: Says(pieces=_native_events(f"Write to {EMAIL}", whole=False), ends="cut")
    if caller == "orchestrate":
        pieces = _stream("ollama", ["Write to ", EMAIL])
        last = max(at for at, one in enumerate(pieces) if EMAIL.encode() in one)
        gateway.script = lambda _provider, _body: Says(pieces=pieces[: last + 1], ends="cut")
    heard = ask(gateway, caller, "private-openai" if caller == "responses" else "private-ollama", "Who?", stream=True)
    assert EMAIL not in heard.body.decode()
    assert "Write to [email]" in said(caller, heard, stream=True)


def test_a_break_is_mended_across_the_guardrail(gateway: Scripted) -> None:
    """The address begins with one provider and ends with the other."""
    begun = _stream("anthropic", ["Write to ", "alice.b@mail"])
    last = max(at for at, one in enumerate(begun) if b"alice" in one)

    def script(provider: str, body: Json) -> Says:
        if len(gateway.sent) == 1:
            return Says(pieces=begun[: last + 1], ends="cut")
        return Says(pieces=_stream(provider, [".example.com", " today."]))

    gateway.script = script
    path, body = _openai("private-both", "Who?", stream=True)
    heard = gateway.post(path, body, x_steelyard_continue="true")
    assert said("openai", heard, stream=True) == "Write to [email] today."


def test_several_answers_are_each_looked_through(gateway: Scripted) -> None:
    reply = openai_reply({"content": ANSWER})
    reply["choices"].append(
        {**reply["choices"][0], "index": 1, "message": {"role": "assistant", "content": f"2: {KEY}"}}
    )
    gateway.script = lambda _provider, _body: whole(reply)
    path, body = _openai("private-openai", "Who?", stream=False)
    heard = gateway.post(path, {**body, "n": 2})
    assert [one["message"]["content"] for one in heard.json["choices"]] == [CLEAN, f"2: {KEY}"]
    path, body = _openai("secret-openai", "Who?", stream=False)
    refused(gateway.post(path, {**body, "n": 2}), "secret", KEY)


def test_embeddings_are_of_what_was_redacted(gateway: Scripted) -> None:
    answer = {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}
    gateway.script = lambda _provider, _body: whole({**answer, "usage": {"prompt_tokens": 2, "total_tokens": 2}})
    heard = gateway.post("/v1/embeddings", {"model": "private-ollama", "input": [f"I am {EMAIL}"]})
    assert heard.status == 200
    assert gateway.sent[-1].body["input"] == ["I am [email]"]
