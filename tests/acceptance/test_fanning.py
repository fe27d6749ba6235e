"""Several answers from providers that give one to a call: asked for by several calls, answered as one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.scripted import MODELS, PRICE, Json, Says, Script, Scripted, dialect_of, events, scripted, whole
from tests.fidelity.reading import assembled
from tests.fidelity.wire import anthropic_reply, gemini_reply, openai_reply

#: One answer: 11 tokens in, 7 out.
EACH = 11 * PRICE.input + 7 * PRICE.output
SINGLE = ["anthropic", "gemini", "ollama"]
each_single = pytest.mark.parametrize("provider", SINGLE)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Scripted]:
    """One that asks again."""
    with scripted(tmp_path, retries=1) as made:
        yield made


def reply(provider: str, text: str) -> Json:
    match dialect_of(provider):
        case "anthropic":
            return anthropic_reply({"type": "text", "text": text})
        case "gemini":
            return gemini_reply({"text": text})
        case _:
            return openai_reply({"content": text})


def said(provider: str, text: str, streamed: bool, **more: Any) -> Says:
    answer = reply(provider, text)
    return events(dialect_of(provider), answer, **more) if streamed else whole(answer)


def in_turn(streamed: bool, *steps: str | Says) -> Script:
    """Each call gets the next answer."""
    left = list(steps)

    def play(provider: str, _body: Json) -> Says:
        step = left.pop(0)
        return step if isinstance(step, Says) else said(provider, step, streamed)

    return play


def asked(provider: str, streamed: bool, **more: Any) -> Json:
    body = {"model": f"{provider}/{MODELS[provider]}", "messages": [{"role": "user", "content": "Hi"}], "n": 3, **more}
    return body | ({"stream": True, "stream_options": {"include_usage": True}} if streamed else {})


def texts(answer: Json) -> list[str]:
    return [one["message"]["content"] for one in sorted(answer["choices"], key=lambda one: one["index"])]


@each_single
@both_ways
def test_three_calls_are_three_choices_one_row_and_one_bill(played: Scripted, provider: str, streamed: bool) -> None:
    played.script = in_turn(streamed, "One.", "Two.", "Three.")
    heard = played.post("/v1/chat/completions", asked(provider, streamed))
    assert heard.status == 200, heard.body
    answer = assembled("openai", heard.body) if streamed else heard.json
    assert [one["index"] for one in answer["choices"]] == [0, 1, 2]
    assert texts(answer) == ["One.", "Two.", "Three."]
    assert {one["finish_reason"] for one in answer["choices"]} == {"stop"}
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (33, 21)
    assert [one.provider for one in played.sent] == [provider] * 3
    assert all(one.closed for one in played.sent)
    assert not any("n" in one.body and one.body["n"] > 1 for one in played.sent)
    row = played.record(heard)
    assert (row["input_tokens"], row["output_tokens"]) == (33, 21)
    assert row["cost_usd"] == pytest.approx(3 * EACH, rel=1e-9)
    assert [(one["outcome"], pytest.approx(one["cost_usd"])) for one in row["attempts"]] == [("ok", EACH)] * 3
    if not streamed:
        assert float(heard.headers["x-steelyard-cost-usd"]) == pytest.approx(3 * EACH, rel=1e-6)
        assert heard.headers["x-steelyard-attempts"] == "3"


@both_ways
def test_a_gemini_caller_gets_its_candidates(played: Scripted, streamed: bool) -> None:
    played.script = in_turn(streamed, "One.", "Two.")
    body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": {"candidateCount": 2}}
    verb, query = ("streamGenerateContent", "alt=sse") if streamed else ("generateContent", "")
    model = f"anthropic/{MODELS['anthropic']}"
    heard = played.post(f"/v1beta/models/{model}:{verb}", body, query=query)
    answer = assembled("gemini", heard.body) if streamed else heard.json
    found = sorted(answer["candidates"], key=lambda one: one.get("index", 0))
    assert [one["content"]["parts"][0]["text"] for one in found] == ["One.", "Two."]
    assert answer["usageMetadata"]["totalTokenCount"] == 36


@both_ways
def test_a_caller_of_completions_gets_them_as_well(played: Scripted, streamed: bool) -> None:
    played.script = in_turn(streamed, "One.\nMore.", "Two.")
    body: Json = {"model": f"anthropic/{MODELS['anthropic']}", "prompt": "Hi", "n": 2, "stop": ["\n"]}
    heard = played.post("/v1/completions", body | ({"stream": True} if streamed else {}))
    if streamed:
        pieces = [one["choices"][0] for one in heard.events if one.get("choices")]
        found = ["".join(one["text"] for one in pieces if one["index"] == index) for index in (0, 1)]
    else:
        found = [one["text"] for one in heard.json["choices"]]
    assert found == ["One.", "Two."]
    assert "stop_sequences" not in played.sent[0].body, "it would be refused"


def test_several_prompts_have_their_stops_and_as_many_answers_each(played: Scripted) -> None:
    played.script = in_turn(False, *(f"{number}.\nMore." for number in ("One", "Two") * 3))
    body: Json = {"model": f"anthropic/{MODELS['anthropic']}", "prompt": ["Hi", "Ho"], "stop": ["\n"]}
    assert [one["text"] for one in played.post("/v1/completions", body).json["choices"]] == ["One.", "Two."]
    both = played.post("/v1/completions", {**body, "n": 2}).json["choices"]
    assert [one["text"] for one in both] == ["One.", "Two.", "One.", "Two."]


def test_where_n_is_known_it_is_one_call(played: Scripted) -> None:
    two = openai_reply()
    two["choices"] = [{**two["choices"][0], "index": index} for index in range(3)]
    played.script = lambda _provider, _body: whole(two)
    heard = played.post("/v1/chat/completions", asked("grok", False))
    assert len(heard.json["choices"]) == 3
    assert [one.body["n"] for one in played.sent] == [3]


@both_ways
def test_one_that_stumbles_is_asked_once_more_by_itself(patient: Scripted, streamed: bool) -> None:
    patient.script = in_turn(streamed, "One.", Says(b"{}", 529), "Three.", "Two, at last.")
    heard = patient.post("/v1/chat/completions", asked("anthropic", streamed))
    answer = assembled("openai", heard.body) if streamed else heard.json
    assert texts(answer) == ["One.", "Two, at last.", "Three."]
    row = patient.record(heard)
    assert sorted(one["outcome"] for one in row["attempts"]) == ["ok", "ok", "ok", "overloaded"]
    assert row["cost_usd"] == pytest.approx(3 * EACH, rel=1e-9)


@both_ways
def test_one_that_cannot_takes_the_others_along_to_the_next_deployment(played: Scripted, streamed: bool) -> None:
    def play(provider: str, _body: Json) -> Says:
        if len(played.sent) == 2:
            return Says(b"{}", 500, ends="late")
        return said(provider, f"By {provider}.", streamed, **({"ends": "late"} if provider == "anthropic" else {}))

    played.script = play
    body = asked("anthropic", streamed) | {"model": "auto"}
    heard = played.post(
        "/v1/chat/completions", body, x_steelyard_providers="anthropic,ollama", x_steelyard_strategy="priority"
    )
    assert [one.provider for one in played.sent] == ["anthropic"] * 3 + ["ollama"] * 3
    answer = assembled("openai", heard.body) if streamed else heard.json
    assert texts(answer) == ["By ollama."] * 3
    row = played.record(heard)
    # What Anthropic's model had answered by then is paid for: all of it, or the prompt and the first six characters.
    outcome, paid = ("cancelled", 11 * PRICE.input + 2 * PRICE.output) if streamed else ("ok", EACH)
    assert [(one["provider"], one["outcome"], pytest.approx(one["cost_usd"])) for one in row["attempts"]] == [
        *[("anthropic", outcome, paid)] * 2,
        ("anthropic", "overloaded", 0),
        *[("ollama", "ok", EACH)] * 3,
    ]
    assert row["cost_usd"] == pytest.approx(2 * paid + 3 * EACH, rel=1e-9)
    assert (row["input_tokens"], row["output_tokens"]) == (33, 21), "of the answer itself"


@both_ways
def test_there_is_no_short_answer(played: Scripted, streamed: bool) -> None:
    played.script = in_turn(streamed, "One.", Says(b"{}", 500), "Three.")
    heard = played.post("/v1/chat/completions", asked("anthropic", streamed))
    assert heard.status == 503
    assert heard.json["error"]["source"] == "provider"
    assert all(one.closed for one in played.sent)
    row = played.record(heard)
    assert sorted(one["outcome"] for one in row["attempts"]).count("overloaded") == 1
    assert row["cost_usd"] == pytest.approx(sum(one["cost_usd"] for one in row["attempts"]))


def test_streams_that_had_begun_are_paid_for_when_another_cannot(patient: Scripted) -> None:
    endless = said("anthropic", "Endless answer.", True, upto=b"Endless", ends="never")
    patient.script = in_turn(True, endless, Says(b"{}", 529), endless, Says(b"{}", 400))
    heard = patient.post("/v1/chat/completions", asked("anthropic", True))
    assert heard.status == 400
    assert all(one.closed for one in patient.sent)
    row = patient.record(heard)
    # The prompt, and a token for each four of the seven characters that came: of both that had begun.
    begun = 11 * PRICE.input + 2 * PRICE.output
    assert sorted((one["outcome"], one["cost_usd"]) for one in row["attempts"]) == [
        *[("cancelled", pytest.approx(begun, rel=1e-9))] * 2,
        ("overloaded", 0),
        ("rejected", 0),
    ]
    assert row["cost_usd"] == pytest.approx(2 * begun, rel=1e-9)
    assert (row["input_tokens"], row["output_tokens"]) == (22, 4)


def test_an_answer_without_a_choice_is_none(played: Scripted) -> None:
    played.script = in_turn(False, "One.", whole(openai_reply(choices=[])), "Three.")
    heard = played.post("/v1/chat/completions", asked("ollama", False))
    assert (heard.status, heard.json["error"]["code"]) == (502, "bad_gateway")


def test_fewer_choices_than_a_provider_was_asked_for_are_no_answer(played: Scripted) -> None:
    played.script = in_turn(False, "One.")
    body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": {"candidateCount": 2}}
    heard = played.post(f"/v1beta/models/grok/{MODELS['grok']}:generateContent", body)
    assert heard.status == 502
    assert "fewer choices" in heard.json["error"]["message"]


def test_a_break_of_one_stream_ends_all_and_is_said(played: Scripted) -> None:
    cut = said("anthropic", "Second answer.", True, upto=b"Second", ends="late")
    endless = said("anthropic", "Third answer.", True, upto=b"Third", ends="never")
    played.script = in_turn(True, "One.", cut, endless)
    heard = played.post("/v1/chat/completions", asked("anthropic", True))
    assert heard.events[-1]["error"]["code"] == "stream_broken"
    assert b"[DONE]" not in heard.body
    assert all(one.closed for one in played.sent)
    row = played.record(heard)
    assert sorted(one["outcome"] for one in row["attempts"]) == ["cancelled", "cut", "ok"]
    # The first: all of it. The others: the prompt, and a token for each four of the seven and six characters that came.
    first, second, third = EACH, 11 * PRICE.input + 2 * PRICE.output, 11 * PRICE.input + 2 * PRICE.output
    assert row["cost_usd"] == pytest.approx(first + second + third, rel=1e-9)
    assert (row["input_tokens"], row["output_tokens"]) == (33, 7 + 2 + 2)


def test_whoever_hangs_up_cancels_all(played: Scripted) -> None:
    played.script = lambda provider, _body: said(provider, "Endless answer.", True, upto=b"Endless", ends="never")
    heard = played.post("/v1/chat/completions", asked("anthropic", True), leave=b"Endles")
    assert all(one.closed for one in played.sent)
    row = played.record(heard)
    assert (row["outcome"], [one["outcome"] for one in row["attempts"]]) == ("cancelled", ["cancelled"] * 3)
    # The prompt, and a token for each four of the seven characters that came.
    assert row["cost_usd"] == pytest.approx(3 * (11 * PRICE.input + 2 * PRICE.output), rel=1e-9)


def test_whoever_hangs_up_pays_for_what_was_answered(played: Scripted) -> None:
    before = played.totals()
    played.script = in_turn(False, "One.", Says(ends="never"), Says(ends="never"))
    heard = played.post("/v1/chat/completions", asked("anthropic", False), leave=b"")
    assert heard.status == 0
    assert all(one.closed for one in played.sent)
    # One answer had come: 11 tokens in, 7 out.
    assert played.totals()["cost_usd"] - before["cost_usd"] == pytest.approx(EACH, rel=1e-9)
    row = played.get("/api/db/requests/recent")["requests"][1]
    assert (row["outcome"], row["cost_usd"]) == ("cancelled", pytest.approx(EACH, rel=1e-9))


def test_the_bound_is_told(played: Scripted) -> None:
    heard = played.post("/v1/chat/completions", asked("anthropic", False, n=17))
    assert heard.status == 400
    error = heard.json["error"]
    assert (error["param"], error["code"]) == ("n", "unsupported_parameter")
    assert "17 answers were asked for, and at most 16 are to be had here." in error["message"]
    assert not played.sent
    assert (played.post("/v1/chat/completions", asked("openai", False, n=129))).status == 400


def completions_of(provider: str, streamed: bool, **more: Any) -> Json:
    body = {"model": f"{provider}/{MODELS[provider]}", "prompt": ["first", "second"], "n": 2, **more}
    return body | ({"stream": True, "stream_options": {"include_usage": True}} if streamed else {})


@each_single
@both_ways
def test_several_prompts_have_each_as_many_answers_as_were_asked_for(
    played: Scripted, provider: str, streamed: bool
) -> None:
    numbered = iter("abcd")

    def play(name: str, body: Json) -> Says:
        prompt = "first" if "first" in str(body) else "second"
        return said(name, f"{prompt} {next(numbered)}", streamed)

    played.script = play
    heard = played.post("/v1/completions", completions_of(provider, streamed, echo=True))
    assert heard.status == 200, heard.body
    found = ["", "", "", ""]
    for part in heard.events if streamed else [heard.json]:
        for choice in part["choices"]:
            found[choice["index"]] += choice["text"]
    assert found == ["firstfirst a", "firstfirst b", "secondsecond c", "secondsecond d"]
    assert len(played.sent) == 4
    usage = (heard.events[-1] if streamed else heard.json)["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (44, 28)
    assert played.record(heard)["cost_usd"] == pytest.approx(4 * EACH, rel=1e-9)


@each_single
def test_all_prompts_and_answers_take_sixteen_calls_at_most(played: Scripted, provider: str) -> None:
    played.script = in_turn(False, *["x"] * 16)
    most = played.post("/v1/completions", completions_of(provider, False, n=8))
    assert (most.status, len(most.json["choices"]), len(played.sent)) == (200, 16, 16)
    beyond = played.post("/v1/completions", completions_of(provider, False, n=9))
    assert (beyond.status, beyond.json["error"]["param"]) == (400, "n (of several prompts)")
    assert "9 calls for each of 2 prompts are 18, and 16 are the most" in beyond.json["error"]["message"]
    assert len(played.sent) == 16
