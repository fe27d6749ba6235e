"""Guardrails in the configuration: off by default, and checked before anything is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import SettingsError, load
from gateway.settings.guardrails import Guardrail, Pattern

OPENAI = {"OPENAI_API_KEY": "k", "STEELYARD_ADMIN_KEY": "admin-0123456789"}


def written(folder: Path, text: str) -> Path:
    path = folder / "steelyard.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_by_default_there_are_none() -> None:
    assert load(OPENAI).guardrails == {}


def test_they_keep_their_order_and_are_named_by_routes_and_keys(tmp_path: Path) -> None:
    found = load(
        OPENAI,
        config=written(
            tmp_path,
            "guardrails:\n"
            "  second: {pattern: {find: [email, iban], action: redact, side: request}}\n"
            "  first: {always: true, prompt_size: {characters: 100}}\n"
            "  shaped: {output_schema: {schema: {type: object, properties: {n: {type: integer}}}}}\n"
            "  judged: {moderation: {model: openai/gpt-4o-mini, policy: Be kind., side: both, fail: open}}\n"
            "  latin: {language: {scripts: [latin, greek], foreign: 0.2}}\n"
            "routes: {mine: {targets: [openai/gpt-4o-mini], guardrails: [second]}}\n"
            "keys: [{name: a, key: k-0123456789abcdef, guardrails: [latin, shaped]}]\n",
        ),
    )
    assert list(found.guardrails) == ["second", "first", "shaped", "judged", "latin"]
    assert found.guardrails["second"].pattern == Pattern(find=("email", "iban"), action="redact", side="request")
    shaped = found.guardrails["shaped"].output_schema
    assert shaped is not None
    assert shaped.schema["properties"] == {"n": {"type": "integer"}}
    assert found.routes["mine"].guardrails == ("second",)
    assert found.keys[0].guardrails == ("latin", "shaped")


def test_the_page_about_them_is_a_configuration(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/guardrails.md").read_text(encoding="utf-8")
    text = page.partition("```yaml\n")[2].partition("```")[0]
    found = load(OPENAI | {"SUPPORT_KEY": "k-0123456789abcdef"}, config=written(tmp_path, text))
    assert {kind for one in found.guardrails.values() for kind in one.kinds} == {*Guardrail.__struct_fields__} - {
        "always"
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("guardrails: {a: {}}", "guardrails.a: says nothing. Write exactly one of: pattern, prompt_size, language"),
        ("guardrails: {a: {pattern: {find: [email]}, prompt_size: {tokens: 1}}}", "says pattern and prompt_size"),
        ("guardrails: {a: {pattern: {}}}", "looks for nothing"),
        ("guardrails: {a: {pattern: {find: [emial]}}}", "email"),
        (
            "guardrails: {a: {pattern: {regexes: {x: '(?=a)b'}}}}",
            "guardrails.a.pattern.regexes.x: is no RE2 expression",
        ),
        ("guardrails: {a: {pattern: {regexes: {x: 'a*'}}}}", "matches nothing at all"),
        ("guardrails: {a: {prompt_size: {}}}", "has no bound"),
        ("guardrails: {a: {language: {scripts: []}}}", "at least one"),
        ("guardrails: {a: {output_schema: {schema: {type: 5}}}}", "guardrails.a.output_schema.schema: cannot be used"),
        ("guardrails: {a: {moderation: {model: gpt-4o-mni}}}", "gpt-4o-mini"),
        ("guardrails: {a: {moderation: {model: gpt-4o-mini, policy: p, categories: [x]}}}", "belong to a model of"),
        ("guardrails: {'a b': {pattern: {find: [email]}}}", "the name 'a b' is not valid"),
        ("routes: {r: {targets: [openai/gpt-4o-mini], guardrails: [none]}}", "routes.r.guardrails[0]: there is no"),
        ("keys: [{name: a, key: k-0123456789abcdef, guardrails: [none]}]", "keys[0].guardrails[0]: there is no"),
        ("keys: [{name: guardrail, key: k-0123456789abcdef}]", "is a name of the gateway's own"),
    ],
    ids=str,
)
def test_what_cannot_be_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(OPENAI, config=written(tmp_path, text + "\n"))
    assert told in str(raised.value)
