"""The guardrails of one request made ready: those that always hold, its route's and its key's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.guardrails.matching import Matcher, Rule
from gateway.guardrails.patterns import KNOWN, own
from gateway.schemas import checking
from gateway.settings.guardrails import Guardrail, Language, Moderation, PromptSize, Side

#: Raises a fault when a text does not follow a schema.
Check = Callable[[str], None]


class Policy(Struct, frozen=True):
    """What holds, each with the name of its guardrail, in the order of the configuration."""

    #: Stands for these guardrails as they are configured, in the keys of cached answers.
    mark: str
    prompts: Matcher | None
    answers: Matcher | None
    sizes: tuple[tuple[str, PromptSize], ...]
    languages: tuple[tuple[str, Language], ...]
    schemas: tuple[tuple[str, Check], ...]
    prompt_moderation: tuple[tuple[str, Moderation], ...]
    answer_moderation: tuple[tuple[str, Moderation], ...]

    @property
    def of_prompts(self) -> Policy:
        """What of it is about prompts, for answers that are no words."""
        return replace(self, answers=None, languages=(), schemas=(), answer_moderation=())

    def of_errands(self, *, own: bool) -> Policy:
        """What of it is about an errand of the gateway's: its answer is read by the gateway, which says its form.

        One that is its `own` has been given what was within the bounds when its caller sent it.
        """
        return replace(self, languages=(), schemas=(), sizes=() if own else self.sizes)

    @property
    def needs_whole(self) -> bool:
        """An answer can be judged only when all of it is there."""
        return bool(self.schemas or self.answer_moderation)

    @property
    def looks_at_answers(self) -> bool:
        """Any of them is about answers."""
        return self.needs_whole or self.answers is not None or bool(self.languages)


def policy_of(configured: Mapping[str, Guardrail], names: Sequence[str]) -> Policy:
    """These guardrails."""
    chosen = {name: one for name, one in configured.items() if name in names}
    moderation = [(name, one.moderation) for name, one in chosen.items() if one.moderation is not None]
    return Policy(
        blake2b(msgspec.json.encode(chosen), digest_size=12).hexdigest(),
        _matcher(chosen, "request"),
        _matcher(chosen, "response"),
        tuple((name, one.prompt_size) for name, one in chosen.items() if one.prompt_size is not None),
        tuple((name, one.language) for name, one in chosen.items() if one.language is not None),
        tuple((name, checking(one.output_schema.schema)) for name, one in chosen.items() if one.output_schema),
        tuple((name, one) for name, one in moderation if one.side != "response"),
        tuple((name, one) for name, one in moderation if one.side != "request"),
    )


def _matcher(chosen: Mapping[str, Guardrail], side: Side) -> Matcher | None:
    rules: list[Rule] = []
    for name, one in chosen.items():
        wanted = one.pattern
        if wanted is None or wanted.side not in (side, "both"):
            continue
        patterns = [KNOWN[known] for known in wanted.find]
        patterns += [own(label, expression, wanted.longest) for label, expression in wanted.regexes.items()]
        rules += [Rule(name, pattern, wanted.action == "redact") for pattern in patterns]
    return Matcher(rules) if rules else None
