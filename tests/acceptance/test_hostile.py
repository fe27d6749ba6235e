"""Callers that hang up, come all at once, or send what no SDK would: nobody else suffers, and nothing is a 500."""

from __future__ import annotations

import json
import socket
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

import anthropic
import openai
import pytest

from tests.acceptance.driving import ANTHROPIC, CHAT_MODELS, OPENAI, World
from tests.serving import until

every_dialect = pytest.mark.parametrize("model", CHAT_MODELS)


def hang_up_after(world: World, body: dict[str, Any], *, first: bytes) -> None:
    """Ask for a chat completion, wait for `first` in what comes, and close the connection."""
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(data)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", world.serving.port), timeout=20) as wire:
        wire.sendall(head + data)
        seen = b""
        while first not in seen:
            part = wire.recv(65536)
            assert part, seen
            seen += part


@every_dialect
def test_a_caller_who_hangs_up_amid_a_stream_cancels_the_call(frail: World, model: str) -> None:
    provider = model.split("/")[0]
    frail.running.control(provider, "drip", seconds=0.05)
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": f"drip {model}"}]}
    before = frail.running.state()[provider]["counters"]["aborted"]
    hang_up_after(frail, body, first=b"simu")
    until(lambda: frail.running.state()[provider]["counters"]["aborted"] == before + 1)
    rows: list[dict[str, Any]] = []

    def recorded() -> bool:
        rows[:] = frail.get("/api/db/requests/recent?status=499&limit=1").json["requests"]
        # Another test's caller may have left the same model while waiting for a whole answer.
        return bool(rows) and rows[0]["requested_model"] == model and rows[0]["stream"]

    until(recorded)
    assert (rows[0]["outcome"], rows[0]["attempts"][0]["outcome"]) == ("cancelled", "cancelled")
    assert rows[0]["cost_usd"] > 0
    row = next(one for one in frail.get("/api/llm/dwa/stats").json["deployments"] if one["provider"] == provider)
    assert (row["failures"], row["cancelled"], row["in_flight"]) == (0, 1, 0)


def test_a_caller_who_hangs_up_while_waiting_cancels_the_call(frail: World) -> None:
    frail.running.control("sim-openai", "hang")
    before = frail.running.state()["sim-openai"]["counters"]
    data = json.dumps({"model": OPENAI, "messages": [{"role": "user", "content": "Hello"}]}).encode()
    with socket.create_connection(("127.0.0.1", frail.serving.port), timeout=20) as wire:
        wire.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(data) + data
        )
        until(lambda: frail.asked("sim-openai") == before["requests"] + 1)
    until(lambda: frail.running.state()["sim-openai"]["counters"]["aborted"] == before["aborted"] + 1)


def test_closing_the_sdks_stream_early_is_harmless(frail: World) -> None:
    with openai.OpenAI(base_url=f"{frail.url}/v1", api_key="any", max_retries=0) as client:
        stream = client.chat.completions.create(
            model=OPENAI, messages=[{"role": "user", "content": "Hello #sim tokens=5000"}], stream=True
        )
        next(iter(stream))
        stream.close()
        assert client.chat.completions.create(model=OPENAI, messages=[{"role": "user", "content": "Hello"}]).choices


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_the_same_question_at_once_is_asked_once(frail: World, streamed: bool) -> None:
    frail.running.control("sim-openai", "slow", seconds=0.5)
    before = frail.asked()
    body: dict[str, Any] = {"model": OPENAI, "prompt": str(uuid.uuid4()), "stream": streamed}
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(frail.orchestrate, **body) for _ in range(8)]
    answers = [one.result() for one in waiting]
    assert frail.asked() == before + 1
    assert [answer.status for answer in answers] == [200] * 8
    costs: list[float] = []
    cached: list[bool] = []
    for answer in answers:
        told = answer.events[-1][1] if streamed else answer.json["results"][0]
        costs.append(told["cost_usd"])
        cached.append(told["cached_response"] if streamed else told["cached"])
    assert sorted(cached) == [False] + [True] * 7
    assert sorted(cost > 0 for cost in costs) == [False] * 7 + [True]
    assert len({answer.headers["x-steelyard-request-id"] for answer in answers}) == 8


def test_many_at_once_are_all_answered(world: World) -> None:
    with ThreadPoolExecutor(16) as pool:
        waiting = [pool.submit(world.chat, f"number {n} ", "sim-chat", stream=n % 2 == 0) for n in range(64)]
    answers = [one.result() for one in waiting]
    assert [answer.status for answer in answers] == [200] * 64
    for n, answer in enumerate(answers):
        # Streamed, the words come in pieces of four characters.
        pieces = [data["choices"][0]["delta"].get("content") or "" for _, data in answer.events if data != "[DONE]"]
        said = "".join(pieces) if n % 2 == 0 else answer.json["choices"][0]["message"]["content"]
        assert f"read: number {n}. " in said


