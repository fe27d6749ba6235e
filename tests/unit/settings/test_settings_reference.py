"""What is written about the settings is made from them."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import certifi
import pytest
from dotenv import dotenv_values

from dwa import STRATEGIES
from gateway.settings import Settings, load
from gateway.settings.environment import API_KEYS, CONFIG, known_variables, options
from gateway.settings.reference import env_example, readme_table, rows
from gateway.settings.sections import Strategy

ROOT = Path(__file__).parents[3]


def test_env_example_is_the_one_the_settings_make():
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == env_example()


def test_every_variable_is_in_the_example_and_in_the_table_once():
    names = [row.env for row in rows()]
    assert len(names) == len(set(names))
    assert set(names) == known_variables()
    for name in names:
        assert f"\n#{name}=" in env_example()
        assert f"\n| `{name}` |" in readme_table()


def test_every_variable_is_explained():
    assert all(row.text.endswith(".") or row.text.endswith("`") or "http" in row.text for row in rows())


def test_the_strategies_that_may_be_set_are_those_there_are():
    assert set(get_args(Strategy)) == set(STRATEGIES)


def test_every_scalar_has_a_variable_of_its_own():
    names = [option.env for option in options()]
    assert all(names)
    assert len(names) == len(set(names))


def test_the_example_with_every_line_turned_on_changes_nothing_but_the_address_of_the_keyless(tmp_path: Path):
    dotenv = tmp_path / ".env"
    lines = [line.removeprefix("#") for line in env_example().splitlines() if line.startswith("#") and "=" in line]
    dotenv.write_text("\n".join(line for line in lines if line[0] != " " and not line.startswith("OLLAMA")))
    assert len(dotenv_values(dotenv)) == len(known_variables()) - 1
    assert load({}, dotenv=dotenv) == Settings()


@pytest.mark.parametrize("option", options(), ids=lambda option: option.env)
def test_each_variable_sets_its_own_field(option, tmp_path: Path):
    section, name = option.where
    servers = tmp_path / "mcp_settings.json"
    servers.write_text("{}")
    samples = {"host": "localhost", "objective": "cheapest", "spill_dir": "elsewhere", "request_id_header": "x-id"}
    samples |= {"dir": "elsewhere", "http_networks": "10.1.0.0/16"}
    samples |= {
        "headers": "x-key=a",
        "resource": "team=blue",
        "propagate": "*",
        "service_name": "other",
        "sampler_arg": "0.5",
    }
    samples |= {"ca_file": certifi.where(), "timezone": "Europe/Berlin", "settings_file": str(servers)}
    samples |= dict.fromkeys(("name_claim", "scopes_claim", "tags_claim", "models_claim"), "another")
    jwks = tmp_path / "jwks.json"
    jwks.write_text('{"keys": []}')
    samples |= {"secret": "a-new-secret-of-more-than-32-bytes", "jwks": str(jwks)}
    # Nobody's keys are taken without saying whose tokens.
    beside = {"STEELYARD_JWT_AUDIENCE": "steelyard"} if name == "jwks" else {}
    text = samples.get(name) or _other(option)
    value = getattr(getattr(load({option.env: text, **beside}), section), name)
    assert value != option.default


def _other(option) -> str:
    if schemes := option.kind.extra("schemes"):
        return f"{schemes[-1]}://host/3"
    if option.kind.secret:
        return "a-new-secret"
    words = [
        word for member in option.kind.members for word in getattr(member, "__args__", ()) if word != option.default
    ]
    if words:
        return words[0]
    if isinstance(option.default, bool):
        return str(not option.default)
    return str(int(option.default or 0) + 1)


def test_the_special_variables_are_known():
    assert {API_KEYS, CONFIG} <= known_variables()
