"""Both directions against the official SDK: what we send is what it would send, what we answer it parses."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Required, Union, get_args, get_origin, get_type_hints

import anthropic
import httpx2
import pytest
from anthropic.types import Message
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from anthropic_recorded import CONVERSATIONS, UNDECLARED, chunks, foreign, names, recorded, sdk, sent, target
from pydantic import TypeAdapter
from typing_extensions import is_typeddict

from providers.chat import Conversation, Text, Turn
from providers.dialect import Profile
from providers.dialects.anthropic import ANTHROPIC
from providers.simulator import anthropic_ask

_SAYABLE = [name for name in names("answer_*.json") if "server_tools" not in name]
_STREAMS = [name for name in names("stream_*.sse") if name not in ("stream_error.sse", "stream_server_tools.sse")]


def _declared(value: Any, hint: Any) -> bool:
    """Whether the value has the SDK's type, down to the last field: pydantic reads its lazy iterables too late."""
    origin, args = get_origin(hint), get_args(hint)
    if is_typeddict(hint):
        fields = get_type_hints(hint, include_extras=True)
        required = {name for name, field in fields.items() if get_origin(field) is Required}
        return (
            isinstance(value, dict)
            and required <= value.keys() <= fields.keys()
            and all(_declared(inner, fields[name]) for name, inner in value.items())
        )
    if origin is Required or origin is Annotated:
        return _declared(value, args[0])
    if origin is Union:
        return any(_declared(value, member) for member in args)
    if origin is Literal:
        return value in args
    if origin is dict:
        return isinstance(value, dict) and all(_declared(inner, args[1]) for inner in value.values())
    if origin is not None:
        return isinstance(value, list) and all(_declared(inner, args[0]) for inner in value)
    return isinstance(value, hint)


@pytest.mark.parametrize("case", CONVERSATIONS)
def test_we_send_what_the_sdk_sends(case: str) -> None:
    body = json.loads(recorded(f"request_{case}.json"))
    asked: list[httpx2.Request] = []
    declared = {name: value for name, value in body.items() if name not in UNDECLARED}
    extra = {name: value for name, value in body.items() if name in UNDECLARED}
    sdk(recorded("answer_text.json"), seen=asked).messages.create(**declared, extra_body=extra)
    assert asked[0].url.path == "/v1/messages"
    assert sent(CONVERSATIONS[case], target(case)) == json.loads(asked[0].content) == body


@pytest.mark.parametrize("case", CONVERSATIONS)
def test_the_sdk_declares_every_field_we_send(case: str) -> None:
    body = {name: value for name, value in sent(CONVERSATIONS[case], target(case)).items() if name not in UNDECLARED}
    assert _declared(body, MessageCreateParamsNonStreaming)
    assert not _declared({**body, "unheard_of": 1}, MessageCreateParamsNonStreaming)


def test_the_api_version_of_the_sdk_has_a_name_we_send_too() -> None:
    asked: list[httpx2.Request] = []
    message: Any = {"role": "user", "content": "Hi"}
    sdk(recorded("answer_text.json"), seen=asked).messages.create(model="m", max_tokens=1, messages=[message])
    newest = asked[0].headers["anthropic-version"]
    assert ("anthropic-version", newest) in ANTHROPIC.authorise("test-key", Profile(anthropic_version=newest))


@pytest.mark.parametrize("case", [case for case in CONVERSATIONS if case not in ("conversation",)])
def test_the_simulator_understands_what_we_send(case: str) -> None:
    body = json.dumps(sent(CONVERSATIONS[case], target(case))).encode()
    ask = anthropic_ask.messages(body, {b"anthropic-version": b"2023-06-01"}, count=False)
    assert ask.max_tokens == CONVERSATIONS[case].max_tokens


@pytest.mark.parametrize("name", _SAYABLE)
def test_a_decoded_and_rendered_answer_is_the_same_to_the_sdk(name: str) -> None:
    original = Message.model_validate_json(recorded(name))
    rendered = Message.model_validate_json(ANTHROPIC.render(ANTHROPIC.decode(recorded(name))))
    if original.stop_details:
        # The API's explanation travels as words of refusal; its category is the API's own.
        assert [block.to_dict() for block in rendered.content] == [
            {"type": "text", "text": original.stop_details.explanation}
        ]
        assert rendered.stop_details is not None
        rendered.content, rendered.stop_details = original.content, original.stop_details
    assert rendered == original


@pytest.mark.parametrize("name", _SAYABLE)
def test_the_sdk_reads_a_rendered_answer(name: str) -> None:
    rendered = ANTHROPIC.render(ANTHROPIC.decode(recorded(name)))
    message: Any = {"role": "user", "content": "Hi"}
    answer = sdk(rendered).messages.create(model="m", max_tokens=1, messages=[message])
    assert answer == Message.model_validate_json(rendered)


def _final(stream: bytes) -> Message:
    message: Any = {"role": "user", "content": "Hi"}
    with sdk(stream, stream=True).messages.stream(model="m", max_tokens=1, messages=[message]) as events:
        return events.get_final_message()


def _reencoded(stream: bytes) -> bytes:
    encoder = ANTHROPIC.stream_encoder(foreign(Conversation([Turn("user", [Text("Hi")])]), stream=True))
    return b"".join(encoder.encode(chunk) for chunk in chunks(stream)) + encoder.end()


@pytest.mark.parametrize("name", _STREAMS)
def test_a_decoded_and_encoded_stream_is_the_same_to_the_sdk(name: str) -> None:
    assert _final(_reencoded(recorded(name))) == _final(recorded(name))


@pytest.mark.parametrize("name", _STREAMS)
def test_every_event_of_an_encoded_stream_is_complete_and_in_order(name: str) -> None:
    events = [json.loads(line[6:]) for line in _reencoded(recorded(name)).decode().splitlines() if line[:6] == "data: "]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    is_open = None
    for event in events[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert is_open is None
                is_open = event["index"]
            case "content_block_delta":
                assert event["index"] == is_open
            case _:
                assert event == {"type": "content_block_stop", "index": is_open}
                is_open = None
    assert is_open is None
    starts = [event["index"] for event in events if event["type"] == "content_block_start"]
    assert starts == list(range(len(starts)))
    adapter: TypeAdapter[Any] = TypeAdapter(anthropic.types.RawMessageStreamEvent)
    for event in events:
        adapter.validate_python(event)


@pytest.mark.parametrize("name", names("error_*.json"))
def test_the_sdk_and_we_agree_on_the_code_of_an_error(name: str) -> None:
    status = int(name.split("_")[1])
    message: Any = {"role": "user", "content": "Hi"}
    with pytest.raises(anthropic.APIStatusError) as caught:
        sdk(recorded(name), status=status).messages.create(model="m", max_tokens=1, messages=[message])
    fault = ANTHROPIC.fault(status, {}, recorded(name))
    assert fault.code == (caught.value.error_code or caught.value.type)
