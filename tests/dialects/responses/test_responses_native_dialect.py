"""The Responses API towards providers: what is sent of a request, and what is made of their answers and events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given as example
from hypothesis import settings
from hypothesis import strategies as st

from providers.chat import (
    Begin,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from providers.dialect import Call, Inexpressible, Profile, Target
from providers.dialects.responses import NATIVE, Form, decode, native, parse, response_of
from providers.errors import Fault, Garbled, Misconfigured, Overloaded, Rejected, Throttled
from providers.sse import Event, Parser

NAME = "01M7ZGJM0KY4BDBZESW26J1SAA"
TARGET = Target("mine", "upstream", Profile(responses=True))
DONE: dict[str, Any] = {"id": "resp_x", "object": "response", "status": "completed", "model": "m", "output": []}


def called(fields: dict[str, Any], earlier: Any = (), referenced: Any = None, **more: Any) -> Call:
    asked = parse(json.dumps({"model": "m", "input": "Hi", **fields}).encode())
    return native.encode(asked, earlier, referenced or {}, TARGET, **{"thinks": False, "drop": False, **more})


def sent(fields: dict[str, Any], earlier: Any = (), referenced: Any = None, **more: Any) -> dict[str, Any]:
    return json.loads(called(fields, earlier, referenced, **more).body)


def adopting(**fields: Any) -> native.Adopting:
    body = {"model": "m", "input": "Hi", **fields}
    return native.Adopting(parse(json.dumps(body).encode()), NAME, "mine")


def event(kind: str, **fields: Any) -> Event:
    data = json.dumps({"type": kind, **fields}).encode()
    return Event(kind, data, b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n")


# What is sent


def test_everything_goes_on_but_what_is_asked_of_the_gateway() -> None:
    more = {"surprise": {"a": [1.0, 12345678901234567890]}, "tools": [{"type": "web_search", "new": 1}], "stream": True}
    here = {"metadata": {"a": "b"}, "previous_response_id": "resp_1", "store": True}
    call = called({**more, **here})
    assert json.loads(call.body) == {"model": "upstream", "input": "Hi", "store": False, **more}
    assert b'{"a":[1.0,12345678901234567890]}' in call.body.replace(b" ", b"")
    assert (call.path, call.dropped) == ("/responses", ())


def test_what_was_said_before_goes_along() -> None:
    earlier = [
        {"type": "message", "id": f"msg_{NAME}_i0", "role": "user", "content": [{"type": "input_text", "text": "A"}]},
        {"type": "message", "id": f"msg_{NAME}_uabc", "role": "assistant", "content": [], "status": "completed"},
        {"type": "web_search_call", "id": f"ws_{NAME}_uabd", "status": "completed", "action": {}},
        {"type": "image_generation_call", "id": f"ig_{NAME}_3", "status": "completed", "result": "AA=="},
    ]
    found = {"x_1": {"type": "message", "id": "x_1", "role": "user", "content": "B"}}
    given = [{"type": "item_reference", "id": "x_1"}, {"role": "user", "content": "C"}]
    assert sent({"input": given}, earlier, found)["input"] == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "A"}]},
        {"type": "message", "role": "assistant", "content": [], "status": "completed"},
        {"type": "web_search_call", "id": "ws_abd", "status": "completed", "action": {}},
        {"type": "image_generation_call", "status": "completed", "result": "AA=="},
        {"type": "message", "role": "user", "content": "B"},
        {"role": "user", "content": "C"},
    ]


def test_a_bare_text_is_left_alone_unless_something_was_said_before() -> None:
    assert sent({})["input"] == "Hi"
    said = {"type": "message", "role": "user", "content": "A"}
    assert [one["role"] for one in sent({}, [said])["input"]] == ["user", "user"]


@pytest.mark.parametrize(
    ("seal", "kept"),
    [
        ("steelyard:mine:gAAAA", "gAAAA"),
        ("gAAAA", "gAAAA"),
        ("steelyard:other:gAAAA", None),
        ("steelyard.WyJhbnRocm9waWM6eCIsbnVsbF0=", None),
        (None, None),
    ],
)
def test_a_thought_goes_to_who_sealed_it_alone(seal: str | None, kept: str | None) -> None:
    thought = {"type": "reasoning", "id": f"rs_{NAME}_uabc", "summary": [], "encrypted_content": seal}
    items = sent({"input": [{"role": "user", "content": "Hi"}]}, [thought])["input"]
    thoughts = [one for one in items if one.get("type") == "reasoning"]
    assert thoughts == ([{"type": "reasoning", "summary": [], "encrypted_content": kept}] if kept else [])


def test_a_thought_in_plain_words_goes_to_who_had_it_alone() -> None:
    thought = {"type": "reasoning", "id": "rs_a", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
    ours = adopting().item(thought, 0)
    back = sent({"input": [ours, {"role": "user", "content": "Hi"}]})["input"]
    assert back[0] == {name: value for name, value in thought.items() if name != "id"}
    ours["encrypted_content"] = "steelyard:other:"
    assert [one.get("type") for one in sent({}, [ours])["input"]] == ["message"]


def test_a_compaction_of_anothers_is_named() -> None:
    packed = {"type": "compaction", "id": f"cmp_{NAME}_uabc", "encrypted_content": "steelyard:mine:gAAAA"}
    assert sent({}, [packed])["input"][0] == {"type": "compaction", "id": "cmp_abc", "encrypted_content": "gAAAA"}
    packed["encrypted_content"] = "steelyard:other:gAAAA"
    with pytest.raises(Inexpressible) as caught:
        called({}, [packed])
    assert caught.value.fields == ("previous_response_id (compaction)",)
    call = called({"input": [packed]}, drop=True)
    assert (json.loads(call.body)["input"], call.dropped) == ([], ("input[0] (compaction)",))


def test_another_providers_proof_of_a_call_stays_here() -> None:
    proof = {"google": {"thought_signature": "gemini:abc"}}
    call = {"type": "function_call", "id": f"fc_{NAME}_0", "call_id": "a", "name": "f", "arguments": "{}"}
    assert sent({}, [{**call, "extra_content": proof}])["input"][0] == {
        name: value for name, value in call.items() if name != "id"
    }
    theirs = {"google": {"thought_signature": "abc"}}
    assert sent({}, [{**call, "extra_content": theirs}])["input"][0]["extra_content"] == theirs


@pytest.mark.parametrize(
    ("fields", "thinks", "included"),
    [
        ({}, True, ["reasoning.encrypted_content"]),
        ({}, False, None),
        ({"store": False}, True, None),
        ({"include": ["a"]}, True, ["a", "reasoning.encrypted_content"]),
        ({"include": ["reasoning.encrypted_content"]}, True, ["reasoning.encrypted_content"]),
    ],
)
def test_thoughts_that_will_be_kept_are_asked_for_sealed(fields: Any, thinks: bool, included: Any) -> None:
    assert sent(fields, thinks=thinks).get("include") == included


@pytest.mark.parametrize(("field", "value"), [("background", True), ("conversation", "c"), ("conversation", {})])
def test_state_elsewhere_is_refused_or_dropped(field: str, value: Any) -> None:
    with pytest.raises(Inexpressible) as caught:
        called({field: value})
    assert caught.value.fields == (field,)
    call = called({field: value}, drop=True)
    assert field not in json.loads(call.body)
    assert call.dropped == (field,)


def test_what_asks_for_no_state_elsewhere_is_no_obstacle() -> None:
    assert not sent({"background": False, "conversation": None}).keys() & {"background", "conversation"}


def test_a_stored_prompt_needs_no_input() -> None:
    asked = parse(b'{"model":"m","prompt":{"id":"pmpt_1"}}')
    body = json.loads(native.encode(asked, (), {}, TARGET, thinks=False, drop=False).body)
    assert body == {"model": "upstream", "prompt": {"id": "pmpt_1"}, "store": False}


# Ids


@example(st.text(min_size=1, max_size=70))
def test_an_id_leads_to_our_response_and_comes_back_as_it_was(theirs: str) -> None:
    ours = adopting().name(theirs)
    assert response_of(ours) == f"resp_{NAME}"
    back = sent({}, [{"type": "web_search_call", "id": ours}])["input"][0]["id"]
    assert back == theirs.encode(errors="replace").decode()


@pytest.mark.parametrize("identity", ["ws_1", "ws_abc_u12", "ws_short_hff", f"ws_{NAME}_hf", f"ws_{NAME}_hzz", "", "é"])
def test_an_id_that_is_none_of_ours_stays_as_it_is(identity: str) -> None:
    assert sent({}, [{"type": "web_search_call", "id": identity}])["input"][0]["id"] == identity


# Answers


def test_a_response_becomes_ours() -> None:
    told: dict[str, Any] = {
        **DONE,
        "store": False,
        "metadata": {},
        "previous_response_id": None,
        "surprise": 1,
        "output": [
            {"type": "reasoning", "id": "rs_abc", "summary": [], "encrypted_content": "gAAAA"},
            {"type": "web_search_call", "id": "ws_a_b", "new": True},
        ],
    }
    ours = adopting(previous_response_id="resp_1", metadata={"a": "b"}).response(told)
    assert ours == {
        **told,
        "id": f"resp_{NAME}",
        "store": True,
        "metadata": {"a": "b"},
        "previous_response_id": "resp_1",
        "output": [
            {**told["output"][0], "id": f"rs_{NAME}_uabc", "encrypted_content": "steelyard:mine:gAAAA"},
            {**told["output"][1], "id": f"item_{NAME}_h{b'ws_a_b'.hex()}"},
        ],
    }


def test_tokens_are_read() -> None:
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 30},
    }
    _, reply = decode(json.dumps({**DONE, "usage": usage}).encode())
    assert reply.usage == Usage(100, 50, 60, 10, 30)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, "stop"),
        ({"output": [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}]}, "tool_calls"),
        ({"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]}, "refusal"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "boredom"}}, "boredom"),
        ({"status": "incomplete"}, "incomplete"),
    ],
    ids=str,
)
def test_why_it_ended_is_told(more: dict[str, Any], reason: str) -> None:
    told, reply = decode(json.dumps({**DONE, **more}).encode())
    assert reply.choices[0].finish_reason == reason
    assert told == {**DONE, **more}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ({**DONE, "status": "failed", "error": {"code": "server_error", "message": "x"}}, Overloaded),
        ({**DONE, "status": "failed", "error": {"code": "rate_limit_exceeded", "message": "x"}}, Throttled),
        ({**DONE, "status": "failed", "error": {"code": "invalid_image", "message": "x"}}, Rejected),
        ({**DONE, "status": "failed", "error": {"code": "bio_policy", "message": "x"}}, Rejected),
        ({**DONE, "status": "failed"}, Overloaded),
        ({**DONE, "status": "queued"}, Garbled),
        ({"error": {"code": "rate_limit_exceeded", "message": "x"}}, Throttled),
        ({"choices": []}, Garbled),
        ([], Garbled),
    ],
    ids=str,
)
def test_what_is_no_answer_is_a_fault(answer: Any, fault: type[Fault]) -> None:
    with pytest.raises(Fault) as caught:
        decode(json.dumps(answer).encode())
    assert type(caught.value) is fault


@pytest.mark.parametrize(
    ("error", "fault", "hinted"),
    [
        ({"message": "No such prompt.", "type": "invalid_request_error", "param": "prompt.id"}, Rejected, False),
        ({"message": "No such model.", "param": None, "code": "model_not_found"}, Misconfigured, False),
        ({"message": "No such model.", "param": "model"}, Misconfigured, False),
        ({"message": "Invalid URL (POST /v1/responses)", "type": "invalid_request_error"}, Misconfigured, True),
        (None, Misconfigured, True),
    ],
    ids=str,
)
def test_what_is_not_there_is_whose_who_named_it(error: Any, fault: type[Fault], hinted: bool) -> None:
    found = NATIVE.fault(404, {}, json.dumps({"error": error}).encode())
    assert (type(found), found.status) == (fault, 404)
    assert ("responses: false" in found.message) is hinted


def test_other_errors_mean_what_they_mean_elsewhere() -> None:
    body = json.dumps({"error": {"message": "Later.", "code": "rate_limit_exceeded"}}).encode()
    found = NATIVE.fault(429, {"retry-after": "7"}, body)
    assert (type(found), found.retry_after) == (Throttled, 7)


# Events


def test_events_are_read() -> None:
    decoder = NATIVE.stream_decoder()
    steps: list[tuple[Event, Any]] = [
        (
            event("response.created", response={**DONE, "status": "in_progress", "created_at": 7}),
            [Begin("resp_x", "m", 7)],
        ),
        (event("response.output_item.added", output_index=0, item={"type": "reasoning", "id": "rs_1"}), []),
        (event("response.reasoning_summary_text.delta", delta="Hm"), [ReasoningDelta("Hm")]),
        (
            event("response.output_item.added", output_index=1, item={"type": "web_search_call", "id": "ws_1"}),
            [ToolCallDelta(1, id="ws_1", name="web_search_call")],
        ),
        (event("response.web_search_call.searching"), []),
        (event("response.never_heard_of", delta={"a": 1}), []),
        (event("response.output_text.delta", delta="A"), [TextDelta("A")]),
        (event("response.output_text.delta", delta=""), []),
        (event("response.refusal.delta", delta="No"), [RefusalDelta("No")]),
        (event("response.function_call_arguments.delta", output_index=3, delta="{}"), [ToolCallDelta(3, "{}")]),
    ]
    for given, chunks in steps:
        assert decoder.feed(given) == chunks
        assert not decoder.complete
    usage = {"input_tokens": 1, "output_tokens": 2}
    end = decoder.feed(event("response.completed", response={**DONE, "usage": usage}))
    assert end == [Finish("stop"), UsageReport(Usage(1, 2))]
    assert decoder.complete
    assert decoder.feed(Event("", b"[DONE]", b"")) == []


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        (event("error", code="server_error", message="x"), Overloaded),
        (event("error", code="rate_limit_exceeded", message="x"), Throttled),
        (
            event("response.failed", response={**DONE, "status": "failed", "error": {"code": "server_error"}}),
            Overloaded,
        ),
        (event("response.completed"), Garbled),
        (Event("response.created", b"{", b""), Garbled),
        (event("response.completed", response={}), Garbled),
    ],
    ids=lambda one: one.type if isinstance(one, Event) else "",
)
def test_an_error_event_is_a_fault(broken: Event, fault: type[Fault]) -> None:
    with pytest.raises(Fault) as caught:
        NATIVE.stream_decoder().feed(broken)
    assert type(caught.value) is fault


@example(st.lists(st.binary(max_size=40) | st.sampled_from([b'{"type":"response.created"}', b'{"type":1}', b"[]"])))
def test_a_decoder_raises_nothing_but_a_fault(pieces: list[bytes]) -> None:
    decoder = NATIVE.stream_decoder()
    for piece in pieces:
        try:
            decoder.feed(Event("response.output_item.added", piece, piece))
        except Fault:
            return


PLAIN = st.one_of(
    st.none(),
    st.integers(),
    st.lists(st.integers(), max_size=1),
    st.sampled_from(["message", "output_text", "reasoning", "reasoning_text", "function_call", "x"]),
)
NAMES = ["id", "type", "output", "content", "summary", "text", "annotations", "encrypted_content"]
ANYTHING = st.dictionaries(st.sampled_from(NAMES), PLAIN) | PLAIN
KINDS = [
    *("created", "completed", "output_item.added", "output_item.done", "content_part.added", "content_part.done"),
    *("reasoning_summary_part.added", "output_text.delta", "output_text.annotation.added", "new"),
]


@settings(max_examples=500)
@example(
    st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from([f"response.{kind}" for kind in KINDS]) | ANYTHING},
            optional=dict.fromkeys(
                ["response", "item", "part", "item_id", "output_index", "delta", "annotation"], ANYTHING
            ),
        ),
        max_size=4,
    )
)
def test_a_relay_raises_nothing_but_a_fault(events: list[dict[str, Any]]) -> None:
    relay = Form(parse(b'{"model":"m","input":"Hi"}'), NAME, 7).relay("mine")
    for told in events:
        data = json.dumps(told).encode()
        try:
            relay.rewrite(Event("response.new", data, data))
        except Fault:
            break
    json.dumps(relay.cut())


# The caller's stream


def relayed(*events: Event) -> tuple[Form, list[tuple[str, Any]]]:
    form = Form(parse(b'{"model":"m","input":"Hi","stream":true}'), NAME, 7)
    relay = form.relay("mine")
    written = b"".join(relay.rewrite(one) for one in events) + relay.end()
    return form, [(one.type, json.loads(one.data)) for one in Parser().feed(written)]


BEGUN = event("response.created", response={**DONE, "status": "in_progress"}, sequence_number=5)
ADDED = event(
    "response.output_item.added",
    output_index=0,
    item={"type": "message", "id": "msg_a", "role": "assistant", "status": "in_progress", "content": []},
)
PART = event(
    "response.content_part.added",
    output_index=0,
    content_index=0,
    item_id="msg_a",
    part={"type": "output_text", "text": ""},
)
WORDS = event("response.output_text.delta", output_index=0, content_index=0, item_id="msg_a", delta="A word", new=1)


def test_events_keep_all_but_ids_numbers_and_their_end() -> None:
    final = event("response.completed", response={**DONE, "output": [{"type": "message", "id": "msg_a"}]})
    form, told = relayed(BEGUN, ADDED, PART, WORDS, final, Event("", b"[DONE]", b"data: [DONE]\n\n"))
    assert [data["sequence_number"] for _, data in told] == [0, 1, 2, 3]
    assert told[0][1]["response"]["id"] == f"resp_{NAME}"
    ours = f"msg_{NAME}_ua"
    assert (told[1][1]["item"]["id"], told[2][1]["item_id"]) == (ours, ours)
    assert told[3] == (
        "response.output_text.delta",
        {**json.loads(WORDS.data), "item_id": ours, "sequence_number": 3},
    )
    assert form.final()["output"] == [{"type": "message", "id": ours}]
    (end,) = Parser().feed(form.end(form.final()))
    assert (end.type, json.loads(end.data)["sequence_number"]) == ("response.completed", 4)


def test_a_broken_stream_ends_with_what_came() -> None:
    form, _ = relayed(BEGUN, ADDED, PART, WORDS)
    told = [json.loads(one.data) for one in Parser().feed(form.broken("server_error", "Gone."))]
    assert [one["type"] for one in told] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.failed",
    ]
    assert [one["sequence_number"] for one in told] == [4, 5, 6, 7]
    (item,) = told[-1]["response"]["output"]
    assert (item["id"], item["status"], item["content"][0]["text"]) == (f"msg_{NAME}_ua", "incomplete", "A word")


def test_a_call_that_is_cut_is_told_as_far_as_it_came() -> None:
    call = {
        "type": "function_call",
        "id": "fc_a",
        "call_id": "c",
        "name": "f",
        "arguments": "",
        "status": "in_progress",
    }
    added = event("response.output_item.added", output_index=0, item=call)
    delta = event("response.function_call_arguments.delta", output_index=0, item_id="fc_a", delta='{"a"')
    search = event("response.output_item.added", output_index=0, item={"type": "web_search_call", "id": "ws_a"})
    form, _ = relayed(BEGUN, added, delta)
    last = json.loads(Parser().feed(form.broken("server_error", "Gone."))[-1].data)["response"]["output"]
    assert (last[0]["arguments"], last[0]["status"]) == ('{"a"', "incomplete")
    form, _ = relayed(BEGUN, search)
    last = json.loads(Parser().feed(form.broken("server_error", "Gone."))[-1].data)["response"]["output"]
    assert last == [{"type": "web_search_call", "id": f"ws_{NAME}_ua", "status": "incomplete"}]
