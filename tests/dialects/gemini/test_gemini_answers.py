"""What Gemini answers, whole and in streams, and what our callers are answered."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from gemini_recorded import CONVERSATIONS, PNG, chunks, foreign, names, recorded
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from providers.chat import (
    Audio,
    Begin,
    ChatChunk,
    ChatReply,
    Choice,
    Citation,
    Cited,
    Finish,
    Glance,
    Image,
    ImageDelta,
    Reasoning,
    ReasoningDelta,
    RefusalDelta,
    RefusalText,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from providers.dialects.gemini import GEMINI
from providers.errors import Fault, Garbled, Overloaded, Refused, Throttled
from providers.sse import Event, Parser

_ID = "Kx3_aN-q"
_MODEL = "gemini-3-flash"
_STREAMS = [name for name in names("stream_*.sse") if "error" not in name and "blocked" not in name]
_CALLS = [
    ToolCall(f"call_0_{_ID}", "get_weather", '{"city":"Paris","days":1.0}', "c2lnbmVkMQ=="),
    ToolCall("fc_9", "get_time", "{}"),
]
_LOGPROBS = {
    "content": [
        {
            "token": "Hi",
            "logprob": -0.25,
            "bytes": None,
            "top_logprobs": [
                {"token": "Hi", "logprob": -0.25, "bytes": None},
                {"token": "Hello", "logprob": -1.5, "bytes": None},
            ],
        },
        {
            "token": "!",
            "logprob": -0.5,
            "bytes": None,
            "top_logprobs": [{"token": "!", "logprob": -0.5, "bytes": None}],
        },
    ],
    "refusal": None,
}

_ANSWERS: dict[str, tuple[list[Any], str, Usage]] = {
    "text": ([Text("Hello! How can I help?")], "stop", Usage(4, 7)),
    "tools": (_CALLS, "tool_calls", Usage(40, 42, reasoning_tokens=30)),
    "thinking": (
        [Reasoning("Let me count."), Text("Three."), Reasoning(signature="gemini:c2lnbmVkMg==")],
        "stop",
        Usage(1200, 63, cached_tokens=1024, reasoning_tokens=60),
    ),
    "length": ([Text("Once upon a")], "length", Usage(5, 3)),
    "safety": ([], "content_filter", Usage(9)),
    "malformed_call": ([], "MALFORMED_FUNCTION_CALL", Usage(9)),
    "json": ([Text('{"name": "Ada", "age": 36}')], "stop", Usage(12, 10)),
    "logprobs": ([Text("Hi!")], "stop", Usage(2, 2)),
    "image": ([Text("Here:"), Image(data=PNG, media_type="image/png")], "stop", Usage(6, 1290)),
    "search": ([Text("It is sunny.")], "stop", Usage(105, 4)),
}


@pytest.mark.parametrize("case", _ANSWERS)
def test_answers_are_read(case: str) -> None:
    parts, reason, usage = _ANSWERS[case]
    body = recorded(f"answer_{case}.json")
    reply = GEMINI.decode(body)
    assert (reply.id, reply.model, reply.usage) == (_ID, _MODEL, usage)
    assert [(choice.parts, choice.finish_reason) for choice in reply.choices] == [(parts, reason)]
    assert GEMINI.glance(body) == Glance(_ID, _MODEL, usage, reason)


@pytest.mark.parametrize("case", [case for case in _ANSWERS if case != "search"])
def test_answers_survive_the_way_there_and_back(case: str) -> None:
    reply = GEMINI.decode(recorded(f"answer_{case}.json"))
    again = GEMINI.decode(GEMINI.render(reply))
    assert again.usage == reply.usage
    assert [(choice.parts, choice.finish_reason) for choice in again.choices] == [
        (choice.parts, choice.finish_reason) for choice in reply.choices
    ]


def _grounded(text: str, *supports: Any, **more: Any) -> Any:
    pages = [{"web": {"uri": "https://e.com/a", "title": "A"}}, {"maps": {}}, {"web": {"uri": "https://e.com/b"}}]
    told = {"groundingChunks": pages, "groundingSupports": [*supports]}
    content = {"parts": [{"text": text}], "role": "model"}
    return {"candidates": [{"content": content, "groundingMetadata": told, **more}]}


#: Bytes 4 to 8 are `est.`; the number beyond the pages, and the one of a kind that is no page, are passed over.
_SUPPORT = {"segment": {"startIndex": 4, "endIndex": 8}, "groundingChunkIndices": [0, 2, 1, 7, -1]}
_PAGES = [Citation("https://e.com/a", "A", 3, 7), Citation("https://e.com/b", "", 3, 7)]


def test_pages_that_a_search_found_are_sources() -> None:
    answer = _grounded("Ça est.", _SUPPORT, _SUPPORT, finishReason="STOP")
    choice = GEMINI.decode(json.dumps(answer).encode()).choices[0]
    assert choice.citations == _PAGES
    whole = GEMINI.decode(json.dumps(_grounded("Ça est.", {"groundingChunkIndices": [0]})).encode())
    assert whole.choices[0].citations == [Citation("https://e.com/a", "A", 0, 7)]
    told = json.loads(GEMINI.render(ChatReply("i", "m", [choice], Usage())))["candidates"][0]["groundingMetadata"]
    assert told["groundingChunks"] == [
        {"web": {"uri": "https://e.com/a", "title": "A"}},
        {"web": {"uri": "https://e.com/b"}},
    ]
    assert told["groundingSupports"][1] == {
        "segment": {"startIndex": 4, "endIndex": 8, "text": "est."},
        "groundingChunkIndices": [1],
    }
    # Told in two ways by us, it is one source when it comes back.
    again = GEMINI.decode(GEMINI.render(ChatReply("i", "m", [choice], Usage())))
    assert again.choices[0].citations == _PAGES


def test_in_a_stream_each_page_is_told_once() -> None:
    decoder = GEMINI.stream_decoder()
    events = [_grounded("Ça "), _grounded("est.", _SUPPORT), _grounded("", _SUPPORT, finishReason="STOP")]
    told = [chunk for one in events for chunk in decoder.feed(Event("", json.dumps(one).encode(), b""))]
    assert [chunk.citations for chunk in told if isinstance(chunk, Cited)] == [_PAGES]


def test_every_candidate_is_a_choice() -> None:
    reply = GEMINI.decode(recorded("answer_choices.json"))
    assert [(choice.parts, choice.finish_reason) for choice in reply.choices] == [
        ([Text("Heads")], "stop"),
        ([Text("Tails")], "length"),
    ]


def test_logprobs_have_openais_form_and_come_back() -> None:
    choice = GEMINI.decode(recorded("answer_logprobs.json")).choices[0]
    assert choice.logprobs is not None
    assert json.loads(bytes(choice.logprobs)) == _LOGPROBS
    again = GEMINI.decode(GEMINI.render(ChatReply("i", "m", [choice], Usage()))).choices[0]
    assert again.logprobs is not None
    assert json.loads(bytes(again.logprobs)) == _LOGPROBS


@pytest.mark.parametrize("raw", [b"[]", b"{}", b'{"content": []}', b'{"content": null, "refusal": []}'])
def test_logprobs_without_tokens_are_none(raw: bytes) -> None:
    body = GEMINI.render(ChatReply("i", "m", [Choice([Text("a")], "stop", logprobs=Raw(raw))], Usage()))
    assert "logprobsResult" not in json.loads(body)["candidates"][0]


def test_logprobs_without_likeliest_tokens_are_read() -> None:
    body = b'{"candidates": [{"logprobsResult": {"chosenCandidates": [{"token": "a"}], "topCandidates": [{}]}}]}'
    expected = {"token": "a", "logprob": 0.0, "bytes": None, "top_logprobs": []}
    for answer in (body, body.replace(b', "topCandidates": [{}]', b"")):
        logprobs = GEMINI.decode(answer).choices[0].logprobs
        assert logprobs is not None
        assert json.loads(bytes(logprobs))["content"] == [expected]


def test_a_blocked_prompt_is_refused_in_every_form() -> None:
    body = recorded("answer_blocked.json")
    for read in (GEMINI.decode, GEMINI.glance):
        with pytest.raises(Refused) as caught:
            read(body)
        assert caught.value.code == "PROHIBITED_CONTENT"
    with pytest.raises(Refused, match="SAFETY"):
        chunks(recorded("stream_blocked.sse"))


@pytest.mark.parametrize("body", [b"{}", b"[]", b"", b"{", b'{"candidates": []}', b'{"candidates": [1]}', b"\xff"])
def test_what_is_no_answer_is_garbled(body: bytes) -> None:
    for read in (GEMINI.decode, GEMINI.glance):
        with pytest.raises(Garbled):
            read(body)


def test_an_error_in_an_answer_is_the_fault_it_stands_for() -> None:
    body = recorded("error_503_overloaded.json")
    for read in (GEMINI.decode, GEMINI.glance):
        with pytest.raises(Overloaded):
            read(body)
    with pytest.raises(Garbled):
        GEMINI.decode(b'{"error": 7}')


def test_an_unfinished_answer_has_no_reason() -> None:
    body = b'{"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}, {"thought": true}]}}]}'
    assert GEMINI.decode(body).choices == [Choice([ToolCall("call_0", "f", "{}"), Reasoning()])]
    assert GEMINI.glance(body).finish_reason is None
    assert "finishReason" not in json.loads(GEMINI.render(GEMINI.decode(body)))["candidates"][0]


def test_calls_of_every_choice_have_names_of_their_own() -> None:
    candidate = {"content": {"parts": [{"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}}]}}
    body = json.dumps({"candidates": [candidate, candidate], "responseId": "a b/c=="}).encode()
    ids = [part.id for choice in GEMINI.decode(body).choices for part in choice.parts if isinstance(part, ToolCall)]
    assert ids == ["call_0_abc", "call_1_abc", "call_0_1_abc", "call_1_1_abc"]


_CHUNKS: dict[str, list[ChatChunk]] = {
    "text": [
        TextDelta("Hel"),
        UsageReport(Usage(4)),
        TextDelta("lo!"),
        UsageReport(Usage(4, 1)),
        Finish("stop"),
        UsageReport(Usage(4, 3)),
    ],
    "tools": [
        ToolCallDelta(0, '{"city":"Paris"}', f"call_0_{_ID}", "get_weather", 0, "c2lnbmVkMQ=="),
        UsageReport(Usage(40, 6)),
        ToolCallDelta(1, "{}", "fc_9", "get_time"),
        Finish("tool_calls"),
        UsageReport(Usage(40, 42, reasoning_tokens=30)),
    ],
    "thinking": [
        ReasoningDelta("Let me "),
        ReasoningDelta("count."),
        TextDelta("Three."),
        ReasoningDelta(signature="gemini:c2lnbmVkMg=="),
        Finish("stop"),
        UsageReport(Usage(1200, 63, cached_tokens=1024, reasoning_tokens=60)),
    ],
    "choices": [
        TextDelta("Heads"),
        TextDelta("Tails", 1),
        Finish("stop"),
        Finish("length", 1),
        UsageReport(Usage(3, 2)),
    ],
    "safety": [TextDelta("How to"), Finish("content_filter"), UsageReport(Usage(9))],
    "length": [TextDelta("Once upon a"), Finish("length"), UsageReport(Usage(5, 3))],
}


@pytest.mark.parametrize("case", _CHUNKS)
def test_streams_are_read(case: str) -> None:
    assert chunks(recorded(f"stream_{case}.sse")) == [Begin(_ID, _MODEL), *_CHUNKS[case]]


def test_logprobs_stand_with_the_text_of_their_event() -> None:
    found = [chunk for chunk in chunks(recorded("stream_logprobs.sse")) if isinstance(chunk, TextDelta)]
    told = [json.loads(bytes(chunk.logprobs))["content"][0]["token"] for chunk in found if chunk.logprobs]
    assert ([chunk.text for chunk in found], told) == (["Hi", ""], ["Hi", "!"])


def test_a_stream_is_complete_when_every_candidate_has_ended() -> None:
    decoder = GEMINI.stream_decoder()
    seen: list[bool] = [decoder.complete]
    for event in Parser().feed(recorded("stream_choices.sse")):
        decoder.feed(event)
        assert not decoder.usage_only(event)
        seen.append(decoder.complete)
    assert seen == [False, False, False, True, True]


def test_a_reason_that_is_told_twice_ends_once() -> None:
    decoder = GEMINI.stream_decoder()
    event = Event("", b'{"candidates": [{"finishReason": "STOP"}]}', b"")
    assert [len(decoder.feed(event)) for _ in range(2)] == [2, 0]


@pytest.mark.parametrize(
    ("name", "fault", "wait"), [("stream_error", Overloaded, None), ("stream_error_list", Throttled, 12.0)]
)
def test_an_error_in_a_stream_is_the_fault_it_stands_for(name: str, fault: type[Fault], wait: float | None) -> None:
    with pytest.raises(fault) as caught:
        chunks(recorded(f"{name}.sse"))
    assert caught.value.retry_after == wait


def test_what_is_no_event_is_garbled() -> None:
    for data in (b"[DONE]", b"", b"7", b'{"candidates": 7}', b'{"error": "x"}', b"\xff"):
        with pytest.raises(Garbled):
            GEMINI.stream_decoder().feed(Event("", data, b""))


@pytest.mark.parametrize("name", _STREAMS)
def test_bytes_may_come_one_by_one(name: str) -> None:
    data, parser, decoder = recorded(name), Parser(), GEMINI.stream_decoder()
    pieces = [data[at : at + 1] for at in range(len(data))]
    found = [chunk for piece in pieces for event in parser.feed(piece) for chunk in decoder.feed(event)]
    assert _plain(found) == _plain(chunks(data))


def _plain(found: list[ChatChunk]) -> list[str]:
    """Raw compares by identity."""
    return [
        str(TextDelta(chunk.text, chunk.choice)) + bytes(chunk.logprobs or b"").decode()
        if isinstance(chunk, TextDelta)
        else str(chunk)
        for chunk in found
    ]


@given(st.data())
def test_bytes_may_come_in_any_split(data: st.DataObject) -> None:
    body = recorded(data.draw(st.sampled_from(_STREAMS)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    parser, decoder = Parser(), GEMINI.stream_decoder()
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    found = [chunk for piece in pieces for event in parser.feed(piece) for chunk in decoder.feed(event)]
    assert _plain(found) == _plain(chunks(body))
    assert decoder.complete


_NAMES = st.sampled_from(
    [
        "candidates",
        "content",
        "parts",
        "text",
        "thought",
        "functionCall",
        "name",
        "args",
        "finishReason",
        "index",
        "usageMetadata",
        "promptTokenCount",
        "promptFeedback",
        "blockReason",
        "error",
        "code",
        "status",
        "details",
        "logprobsResult",
        "chosenCandidates",
        "responseId",
    ]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=15,
)


def _fed(body: bytes) -> list[ChatChunk]:
    return GEMINI.stream_decoder().feed(Event("", body, body))


@given(st.binary(max_size=80) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_nothing_but_faults_comes_of_strange_answers(body: bytes) -> None:
    for read in (GEMINI.decode, GEMINI.glance, GEMINI.decode_embedding, _fed):
        with contextlib.suppress(Fault):
            read(body)


def _rendered(choice: Choice) -> Any:
    return json.loads(GEMINI.render(ChatReply("id", "gpt", [choice], Usage(3, 2, reasoning_tokens=5))))


def test_an_answer_of_others_is_told_in_this_dialect() -> None:
    choice = Choice(
        [
            Reasoning("Hm.", "anthropic:EqQB"),
            Reasoning(redacted="opaque"),
            RefusalText("No."),
            Image(url="https://example.com/a.png"),
            Image(data="AA"),
            Audio("AA", "wav"),
            ToolCall("toolu_1", "f", ""),
            ToolCall("toolu_2", "g", '{"a": 1.0}'),
        ],
        "tool_calls",
    )
    assert _rendered(choice) == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "Hm.", "thought": True, "thoughtSignature": "YW50aHJvcGljOkVxUUI="},
                        {
                            "text": "",
                            "thought": True,
                            "thoughtSignature": "YW50aHJvcGljLXJlZGFjdGVkOm9wYXF1ZQ==",
                        },
                        {"text": "No."},
                        {"fileData": {"fileUri": "https://example.com/a.png", "mimeType": "image/png"}},
                        {"inlineData": {"mimeType": "image/png", "data": "AA"}},
                        {
                            "functionCall": {"id": "toolu_1", "name": "f", "args": {}},
                            "thoughtSignature": "skip_thought_signature_validator",
                        },
                        {"functionCall": {"id": "toolu_2", "name": "g", "args": {"a": 1.0}}},
                    ],
                    "role": "model",
                },
                "index": 0,
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 3,
            "candidatesTokenCount": 0,
            "totalTokenCount": 5,
            "thoughtsTokenCount": 5,
        },
        "modelVersion": "gpt",
        "responseId": "id",
    }


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("stop", "STOP"),
        ("length", "MAX_TOKENS"),
        ("content_filter", "SAFETY"),
        ("refusal", "SAFETY"),
        ("pause_turn", "pause_turn"),
    ],
)
def test_reasons_are_never_laundered(reason: str, told: str) -> None:
    assert _rendered(Choice([Text("a")], reason))["candidates"][0]["finishReason"] == told
    assert _streamed([TextDelta("a"), Finish(reason)])[-1]["candidates"][0]["finishReason"] == told


@pytest.mark.parametrize(("reason", "told"), [("tool_calls", "MALFORMED_FUNCTION_CALL"), ("length", "MAX_TOKENS")])
def test_a_call_that_is_no_object_is_told_as_malformed(reason: str, told: str) -> None:
    candidate = _rendered(Choice([ToolCall("c", "f", '{"a": ')], reason))["candidates"][0]
    assert (candidate["finishReason"], candidate["content"]["parts"]) == (told, [])
    assert candidate["finishMessage"] == 'Malformed function call: f({"a": )'
    last = _streamed([ToolCallDelta(0, '{"a": ', "c", "f"), Finish(reason)])[-1]["candidates"][0]
    assert (last["finishReason"], last["finishMessage"]) == (told, candidate["finishMessage"])


def test_sources_are_told_by_bytes_here_and_by_characters_elsewhere() -> None:
    sources = [{"startIndex": 4, "endIndex": 8, "uri": "https://x/a"}, {"uri": "https://x/b"}, {"title": "A book"}]
    body = {
        "candidates": [
            {
                "content": {"parts": [{"text": "Hm.", "thought": True}, {"text": "Ça est."}]},
                "finishReason": "STOP",
                "citationMetadata": {"citationSources": sources},
            }
        ]
    }
    found = [Citation("https://x/a", "", 3, 7), Citation("https://x/b", "", 0, 7)]
    choice = GEMINI.decode(json.dumps(body).encode()).choices[0]
    assert choice.citations == found
    told = _rendered(choice)["candidates"][0]["citationMetadata"]["citationSources"]
    assert told == [sources[0], {"startIndex": 0, "endIndex": 8, "uri": "https://x/b"}]
    data = json.dumps(body).encode()
    chunks = GEMINI.stream_decoder().feed(Event("", data, data))
    assert Cited(found) in chunks
    assert _streamed([*chunks, Cited(found)])[-1]["candidates"][0]["citationMetadata"]["citationSources"][:2] == told


def test_a_picture_is_part_of_a_stream() -> None:
    data = json.dumps(
        {"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA"}}]}}]}
    )
    found = GEMINI.stream_decoder().feed(Event("", data.encode(), b""))
    assert found[1:] == [ImageDelta(Image(data="AA", media_type="image/png"))]
    assert _streamed([found[1]])[0]["candidates"][0]["content"]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "AA"}}
    ]


def _streamed(found: list[ChatChunk]) -> list[Any]:
    encoder = GEMINI.stream_encoder(foreign(CONVERSATIONS["text"], stream=True))
    data = b"".join([*(encoder.encode(chunk) for chunk in found), encoder.end()])
    return [json.loads(event.data) for event in Parser().feed(data)]


def test_a_stream_of_others_is_told_in_this_dialect() -> None:
    events = _streamed(
        [
            Begin("chatcmpl-1", "gpt-5"),
            UsageReport(Usage(9)),
            ReasoningDelta("Hm."),
            ReasoningDelta(signature="anthropic:EqQB"),
            RefusalDelta("No"),
            TextDelta("Hi", logprobs=Raw(b'{"content": [{"token": "Hi", "logprob": -1}]}')),
            ToolCallDelta(1, "", "toolu_2", "g"),
            ToolCallDelta(0, '{"a"', "toolu_1", "f"),
            ToolCallDelta(0, ": 1.0}"),
            Finish("tool_calls"),
            UsageReport(Usage(9, 5, 4)),
        ]
    )
    parts = [event["candidates"][0]["content"]["parts"] for event in events]
    assert parts == [
        [{"text": "Hm.", "thought": True}],
        [{"text": "", "thought": True, "thoughtSignature": "YW50aHJvcGljOkVxUUI="}],
        [{"text": "No"}],
        [{"text": "Hi"}],
        [
            {
                "functionCall": {"id": "toolu_1", "name": "f", "args": {"a": 1.0}},
                "thoughtSignature": "skip_thought_signature_validator",
            },
            {"functionCall": {"id": "toolu_2", "name": "g", "args": {}}},
        ],
        [{"text": ""}],
    ]
    assert events[3]["candidates"][0]["logprobsResult"]["chosenCandidates"] == [{"token": "Hi", "logProbability": -1.0}]
    assert {(event["modelVersion"], event["responseId"]) for event in events} == {("gpt-5", "chatcmpl-1")}
    assert ["finishReason" in event["candidates"][0] for event in events] == [False] * 5 + [True]
    assert events[-1]["usageMetadata"] == {
        "promptTokenCount": 9,
        "candidatesTokenCount": 5,
        "totalTokenCount": 14,
        "cachedContentTokenCount": 4,
    }


def test_a_stream_without_a_model_has_the_callers() -> None:
    assert _streamed([Begin("i", ""), Finish("stop")])[0]["modelVersion"] == "m"