def test_a_connection_outlives_an_error(world: World) -> None:
    connection = HTTPConnection("127.0.0.1", world.serving.port, timeout=20)
    try:
        for body, status in ((b"{", 400), (b'{"model": "x", "messages": []}', 400), (None, 200)):
            good = {"model": OPENAI, "messages": [{"role": "user", "content": "Hello"}]}
            connection.request("POST", "/v1/chat/completions", body or json.dumps(good).encode())
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
            assert not answer.will_close
    finally:
        connection.close()


#: Raw JSON values that a chat request may hold, and that break careless code.
ODD: list[tuple[str, str]] = [
    ("a lone surrogate", '"messages": [{"role": "user", "content": "\\ud800"}]'),
    ("a surrogate pair", '"messages": [{"role": "user", "content": "\\ud83e\\udea8"}]'),
    ("a null character", '"messages": [{"role": "user", "content": "a\\u0000b"}]'),
    ("a null character as user", '"messages": [{"role": "user", "content": "a"}], "user": "a\\u0000b"'),
    ("a huge bound", '"messages": [{"role": "user", "content": "a"}], "max_tokens": 99999999999999999999999999'),
    ("a bound of 64 bits", '"messages": [{"role": "user", "content": "a"}], "max_tokens": 9223372036854775807'),
    ("an infinite temperature", '"messages": [{"role": "user", "content": "a"}], "temperature": 1e999'),
    ("no number", '"messages": [{"role": "user", "content": "a"}], "temperature": NaN'),
    ("a field twice", '"messages": [], "messages": [{"role": "user", "content": "a"}]'),
    ("an empty field name", '"messages": [{"role": "user", "content": "a"}], "": 1'),
    ("an empty message", '"messages": [{"role": "user", "content": ""}]'),
    ("an assistant alone", '"messages": [{"role": "assistant", "content": "a"}]'),
    ("a system message alone", '"messages": [{"role": "system", "content": "a"}]'),
    ("an orphaned result", '"messages": [{"role": "tool", "tool_call_id": "x", "content": "a"}]'),
    (
        "arguments that are no JSON",
        '"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": null, "tool_calls": [{"id": '
        '"x", "type": "function", "function": {"name": "f", "arguments": "{"}}]}, {"role": "tool", "tool_call_id": '
        '"x", "content": "b"}]',
    ),
    (
        "an image that is none",
        '"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]',
    ),
    (
        "an image from a file",
        '"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]',
    ),
    (
        "a schema without end",
        '"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "function", '
        '"function": {"name": "f", "parameters": {"$ref": "#"}}}]',
    ),
    ("a hundred stops", '"messages": [{"role": "user", "content": "a"}], "stop": ' + json.dumps(["x"] * 100)),
    ("an empty stop", '"messages": [{"role": "user", "content": "a"}], "stop": [""]'),
    (
        "metadata of depth",
        '"messages": [{"role": "user", "content": "a"}], "metadata": {"a": ' + "[" * 500 + "]" * 500 + "}",
    ),
]


@every_dialect
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("odd", [odd for _, odd in ODD], ids=[name for name, _ in ODD])
def test_odd_requests_are_answered_or_refused(world: World, model: str, streamed: bool, odd: str) -> None:
    body = f'{{"model": {json.dumps(model)}, "stream": {json.dumps(streamed)}, {odd}}}'
    answer = world.post("/v1/chat/completions", body.encode())
    assert answer.status in {200, 400, 422}, answer.body
    if answer.status != 200:
        assert answer.json["error"]["message"]
    # Whatever it was, nobody is to blame but its caller.
    assert all(row["failures"] == 0 for row in world.get("/api/llm/dwa/stats").json["deployments"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Steelyard-Timeout-Ms", "1e300"),
        ("X-Steelyard-Timeout-Ms", "99999999999999999999"),
        ("X-Steelyard-Cache-Ttl", "1e300"),
        ("X-Steelyard-Cache-Ttl", "1e-300"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_absurd_durations_are_answered_or_refused(world: World, name: str, value: str, streamed: bool) -> None:
    answer = world.chat(str(uuid.uuid4()), stream=streamed, headers={name: value, "X-Steelyard-Cache": "on"})
    assert answer.status in {200, 400}, answer.body


def test_the_beta_address_of_anthropics_sdk_is_the_same(claude: anthropic.Anthropic) -> None:
    # It asks /v1/messages?beta=true.
    message = claude.beta.messages.create(
        model=ANTHROPIC, max_tokens=50, messages=[{"role": "user", "content": "Hello"}]
    )
    assert message.type == "message"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/api/llm/orchestrate"])
def test_only_json_is_read_whatever_it_is_called(world: World, path: str) -> None:
    # Clients forget the header, or send a charset with it; what counts is the body.
    body = {"model": OPENAI, "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}
    for kind in ("application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded"):
        assert world.post(path, body, content_type=kind).status == 200


def test_the_prompt_is_not_in_the_log_unless_asked_for(world: World) -> None:
    secret = f"secret-{uuid.uuid4()}"
    answer = world.chat(secret)
    record = world.record(answer.headers["x-steelyard-request-id"])
    assert secret not in json.dumps(record)
