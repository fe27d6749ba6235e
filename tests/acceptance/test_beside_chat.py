"""OpenAI's endpoints beside chat, through the official SDK: completions by anybody, the rest by whoever has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection, IncompleteRead
from typing import Any

import openai
import pytest
from msgspec.structs import replace

from providers import simulator
from providers.simulator import Model, Prices, Provider, Simulation
from tests.acceptance.driving import CHAT_MODELS, OPENAI, PIXEL, World, impatient, world_in
from tests.acceptance.test_openai_callers import tokens

#: USD per million tokens, so that costs can be told from each other.
_PRICES = Prices(input_usd_per_1m=2, output_usd_per_1m=8)
_KINDS = ("completion", "moderation", "image", "speech", "transcription")
every_dialect = pytest.mark.parametrize("model", CHAT_MODELS)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def cast() -> Simulation:
    """The default cast, and two providers of OpenAI's format with a model of every further kind."""
    models = tuple(Model(name=f"sim-{kind}", kind=kind, prices=_PRICES) for kind in _KINDS)
    further = tuple(Provider(name=name, dialect="openai", models=models) for name in ("one", "other"))
    ordinary = simulator.instant(simulator.default_cast())
    return replace(ordinary, providers=(*ordinary.providers, *further))


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("beside"), impatient, cast=cast()) as made:
        yield made


@pytest.fixture
def gateway(beside: World) -> Iterator[World]:
    beside.forget()
    yield beside
    beside.forget()


@pytest.fixture(scope="module")
def client(beside: World) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{beside.url}/v1", api_key="any", max_retries=0) as made:
        yield made


def complete(client: openai.OpenAI, prompt: Any, *, streamed: bool, **more: Any) -> Any:
    """The text, its finish reason and its tokens."""
    if not streamed:
        answer = client.completions.create(prompt=prompt, **more)
        assert answer.object == "text_completion"
        return answer.choices[0].text, answer.choices[0].finish_reason, answer.usage
    options = {"include_usage": True}
    chunks: list[Any] = list(client.completions.create(prompt=prompt, stream=True, stream_options=options, **more))  # pyright: ignore[reportArgumentType, reportCallIssue, reportUnknownVariableType] - plain dicts
    assert len({chunk.id for chunk in chunks}) == 1
    choices = [choice for chunk in chunks for choice in chunk.choices]
    (finish,) = [choice.finish_reason for choice in choices if choice.finish_reason]
    return "".join(choice.text for choice in choices), finish, chunks[-1].usage


# Completions


@pytest.mark.parametrize("model", [*CHAT_MODELS, "one/sim-completion"])
@both_ways
def test_a_prompt_is_completed(client: openai.OpenAI, model: str, streamed: bool) -> None:
    text, finish, usage = complete(client, "What is a steelyard?", streamed=streamed, model=model, max_tokens=500)
    assert "read: What is a steelyard?" in text
    assert finish == "stop"
    assert usage.prompt_tokens == tokens("What is a steelyard?")
    assert usage.completion_tokens == tokens(text)


@pytest.mark.parametrize("model", [*CHAT_MODELS, "one/sim-completion"])
@both_ways
def test_sixteen_tokens_are_the_bound_when_none_is_named(client: openai.OpenAI, model: str, streamed: bool) -> None:
    _, finish, usage = complete(client, "Hello", streamed=streamed, model=model)
    assert (finish, usage.completion_tokens) == ("length", 16)


@every_dialect
def test_several_prompts_are_answered_in_order(client: openai.OpenAI, gateway: World, model: str) -> None:
    before = gateway.asked()
    answer = client.completions.create(model=model, prompt=["first", "second", "third"], max_tokens=200)
    assert gateway.asked() == before + 3
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    for choice, said in zip(answer.choices, ("first", "second", "third"), strict=True):
        assert f"read: {said}" in choice.text
    assert answer.usage is not None
    assert answer.usage.completion_tokens == sum(tokens(choice.text) for choice in answer.choices)


def test_bytes_pass_untouched_to_a_model_that_writes_on(gateway: World) -> None:
    body = {"model": "one/sim-completion", "prompt": [[1, 2, 3]], "echo": True, "best_of": 2, "logprobs": 1}
    answer = gateway.post("/v1/completions", body)
    assert answer.status == 200
    assert "x-steelyard-dropped-params" not in answer.headers
    assert answer.json["id"].startswith("cmpl-sim")


