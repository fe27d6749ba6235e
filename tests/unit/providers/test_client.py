"""The laws of one provider call: the commit point, and which fault stands for which accident."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, cast

import pytest
from client_world import Answer, Plain, Wire
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import TextDelta, Usage, UsageReport
from providers.client import Endpoint, Flow, Piece, Received, send, stream
from providers.dialect import Call, Dialect
from providers.dialects import OPENAI
from providers.errors import Cut, Fault, Garbled, Overloaded, Rejected, Throttled, Unreachable
from providers.transport import Timeouts, Transport

CALL = Call("/chat", b'{"model":"m"}', (("anthropic-beta", "x"),))


def endpoint(name: str = "one") -> Endpoint:
    return Endpoint(f"https://{name}.test/v1", (("authorization", f"Bearer {name}-SECRET"),), Timeouts())


def words(*said: str) -> bytes:
    return b"".join(b"data: " + word.encode() + b"\n\n" for word in said)


async def ask(wire: Wire, dialect: Any = None) -> Received:
    return await send(cast("Transport", wire), endpoint(), cast("Dialect", dialect or Plain()), CALL, deadline=None)


def opened(wire: Wire, dialect: Any = None) -> Any:
    return stream(cast("Transport", wire), endpoint(), cast("Dialect", dialect or Plain()), CALL, deadline=None)


async def read_all(flow: Flow) -> tuple[list[str], Fault | None]:
    """Everything said, up to the end or the fault that ended it."""
    said: list[str] = []
    try:
        async for batch in flow.batches():
            assert batch, "an empty batch says nothing"
            said += [piece.event.data.decode() for piece in batch]
    except Fault as fault:
        return said, fault
    return said, None


async def hear(*script: bytes | Fault) -> tuple[list[str], Fault | None]:
    wire = Wire(Answer(script=script))
    async with opened(wire) as flow:
        heard = await read_all(flow)
    assert wire.open_now == 0
    return heard


async def refused(*script: bytes | Fault) -> Fault:
    """The fault that a stream without content ends in."""
    wire = Wire(Answer(script=script))
    with pytest.raises(Fault) as caught:
        async with opened(wire):
            pytest.fail("a stream without content was handed out")
    assert wire.open_now == 0
    return caught.value


# Whole answers


async def test_an_answer_is_given_back_as_it_came() -> None:
    received = await ask(Wire(Answer(body=b"\x00whatever", headers={"x-request-id": "7"})))
    assert (received.body, received.headers["x-request-id"]) == (b"\x00whatever", "7")


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_every_2xx_is_an_answer(status: int) -> None:
    assert (await ask(Wire(Answer(status, body=b"x")))).body == b"x"


@pytest.mark.parametrize("status", [199, 300, 302, 304, 400, 401, 404, 429, 500, 529])
async def test_any_other_status_is_the_dialect_s_to_judge(status: int) -> None:
    for call in (ask, refuse_stream):
        dialect, wire = Plain(), Wire(Answer(status, body=b"why", headers={"retry-after": "7"}))
        with pytest.raises(Throttled) as caught:
            await call(wire, dialect)
        assert dialect.judged == [(status, {"retry-after": "7"}, b"why")]
        assert (caught.value.status, caught.value.retry_after) == (status, 7.0)
        assert wire.open_now == 0


async def test_a_provider_that_repeats_our_key_is_not_quoted_and_its_names_are_short() -> None:
    where = endpoint("longer-than-most")
    secret = where.headers[0][1].removeprefix("Bearer ")
    said = {"message": f"bad {secret}", "code": f"c-{secret}", "param": f"{secret}.p{'p' * 1_000}"}
    wire = Wire(Answer(400, body=json.dumps({"error": said}).encode()))
    with pytest.raises(Rejected) as caught:
        await send(cast("Transport", wire), where, OPENAI, CALL, deadline=None)
    fault = caught.value
    assert (fault.message, fault.code) == ("bad ********", "c-********")
    assert fault.param is not None
    assert fault.param.startswith("********.pp")
    assert len(fault.param) <= 200


async def refuse_stream(wire: Wire, dialect: Any) -> None:
    async with opened(wire, dialect):
        pytest.fail("an error was handed out as a stream")


async def test_an_error_whose_body_breaks_off_is_judged_by_its_status() -> None:
    wire = Wire(Answer(429, body=Unreachable("its answer broke off"), headers={"retry-after": "7"}))
    with pytest.raises(Throttled):
        await ask(wire)


async def test_a_fault_of_the_transport_passes_unchanged() -> None:
    fault = Unreachable("nobody there")
    for call in (ask, refuse_stream):
        with pytest.raises(Unreachable) as caught:
            await call(Wire(fault), Plain())
        assert caught.value is fault


async def test_the_call_goes_to_the_endpoint_s_address_with_its_body_and_deadline() -> None:
    wire = Wire(Answer(body=b"x"))
    await send(cast("Transport", wire), endpoint(), cast("Dialect", Plain()), CALL, deadline=12.5)
    ((method, url, _, body),) = wire.asked
    assert (method, url, body) == ("POST", "https://one.test/v1/chat", CALL.body)
    assert wire.deadlines == [12.5]


async def test_credentials_go_to_their_own_endpoint_only() -> None:
    for call in (send, _stream_once):
        for name in ("one", "two"):
            wire = Wire(Answer(body=b"x", script=[words("hi", "end")]))
            await call(cast("Transport", wire), endpoint(name), cast("Dialect", Plain()), CALL, deadline=None)
            headers = wire.asked[0][2]
            assert [value for _, value in headers if "SECRET" in value] == [f"Bearer {name}-SECRET"]
            assert ("anthropic-beta", "x") in headers


async def _stream_once(*args: Any, **more: Any) -> None:
    async with stream(*args, **more) as flow:
        await read_all(flow)


@pytest.mark.parametrize(("call", "accept"), [(send, "application/json"), (_stream_once, "text/event-stream")])
async def test_the_form_of_question_and_answer_is_said_once(call: Any, accept: str) -> None:
    wire = Wire(Answer(body=b"x", script=[words("hi", "end")]))
    await call(cast("Transport", wire), endpoint(), cast("Dialect", Plain()), CALL, deadline=None)
    headers = wire.asked[0][2]
    assert [value for key, value in headers if key == "accept"] == [accept]
    assert [value for key, value in headers if key == "content-type"] == ["application/json"]


def test_an_endpoint_does_not_show_its_credentials() -> None:
    assert "SECRET" not in f"{endpoint()} {endpoint()!r}"
    assert "one.test" in repr(endpoint())


# Streams up to the commit point


async def test_a_stream_is_handed_out_with_its_first_content_and_no_later() -> None:
    answer = Answer(script=[words("open"), words("ping"), words("Hel"), words("lo"), words("end")])
    async with opened(Wire(answer)):
        assert answer.taken == 3


async def test_an_error_that_is_the_first_event_is_the_fault_itself() -> None:
    fault = await refused(words("error"))
    assert isinstance(fault, Overloaded)
    assert fault.try_next
    assert (fault.status, fault.code) == (529, "overloaded_error")


@pytest.mark.parametrize(
    "script",
    [
        (words("open", "error"),),
        (words("open"), words("error")),
        (words("open"), words("usage", "ping", "error", "Hel")),
        (b"data: op", b"en\n\ndata: err", b"or\n\n"),
    ],
)
async def test_an_error_before_any_content_is_the_fault_itself(script: tuple[bytes, ...]) -> None:
    assert type(await refused(*script)) is Overloaded


async def test_a_mess_before_any_content_may_be_mended_by_another_provider() -> None:
    for script in ((words("mess"),), (words("open"), words("mess"))):
        assert isinstance(await refused(*script), Garbled)


@pytest.mark.parametrize(
    "script",
    [
        (),
        (b"",),
        (words("open"),),
        (words("open"), words("usage")),
        (b"data: Hel",),
        (b'{"error": {"message": "a 200 that is no stream"}}',),
        (words("open"), Cut("the connection broke")),
        (words("open"), Unreachable("the connection broke")),
    ],
)
async def test_a_stream_that_ends_before_any_content_is_never_cut(script: tuple[bytes | Fault, ...]) -> None:
    fault = await refused(*script)
    assert isinstance(fault, Unreachable | Garbled)
    assert fault.try_next


@pytest.mark.parametrize("ending", [(), (Cut("reset"),)])
async def test_a_complete_stream_without_content_is_no_answer_however_its_connection_ends(
    ending: tuple[Fault, ...],
) -> None:
    for script in ((words("open", "usage", "end"),), (words("open"), words("end"))):
        fault = await refused(*script, *ending)
        assert isinstance(fault, Garbled)
        assert fault.try_next


async def test_an_event_too_long_before_any_content_is_garbled() -> None:
    giant = b"x" * (9 * 1024 * 1024)
    fault = await refused(b"data: ", giant, giant)
    assert isinstance(fault, Garbled)
    assert fault.try_next


# Streams past it


async def test_everything_said_is_passed_on_from_the_first_event_to_the_terminal_one() -> None:
    said = ["open", "Hel", "lo", "finish", "usage", "end"]
    assert await hear(*map(words, said)) == (said, None)
    assert await hear(words(*said)) == (said, None)


async def test_pieces_keep_their_bytes_meaning_and_kind() -> None:
    async with opened(Wire(Answer(script=[words("Hel", "usage", "end")]))) as flow:
        pieces: list[Piece] = [piece async for batch in flow.batches() for piece in batch]
    assert b"".join(piece.event.raw for piece in pieces) == words("Hel", "usage", "end")
    assert [piece.chunks for piece in pieces] == [[TextDelta("Hel")], [UsageReport(Usage(1, 2))], []]
    assert [piece.usage_only for piece in pieces] == [False, True, False]


@pytest.mark.parametrize("together", [True, False])
async def test_an_error_after_content_cuts_the_stream_once_all_before_it_is_delivered(together: bool) -> None:
    said = ["open", "Hel", "lo", "error"]
    heard, fault = await hear(*([words(*said)] if together else map(words, said)))
    assert heard == ["open", "Hel", "lo"]
    assert isinstance(fault, Cut)
    assert (fault.status, fault.code, fault.message) == (529, "overloaded_error", "It is overloaded.")
    assert isinstance(fault.__cause__, Overloaded)
    assert not fault.try_next


async def test_a_mess_after_content_cuts_the_stream() -> None:
    heard, fault = await hear(words("Hel"), words("lo", "mess", "never"))
    assert heard == ["Hel", "lo"]
    assert isinstance(fault, Cut)


@pytest.mark.parametrize("end", [(), (Cut("reset"),), (Unreachable("reset"),), (b"data: en",)])
async def test_a_stream_that_ends_without_its_terminal_event_was_cut(end: tuple[bytes | Fault, ...]) -> None:
    heard, fault = await hear(words("Hel", "finish"), *end)
    assert heard == ["Hel", "finish"]
    assert isinstance(fault, Cut)


@pytest.mark.parametrize("fault", [Cut("reset"), Unreachable("reset"), Garbled("not HTTP")])
async def test_how_the_connection_ends_after_the_terminal_event_is_nobody_s_loss(fault: Fault) -> None:
    assert await hear(words("Hel", "end"), fault) == (["Hel", "end"], None)
    assert await hear(words("Hel"), words("end"), fault) == (["Hel", "end"], None)


async def test_an_event_too_long_after_content_cuts_the_stream() -> None:
    giant = b"x" * (9 * 1024 * 1024)
    heard, fault = await hear(words("Hel"), b"data: ", giant, giant)
    assert heard == ["Hel"]
    assert isinstance(fault, Cut)


async def test_what_came_before_an_event_too_long_is_delivered() -> None:
    heard, fault = await hear(words("Hel"), words("lo") + b"data: " + b"x" * (17 * 1024 * 1024))
    assert heard == ["Hel", "lo"]
    assert isinstance(fault, Cut)


async def test_a_reader_who_leaves_amid_the_stream_closes_the_call() -> None:
    wire = Wire(Answer(script=[words("Hel"), words("lo"), words("end")]))
    async with opened(wire) as flow:
        async for _ in flow.batches():
            break
        assert wire.open_now == 1
    assert wire.open_now == 0


SAID = st.lists(st.sampled_from(["open", "ping", "usage", "a", "b", "finish", "error", "end"]), max_size=8)


@given(SAID, st.lists(st.integers(0, 120), max_size=6), st.sampled_from([None, Cut("reset")]))
async def test_how_the_bytes_are_split_changes_nothing_that_is_heard(
    said: list[str], cuts: list[int], end: Fault | None
) -> None:
    whole = words(*said)
    borders = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    split = [whole[start:stop] for start, stop in pairwise(borders)]
    outcomes: list[tuple[Any, Any]] = []
    for script in ([whole], split, [words(word) for word in said]):
        try:
            heard, fault = await hear(*script, *([end] if end else []))
        except Fault as exc:
            heard, fault = [], exc
        outcomes.append((heard, type(fault)))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    heard, fault = outcomes[0]
    assert heard == said[: len(heard)]
    if "error" not in said and "end" in said:
        content = set(said) & {"a", "b", "finish"}
        assert (heard, fault) == ((said, type(None)) if content else ([], Garbled))


# A real dialect on the same path


async def test_a_recorded_error_in_a_200_stream_lets_another_provider_try() -> None:
    event = b'data: {"error":{"message":"The server is overloaded","type":"server_error","code":null}}\n\n'
    with pytest.raises(Fault) as caught:
        await refuse_stream(Wire(Answer(script=[event])), OPENAI)
    assert caught.value.try_next
    assert not isinstance(caught.value, Cut)


async def test_a_recorded_stream_that_stops_before_done_was_cut() -> None:
    chunk = b'data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":%s}]}\n\n'
    begin, text = chunk % b'{"role":"assistant","content":""}', chunk % b'{"content":"Hi"}'
    async with opened(Wire(Answer(script=[begin + text])), OPENAI) as flow:
        heard, fault = await read_all(flow)
    assert len(heard) == 2
    assert isinstance(fault, Cut)
    async with opened(Wire(Answer(script=[begin, text, b"data: [DONE]\n\n"])), OPENAI) as flow:
        assert (await read_all(flow))[1] is None


async def test_a_rejection_stops_at_once_in_any_dialect() -> None:
    body = b'{"error":{"message":"bad","type":"invalid_request_error","param":"n","code":"invalid_value"}}'
    with pytest.raises(Rejected) as caught:
        await ask(Wire(Answer(400, body=body)), OPENAI)
    assert not caught.value.try_next
    assert caught.value.param == "n"
