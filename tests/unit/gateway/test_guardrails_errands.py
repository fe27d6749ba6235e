"""What the gateway asks for itself has a form of its own, and guardrails about callers' answers say nothing of it."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gateway.asking import Ask
from gateway.caching import Kept
from gateway.errands import Errands, words
from gateway.errors import ContentFiltered
from gateway.governance.keys import Principal
from gateway.guardrails.guards import Guards, Sizes
from gateway.settings.guardrails import Guardrail, Language, OutputSchema, Pattern, PromptSize
from providers.chat import Usage
from tests.fidelity.wire import openai_reply

SHAPED = Guardrail(always=True, output_schema=OutputSchema(schema={"type": "object", "required": ["n"]}))
GREEK = Guardrail(always=True, language=Language(scripts=("greek",), foreign=0.0))
SHORT = Guardrail(always=True, prompt_size=PromptSize(characters=10))
HARD = Guardrail(always=True, pattern=Pattern(regexes={"h": "hhh"}))
BODY = b'{"model":"m","messages":[{"role":"user","content":"which grade does this deserve?"}]}'
SAID = '{"score": 4, "reason": "in Latin letters"}'


class Guarded:
    """A pipeline of guardrails and one answer."""

    def __init__(self, said: str, **configured: Guardrail) -> None:
        self._answer = msgspec.json.encode(openai_reply({"content": said}))
        unasked: Any = None
        self._guards = Guards(configured, {}, unasked, lambda guardrail, where, outcome: None)

    async def reply(self, ask: Ask) -> Kept:
        self._guards.screen(ask)
        prepared: Any = None
        await Sizes().admit(ask, prepared)
        assert ask.watch is not None
        return Kept("p", "m", [await ask.watch.whole(self._answer)], Usage(), "stop", False)


async def errand(
    said: str, caller: Principal | None, *, configured: dict[str, Guardrail], asked_by_a_caller: bool = False
) -> str:
    errands = Errands(lambda: Guarded(said, **configured), "judge", wall=float, monotonic=float, rng=random.Random(1))
    exchange = errands.exchange("judge", "m", {}, caller=caller)
    if asked_by_a_caller:
        exchange = replace(exchange, errand=False)
    return words(await errands.chat(exchange, BODY))


@pytest.mark.parametrize("caller", [None, Principal("x"), Principal("x", guardrails=("shaped", "greek"))])
@pytest.mark.parametrize("configured", [{"shaped": SHAPED}, {"greek": GREEK}, {"shaped": SHAPED, "greek": GREEK}])
async def test_the_form_of_answers_is_no_matter_of_errands(
    caller: Principal | None, configured: dict[str, Guardrail]
) -> None:
    if caller is not None and not set(caller.guardrails) <= set(configured):
        configured = {"shaped": replace(SHAPED, always=False), "greek": replace(GREEK, always=False)}
    assert await errand(SAID, caller, configured=configured) == SAID
    with pytest.raises(ContentFiltered):
        await errand(SAID, caller, asked_by_a_caller=True, configured=configured)


async def test_what_must_not_be_said_must_not_be_said_in_errands_either() -> None:
    with pytest.raises(ContentFiltered, match="'hard'"):
        await errand("hhh", None, configured={"hard": HARD})


async def test_the_size_of_prompts_holds_for_those_of_callers() -> None:
    assert await errand(SAID, None, configured={"short": SHORT}) == SAID
    with pytest.raises(ContentFiltered, match="'short'"):
        await errand(SAID, Principal("x"), configured={"short": SHORT})