@every_dialect
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("best_of", 3),
        ("suffix", " end"),
        ("logit_bias", {"50256": -100}),
        ("prompt", [1, 2, 3]),
        ("prompt", [[1, 2], [3]]),
        ("prompt", ["x"] * 17),
        ("surprise", 1),
    ],
    ids=str,
)
def test_what_a_chat_cannot_say_is_refused_by_name(gateway: World, model: str, field: str, value: Any) -> None:
    body = {"model": model, "prompt": "Hi", field: value}
    before = gateway.asked()
    answer = gateway.post("/v1/completions", body)
    assert answer.status == 400
    assert answer.json["error"]["param"].startswith(field)
    assert gateway.asked() == before
    if field != "prompt":
        dropped = gateway.post("/v1/completions", body, x_steelyard_drop_params="true")
        assert (dropped.status, dropped.headers["x-steelyard-dropped-params"]) == (200, field)


@every_dialect
@both_ways
def test_an_echo_is_the_prompt_before_its_text(client: openai.OpenAI, model: str, streamed: bool) -> None:
    asked: dict[str, Any] = {"model": model, "max_tokens": 200, "streamed": streamed}
    (plain, _, usage), (echoed, _, more) = (complete(client, "Weigh it.", echo=echo, **asked) for echo in (False, True))
    assert echoed == "Weigh it." + plain
    assert more == usage


@every_dialect
def test_each_of_several_prompts_is_echoed_before_its_own_text(client: openai.OpenAI, model: str) -> None:
    answer = client.completions.create(model=model, prompt=["first", "second"], echo=True, max_tokens=200)
    for choice, said in zip(answer.choices, ("first", "second"), strict=True):
        assert choice.text.startswith(f"{said}[simulated]")
        assert f"read: {said}" in choice.text


@pytest.mark.parametrize("streamed", [False, True])
def test_several_choices_are_echoed_each(gateway: World, streamed: bool) -> None:
    body = {"model": OPENAI, "prompt": "Weigh it.", "n": 2, "best_of": 2, "echo": True, "stream": streamed}
    answer = gateway.post("/v1/completions", body)
    parts = [data for _, data in answer.events if data != "[DONE]"] if streamed else [answer.json]
    texts = ["", ""]
    for choice in (choice for part in parts for choice in part["choices"]):
        texts[choice["index"]] += choice["text"]
    assert [text.partition("[")[0] for text in texts] == ["Weigh it."] * 2
    assert [text.count("Weigh it.") for text in texts] == [2, 2]  # the simulated model repeats its prompt


@both_ways
@pytest.mark.parametrize("top", [0, 1])
def test_probabilities_are_told_in_the_older_shape(gateway: World, streamed: bool, top: int) -> None:
    body = {"model": OPENAI, "prompt": "Weigh it.", "max_tokens": 9, "logprobs": top, "stream": streamed}
    answer = gateway.post("/v1/completions", body)
    assert answer.status == 200, answer.body
    parts = [data for _, data in answer.events if data != "[DONE]"] if streamed else [answer.json]
    choices = [choice for part in parts for choice in part["choices"]]
    text = "".join(choice["text"] for choice in choices)
    told: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for choice in choices:
        for name, rows in (choice["logprobs"] or {}).items():
            told[name] += rows
    assert "".join(told["tokens"]) == text != ""
    assert [text[at:][: len(token)] for at, token in zip(told["text_offset"], told["tokens"], strict=True)] == told[
        "tokens"
    ]
    assert all(one < 0 for one in told["token_logprobs"])
    expected = [{token: one} if top else {} for token, one in zip(told["tokens"], told["token_logprobs"], strict=True)]
    assert told["top_logprobs"] == expected


def test_probabilities_that_nobody_has_are_refused_by_name(gateway: World) -> None:
    for more in ({"model": CHAT_MODELS[1], "logprobs": 2}, {"model": OPENAI, "logprobs": 2, "echo": True}):
        answer = gateway.post("/v1/completions", {"prompt": "Hi", **more})
        assert (answer.status, answer.json["error"]["code"]) == (400, "unsupported_parameter")
        assert "logprobs" in answer.json["error"]["param"]
        dropped = gateway.post("/v1/completions", {"prompt": "Hi", **more}, x_steelyard_drop_params="true")
        assert (dropped.status, dropped.headers["x-steelyard-dropped-params"]) == (200, answer.json["error"]["param"])


