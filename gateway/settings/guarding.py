"""Guardrails against each other, against whoever names them, and against what they are made of."""

from __future__ import annotations

from gateway.guardrails.regexes import BadRegex, compiled
from gateway.schemas import BadSchema, Validator
from gateway.settings.build import Builder, Where
from gateway.settings.guardrails import Guardrail
from gateway.settings.names import suggestion
from gateway.settings.tree import Settings


def check_guardrails(settings: Settings, builder: Builder) -> None:
    """What is wrong with them goes to the builder."""
    for name, guardrail in settings.guardrails.items():
        where: Where = ("guardrails", name)
        if builder.failed_below(where):
            continue
        kinds = guardrail.kinds
        if len(kinds) != 1:
            every = ", ".join(one for one in Guardrail.__struct_fields__ if one != "always")
            builder.blame(where, f"says {' and '.join(kinds) or 'nothing'}. Write exactly one of: {every}.")
            continue
        _check(guardrail, (*where, kinds[0]), settings, builder)
    named: list[tuple[Where, tuple[str, ...]]] = [
        *((("routes", name, "guardrails"), one.guardrails) for name, one in settings.routes.items()),
        *((("keys", index, "guardrails"), one.guardrails) for index, one in enumerate(settings.keys)),
    ]
    for where, names in named:
        for index, name in enumerate(names):
            if name not in settings.guardrails and not builder.dropped(("guardrails", name)):
                told = f"there is no guardrail '{name}'. {suggestion(name, settings.guardrails)}"
                builder.blame((*where, index), told)


def _check(guardrail: Guardrail, where: Where, settings: Settings, builder: Builder) -> None:
    if guardrail.pattern is not None:
        _check_regexes(guardrail.pattern.regexes, where, builder)
        if not guardrail.pattern.find and not guardrail.pattern.regexes:
            builder.blame(where, "looks for nothing. Write 'find' or 'regexes'.")
    if guardrail.prompt_size is not None and guardrail.prompt_size.characters is guardrail.prompt_size.tokens is None:
        builder.blame(where, "has no bound. Write 'characters' or 'tokens'.")
    if guardrail.output_schema is not None:
        try:
            Validator(guardrail.output_schema.schema)
        except BadSchema as exc:
            builder.blame((*where, "schema"), f"cannot be used: {exc}")
    if guardrail.moderation is not None:
        known = settings.models_and_routes
        model = guardrail.moderation.model
        # Without providers there will be the simulator's, whose models are its own.
        if settings.providers and model not in known and not builder.failed_below(("providers",)):
            builder.blame((*where, "model"), f"there is no model or route '{model}'. {suggestion(model, known)}")
        if guardrail.moderation.policy is not None and guardrail.moderation.categories:
            builder.blame((*where, "categories"), "belong to a model of '/moderations', and not to a 'policy'.")


def _check_regexes(regexes: dict[str, str], where: Where, builder: Builder) -> None:
    for label, expression in regexes.items():
        try:
            empty = compiled(expression).search("") is not None
        except BadRegex as exc:
            builder.blame((*where, "regexes", label), f"is no RE2 expression: {exc}.")
        else:
            if empty:
                builder.blame((*where, "regexes", label), "matches nothing at all, and so is everywhere.")
