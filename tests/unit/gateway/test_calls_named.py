"""A question that may have been asked before goes by the same name, to servers that know what to make of it."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.calls import Chat
from providers.dialect import Profile
from providers.dialects import ANTHROPIC, OPENAI
from tests.unit.gateway.gateway_world import deployment

BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, "n": 2}'


def told(chat: Chat, profile: Profile, key: str = "a/m", dialect: object = OPENAI) -> list[tuple[tuple[str, str], ...]]:
    """The headers of the call, and of those that ask for further choices."""
    one = deployment(key, dialect=dialect)  # pyright: ignore[reportArgumentType] - one of ours
    call = chat.encode(replace(one, target=replace(one.target, profile=profile)))
    return [call.headers, *(each.headers for each in call.more)]


def test_nobody_is_told_who_names_no_header_and_no_other_callers_names_are() -> None:
    named = Profile(idempotency_header="Idempotency-Key")
    plain = told(Chat(OPENAI.parse(BODY), OPENAI, drop=False), Profile())
    assert told(Chat(OPENAI.parse(BODY), OPENAI, drop=False, name="e/n/-1/1"), Profile()) == plain
    assert told(Chat(OPENAI.parse(BODY), OPENAI, drop=False), named) == plain


def test_the_first_call_of_each_has_the_name_itself_and_a_further_one_another() -> None:
    named = Profile(idempotency_header="x-once")
    chat = Chat(OPENAI.parse(BODY), OPENAI, drop=False, name="e/n/-1/1")
    assert ("x-once", "e/n/-1/1") in told(chat, named)[0]
    # To ask the same server again is to want a new answer, not its last fault.
    assert ("x-once", "e/n/-1/1/again-1") in told(chat, named)[0]
    assert ("x-once", "e/n/-1/1") in told(chat, named, "b/m")[0]
    # After a crash it begins as it did.
    assert ("x-once", "e/n/-1/1") in told(Chat(OPENAI.parse(BODY), OPENAI, drop=False, name="e/n/-1/1"), named)[0]


def test_calls_for_further_choices_have_names_of_their_own() -> None:
    chat = Chat(OPENAI.parse(BODY), OPENAI, drop=False, name="e")
    first, second = told(chat, Profile(idempotency_header="x-once"), dialect=ANTHROPIC)
    assert ("x-once", "e") in first
    assert ("x-once", "e/choices-2") in second