@every_dialect
@pytest.mark.parametrize("echo", [False, True])
def test_several_prompts_are_streamed_one_after_the_other(
    gateway: World, client: openai.OpenAI, model: str, echo: bool
) -> None:
    prompts = ["first", "second", "third"]
    asked: dict[str, Any] = {"model": model, "prompt": prompts, "max_tokens": 200, "echo": echo}
    whole = client.completions.create(**asked)
    raw = client.completions.with_raw_response.create(**asked, stream=True, stream_options={"include_usage": True})
    chunks: list[Any] = list(raw.parse())
    assert len({chunk.id for chunk in chunks}) == 1
    texts, ends = ["", "", ""], list[int]()
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        texts[choice.index] += choice.text
        ends += [choice.index] if choice.finish_reason else []
    assert texts == [choice.text for choice in whole.choices]
    assert ends == [0, 1, 2]
    assert chunks[-1].usage == whole.usage
    record = gateway.record(raw.headers["x-steelyard-request-id"])
    assert whole.usage is not None
    assert (record["input_tokens"], record["output_tokens"]) == (
        whole.usage.prompt_tokens,
        whole.usage.completion_tokens,
    )


def test_choices_of_several_streamed_prompts_count_up(gateway: World) -> None:
    body = {"model": OPENAI, "prompt": ["a", "b"], "n": 2, "stream": True, "max_tokens": 9}
    parts = [data for _, data in gateway.post("/v1/completions", body).events if data != "[DONE]"]
    assert {choice["index"] for part in parts for choice in part["choices"]} == {0, 1, 2, 3}


def test_a_later_prompt_that_fails_breaks_the_stream_and_what_came_is_paid_for(gateway: World) -> None:
    body = {"model": OPENAI, "prompt": ["first", "#sim fail=down", "never"], "stream": True, "max_tokens": 200}
    answer = gateway.post("/v1/completions", body)
    assert answer.status == 200
    *parts, (_, last) = answer.events
    assert last["error"]["code"] is not None
    text = "".join(choice["text"] for _, part in parts for choice in part["choices"])
    assert "read: first" in text
    record = gateway.record(answer.headers["x-steelyard-request-id"])
    assert (record["outcome"], record["output_tokens"], len(record["attempts"])) == ("error", tokens(text), 1)
    assert record["cost_usd"] > 0


def test_a_first_prompt_that_fails_is_asked_of_another(gateway: World) -> None:
    gateway.running.control("sim-openai", "down")
    body = {"model": "sim-chat", "prompt": ["a", "b"], "stream": True, "max_tokens": 100}
    for _ in range(4):
        answer = gateway.post("/v1/completions", body)
        assert answer.status == 200
        assert answer.headers["x-steelyard-provider"] != "sim-openai"
        assert answer.events[-1][1] == "[DONE]"


def test_values_that_ask_for_nothing_are_no_obstacle(gateway: World) -> None:
    neutral = {"echo": False, "best_of": 1, "n": 1, "suffix": None, "logit_bias": {}, "logprobs": None}
    assert gateway.post("/v1/completions", {"model": OPENAI, "prompt": "Hi", **neutral}).status == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [({}, "model"), ({"model": OPENAI}, "prompt"), ({"model": OPENAI, "prompt": []}, "prompt")],
    ids=str,
)
def test_a_mistake_is_named_by_its_place(gateway: World, body: dict[str, Any], param: str) -> None:
    answer = gateway.post("/v1/completions", body)
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


def test_a_failing_prompt_fails_over_with_all_of_them(gateway: World) -> None:
    gateway.running.control("sim-openai", "down")
    body = {"model": "sim-chat", "prompt": ["a", "b"], "max_tokens": 100}
    for _ in range(4):
        answer = gateway.post("/v1/completions", body)
        assert answer.status == 200
        assert answer.headers["x-steelyard-provider"] != "sim-openai"
        assert len(answer.json["choices"]) == 2


def test_a_model_that_only_writes_on_holds_no_conversation(gateway: World) -> None:
    answer = gateway.chat("Hi", "sim-completion")
    assert (answer.status, answer.json["error"]["code"]) == (400, "unsupported_capability")


@both_ways
def test_an_answer_is_kept_when_it_is_deterministic(gateway: World, streamed: bool) -> None:
    body = {"model": OPENAI, "prompt": "Kept?", "temperature": 0, "stream": streamed}
    first, second = (gateway.post("/v1/completions", body) for _ in range(2))
    assert (first.headers["x-steelyard-cache"], second.headers["x-steelyard-cache"]) == ("miss", "hit")
    assert first.body == second.body


# Passed on


def test_a_text_is_moderated(client: openai.OpenAI) -> None:
    answer = client.moderations.create(model="sim-moderation", input=["peace", "violence"])
    assert [one.flagged for one in answer.results] == [False, True]


def test_a_picture_is_made_and_paid_for(gateway: World, client: openai.OpenAI) -> None:
    raw = client.images.with_raw_response.generate(model="sim-image", prompt="A steelyard.", n=2)
    answer = raw.parse()
    assert [one.b64_json for one in answer.data or []] == [PIXEL, PIXEL]
    cost = (10 * 2 + 100 * 8) / 1e6
    assert float(raw.headers["x-steelyard-cost-usd"]) == pytest.approx(cost)
    record = gateway.record(raw.headers["x-steelyard-request-id"])
    assert (record["surface"], record["input_tokens"], record["output_tokens"]) == ("images", 10, 100)


def test_a_picture_is_streamed_and_paid_for(gateway: World, client: openai.OpenAI) -> None:
    with client.images.with_streaming_response.generate(model="sim-image", prompt="Draw.", stream=True) as raw:
        assert raw.headers["content-type"].startswith("text/event-stream")
        event = raw.read().decode()
    assert json.loads(event.partition("data: ")[2])["b64_json"] == PIXEL
    record = gateway.record(raw.headers["x-steelyard-request-id"])
    assert (record["stream"], record["output_tokens"]) == (True, 100)


@pytest.mark.parametrize(("form", "kind"), [("mp3", "audio/mpeg"), ("wav", "audio/wav")])
def test_words_are_spoken(gateway: World, client: openai.OpenAI, form: Any, kind: str) -> None:
    raw = client.audio.speech.with_raw_response.create(
        model="sim-speech", input="Weigh anchor.", voice="alloy", response_format=form
    )
    assert raw.headers["content-type"] == kind
    assert raw.content == b"\xff\xfb" + b"Weigh anchor." * 200
    record = gateway.record(raw.headers["x-steelyard-request-id"])
    assert (record["surface"], record["status"], record["outcome"]) == ("speech", 200, "ok")
    assert record["input_tokens"] == tokens("Weigh anchor.")  # nobody counts them but we


@pytest.mark.parametrize("size", [0, 1, 70_000])
def test_sound_is_written_down(client: openai.OpenAI, size: int) -> None:
    sound = b"\r\n--" * (size // 4) + b"x" * (size % 4)
    answer = client.audio.transcriptions.create(model="sim-transcription", file=("a.wav", sound, "audio/wav"))
    assert answer.text == f"[simulated] heard {len(sound)} bytes"


def test_a_transcription_may_be_plain_text(client: openai.OpenAI) -> None:
    raw = client.audio.transcriptions.with_raw_response.create(
        model="one/sim-transcription", file=("a.wav", b"abc", "audio/wav"), response_format="text"
    )
    assert raw.headers["content-type"] == "text/plain; charset=utf-8"
    assert raw.text == "[simulated] heard 3 bytes\n"


def test_a_transcription_is_streamed(gateway: World, client: openai.OpenAI) -> None:
    stream = client.audio.transcriptions.create(
        model="sim-transcription", file=("a.wav", b"abc", "audio/wav"), stream=True
    )
    assert [event.type for event in stream] == ["transcript.text.done"]


def test_without_a_model_somebody_who_can_is_asked(gateway: World) -> None:
    for path, body in (
        ("/v1/moderations", {"input": "peace"}),
        ("/v1/images/generations", {"prompt": "Draw."}),
        ("/v1/audio/speech", {"input": "Hi", "voice": "alloy", "model": "auto"}),
    ):
        answer = gateway.post(path, body)
        assert answer.status == 200, answer.body
        assert answer.headers["x-steelyard-provider"] in {"one", "other"}
    form = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nabc\r\n--b--\r\n'
    answer = gateway.post("/v1/audio/transcriptions", form, content_type="multipart/form-data; boundary=b")
    assert answer.json["text"] == "[simulated] heard 3 bytes"


def test_whoever_fails_is_replaced(gateway: World) -> None:
    gateway.running.control("one", "down")
    for path, body in (
        ("/v1/moderations", {"model": "sim-moderation", "input": "peace"}),
        ("/v1/images/generations", {"model": "sim-image", "prompt": "Draw."}),
        ("/v1/audio/speech", {"model": "sim-speech", "input": "Hi", "voice": "alloy"}),
    ):
        for _ in range(3):
            answer = gateway.post(path, body)
            assert (answer.status, answer.headers["x-steelyard-provider"]) == (200, "other")


@pytest.mark.parametrize("trouble", ["down", "throttled", "garbled", "unauthorized"])
@pytest.mark.parametrize("path", ["/v1/moderations", "/v1/audio/speech"])
def test_a_failure_is_told_in_full(gateway: World, trouble: Any, path: str) -> None:
    for name in ("one", "other"):
        gateway.running.control(name, trouble)
    answer = gateway.post(path, {"input": "Hi", "voice": "alloy"})
    assert answer.status in {429, 502, 503}
    assert len(answer.json["error"]["attempts"]) == 2
    assert answer.headers["content-type"] == "application/json"


def test_sound_that_breaks_off_is_not_whole(gateway: World) -> None:
    for name in ("one", "other"):
        gateway.running.control(name, "cut")
    connection = HTTPConnection("127.0.0.1", gateway.serving.port, timeout=20)
    connection.request("POST", "/v1/audio/speech", json.dumps({"input": "Hi" * 9_000, "voice": "alloy"}).encode())
    answer = connection.getresponse()
    assert answer.status == 200
    with pytest.raises(IncompleteRead) as caught:
        answer.read()
    assert b"error" not in caught.value.partial
    connection.close()
    record = gateway.record(answer.headers["x-steelyard-request-id"])
    assert (record["outcome"], record["status"]) == ("error", 502)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/moderations", {"input": "Hi"}),
        ("/v1/images/generations", {"prompt": "Hi"}),
        ("/v1/audio/speech", {"input": "Hi", "voice": "alloy"}),
    ],
)
@pytest.mark.parametrize("model", CHAT_MODELS)
def test_a_model_that_cannot_is_refused_unasked(gateway: World, path: str, body: dict[str, Any], model: str) -> None:
    before = gateway.asked()
    answer = gateway.post(path, {**body, "model": model})
    assert (answer.status, answer.json["error"]["code"]) == (400, "unsupported_capability")
    assert gateway.asked() == before


def test_where_nobody_can_it_is_said(world: World) -> None:
    answer = world.post("/v1/moderations", {"input": "Hi"})
    assert (answer.status, answer.json["error"]["code"]) == (400, "unsupported_capability")
    assert "moderation" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "multipart/form-data; boundary=b"),
        (b"{}", "application/json"),
        (b"--b\r\n", "multipart/form-data; boundary=b"),
        (b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nx', "multipart/form-data; boundary=b"),
        (b"--b--\r\n", "multipart/form-data"),
    ],
)
def test_a_form_that_is_none_is_refused(gateway: World, body: bytes, kind: str) -> None:
    before = gateway.asked()
    answer = gateway.post("/v1/audio/transcriptions", body, content_type=kind)
    assert answer.status == 400
    assert gateway.asked() == before


def test_the_providers_verdict_on_the_request_is_passed_on(gateway: World) -> None:
    answer = gateway.post("/v1/audio/speech", {"model": "sim-speech", "input": "Hi"})
    assert (answer.status, answer.json["error"]["param"], answer.json["error"]["source"]) == (400, "voice", "provider")


async def test_sound_is_heard_in_pieces(gateway: World) -> None:
    async with (
        openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as client,
        client.audio.speech.with_streaming_response.create(model="sim-speech", input="Hi", voice="alloy") as answer,
    ):
        heard = b"".join([piece async for piece in answer.iter_bytes()])
    assert heard == b"\xff\xfb" + b"Hi" * 200


def test_a_cache_wish_changes_nothing_here(gateway: World) -> None:
    body = {"model": "sim-moderation", "input": "Hi"}
    for _ in range(2):
        assert gateway.post("/v1/moderations", body, x_steelyard_cache="on").headers["x-steelyard-cache"] == "bypass"
