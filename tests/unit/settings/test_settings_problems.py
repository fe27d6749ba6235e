"""Bad configuration: everything is told at once, each with its place, what is valid, and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import SettingsError, load
from gateway.settings.names import nearest, suggestion


def problems_of(environ: dict[str, str] | None = None, config: Path | None = None, dotenv: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(environ or {}, config=config, dotenv=dotenv)
    assert all(problem.place and problem.message for problem in caught.value.problems)
    return str(caught.value)


@pytest.fixture
def config(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "steelyard.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"STEELYARD_PORT": "99999"}, "STEELYARD_PORT (environment): '99999' is not valid: it must be a whole number"),
        ({"STEELYARD_PORT": "0"}, "from 1 to 65535"),
        ({"STEELYARD_PORT": "80.5"}, "whole number"),
        ({"STEELYARD_WORKERS": "many"}, "whole number"),
        ({"STEELYARD_CALL_TIMEOUT": "0"}, "seconds above 0"),
        ({"STEELYARD_CALL_TIMEOUT": "nan"}, "seconds above 0"),
        ({"STEELYARD_CALL_TIMEOUT": "inf"}, "seconds above 0"),
        ({"STEELYARD_MAX_BODY": "20 parsecs"}, "a size of at least one byte"),
        ({"STEELYARD_MAX_BODY": "0"}, "a size of at least one byte"),
        ({"DB_MAX_OVERFLOW": "-1"}, "0 or more"),
        ({"DEBUG": "maybe"}, "true or false"),
        ({"LOG_LEVEL": "warn"}, "Did you mean 'warning'?"),
        ({"DWA_ROUTING_STRATEGY": "load-balanced"}, "Did you mean 'load_balanced'?"),
        ({"DWA_OBJECTIVE": "cheap"}, "Did you mean 'cheapest'?"),
        ({"DATABASE_URL": "postgres://h/db"}, "Write postgresql+asyncpg:// instead of postgres://"),
        ({"DATABASE_URL": "postgresql://h/db"}, "Write postgresql+asyncpg:// instead of postgresql://"),
        ({"DATABASE_URL": "sqlite:///x.db"}, "Write sqlite+aiosqlite:// instead of sqlite://"),
        ({"DATABASE_URL": "x.db"}, "begins with sqlite+aiosqlite:// or postgresql+asyncpg://"),
        ({"REDIS_URL": "localhost:6379"}, "begins with redis://"),
        ({"REDIS_URL": "redis://h:1/3", "REDIS_DB": "4"}, "the URL says 3"),
        ({"OPENAI_API_KEY": "sk with spaces"}, "without spaces"),
        ({"OPENAI_API_KEY": "file:/no/such/file"}, "cannot be read"),
        ({"OPENAI_API_KEY": "file:/dev/null"}, "is empty"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://[oops"}, "is not a URL"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://h/v1?x=1"}, "without user, '?' and '#'"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "api.openai.com"}, "must begin with https://"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://localhost:8000/v1"}, "this gateway itself"),
        ({"OPENAI_API_KEY": "k", "STEELYARD_OPENAI_MODELS": "gpt-4o-mni"}, "Did you mean gpt-4o-mini?"),
        ({"OLLAMA_BASE_URL": "http://localhost:11434"}, "set STEELYARD_OLLAMA_MODELS"),
        ({"STEELYARD_HOST": "0.0.0.0"}, "no key is set"),
        ({"STEELYARD_API_KEYS": "a:one,a:two"}, "the name 'a' is taken"),
        ({"STEELYARD_API_KEYS": "a:one,b:one"}, "this key is there twice"),
        ({"STEELYARD_API_KEYS": "a:one", "STEELYARD_ADMIN_KEY": "one"}, "is the admin key"),
        ({"STEELYARD_CA_FILE": "/no/such.pem"}, "no certificates could be read from it: No such file"),
        ({"STEELYARD_CA_FILE": __file__}, "no certificates could be read from it: [X509"),
        ({"STEELYARD_PROT": "80"}, "there is no such variable. Did you mean 'STEELYARD_PORT'?"),
    ],
)
def test_a_bad_variable_is_named_with_what_is_valid(environ: dict[str, str], told: str):
    assert told in problems_of(environ)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("servre: {}", "servre: there is no such key. Did you mean 'server'?"),
        ("server: {prot: 80}", "server.prot: there is no such key. Did you mean 'port'?"),
        ("server: 80", "server: must be a mapping"),
        ("server: {port: [80]}", "server.port: must be a whole number"),
        ("- a list", "must be a mapping of sections"),
        ("server: {port: 1}\nserver: {port: 2}", ":2: the key 'server' is there twice"),
        ("server: {port: 1", "this is not YAML"),
        ("server:\n\t port: 1", "this is not YAML"),
        ("log: {level: a\x00b}", "characters that no text file has"),
        ("providers: [openai]", "providers: must be a mapping of names"),
        ("providers: {openai: k}", "providers.openai: must be a mapping with: dialect"),
        ("log: {level: " + "long" * 40 + "}", "longlong…'"),
        ("log: {level: 'https://user:pass@host'}", "https://user:********@host"),
        ("keys: web", "keys: must be a list"),
        ("keys: [{name: web}]", "keys[0].key: is missing"),
        ("keys: [{name: web, key: 0123}]", "in quotes"),
        ("keys: [{name: web, key: '${NOPE}'}]", "the variable NOPE is not set"),
        ("keys: [{name: web, key: '${no-name}'}]", "must hold the name of a variable"),
        ("keys: [{name: web, key: abc, strategy: costs}]", "Did you mean 'cost'?"),
        ("keys: [{name: web, key: abc, objective: fastst}]", "keys[0].objective: there is no objective 'fastst'"),
        ("objectives: {balanced: {latency: 1}}", "is a preset"),
        ("objectives: {mine: {}}", "all weights are 0"),
        ("objectives: {mine: {latency: -1}}", "0 or more"),
        ("objectives: {mine: {cost: 1, slo: {seconds: 5}}}", "objectives.mine: has weights and an slo"),
        ("objectives: {mine: {slo: {}}}", "objectives.mine.slo.seconds: is missing"),
        ("objectives: {mine: {slo: {seconds: 0}}}", "it must be a number of seconds above 0"),
        ("objectives: {mine: {slo: {seconds: 5, share: 95}}}", "it must be a number above 0 and below 1"),
        ("objectives: {mine: {slo: {seconds: 5, errors: 0}}}", "it must be a number above 0 and below 1"),
        ("objectives: {mine: {slo: {second: 5}}}", "Did you mean 'seconds'?"),
        ("providers: {'a/b': {}}", "the name 'a/b' is not valid"),
        ("providers: {mine: {}}", "providers.mine.dialect: is missing; write one of openai, anthropic, gemini"),
        ("providers: {mine: {dialect: openia, base_url: 'https://h'}}", "Did you mean 'openai'?"),
        ("providers: {mine: {dialect: openai, base_url: 'https://h'}}", "no models are named"),
        ("providers: {mine: {dialect: openai, base_url: 'https://h', models: [m]}}", "no price is known for 'm'"),
        ("providers: {openai: {}}", "Set OPENAI_API_KEY"),
        ("providers: {openai: {api_key: k, models: [gpt-4o, gpt-4o]}}", "is listed twice"),
        ("providers: {openai: {api_key: k, models: [{name: gpt-4o, price: 5}]}}", "'free', or a mapping"),
        ("providers: {openai: {api_key: k, models: [{name: x, price: {input: 1}}]}}", "price.output: is missing"),
        ("providers: {openai: {api_key: k, models: [{name: x, price: {input: -1, output: 1}}]}}", "0 or more"),
        ("providers: {openai: {api_key: k, profile: {stream: true}}}", "Did you mean 'stream_usage'?"),
        ('providers: {openai: {api_key: k, profile: {headers: {x: "a\\nb"}}}}', "is not a header"),
        ("providers: {openai: {api_key: k, profile: {idempotency_header: 'a: b'}}}", "is not the name of a header"),
        ("providers: {openai: {api_key: k, wieght: 1}}", "Did you mean 'weight'?"),
        ("providers: {openai: {api_key: k, models: [{name: gpt-4o, capabilities: [visoin]}]}}", "'vision'"),
        ("routes: {auto: {targets: [a/b]}}", "already means any model"),
        ("routes: {r: {targets: []}}", "at least one entry"),
        ("routes: {r: {targets: [gpt-4o]}}", "is not 'provider/model'"),
        ("routes: {r: {targets: [openai/gpt-4o]}}", "Set OPENAI_API_KEY"),
        ("routes: {r: {targets: [nobody/x]}}", "there is no provider 'nobody'"),
        ("routes: {r: {targets: [a/b], sticky: true}}", "routes.r.sticky: there is no such key"),
        ("providers: {openai: {api_key: k, enabled: false}}\nroutes: {r: {targets: [openai/gpt-4o]}}", "switched off"),
        ("providers: {openai: {api_key: k}}\nroutes: {r: {targets: [openai/gpt-4p]}}", "Did you mean 'openai/gpt-4"),
        (
            "providers: {openai: {api_key: k}}\nroutes:\n  a: {targets: [openai/o3], fallback: [b]}\n"
            "  b: {targets: [openai/o3], fallback: [a]}",
            "a → b → a",
        ),
        ("providers: {openai: {api_key: k}}\nroutes: {a: {targets: [openai/o3], objective: fastst}}", "'fastest'"),
    ],
)
def test_a_bad_file_is_told_with_path_and_fix(config, text: str, told: str):
    message = problems_of(config=config(text))
    assert told in message
    assert "steelyard.yaml" in message


def test_files_that_are_not_text_are_told(tmp_path: Path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    message = problems_of({"OPENAI_API_KEY": f"file:{binary}"}, config=binary, dotenv=binary)
    assert message.startswith("The configuration has 3 problems:")
    assert message.count("not UTF-8 text") == 3


def test_everything_wrong_is_told_at_once(config, tmp_path: Path):
    dotenv = tmp_path / ".env"
    dotenv.write_text("LOG_LEVEL=loud\nnot a variable\n")
    message = problems_of(
        {"STEELYARD_PORT": "x", "STEELYARD_NONSENSE": "1"},
        config("server: {workers: 0}\nfoo: 1\nproviders: {mine: {dialect: openai, base_url: h, models: [a, b]}}"),
        dotenv,
    )
    for told in (
        "STEELYARD_PORT",
        "STEELYARD_NONSENSE",
        "server.workers",
        "foo",
        "mine.base_url",
        "models[0]",
        "models[1]",
        "LOG_LEVEL",
        ".env:2",
    ):
        assert told in message
    assert message.startswith("The configuration has 9 problems:")


def test_one_mistake_is_told_once(config):
    text = "providers: {mine: {dialect: openia, base_url: 'https://h', models: [m]}}\nroutes: {r: {targets: [mine/m]}}"
    assert problems_of(config=config(text)).startswith("The configuration has 1 problem:")


def test_a_bad_list_of_keys_does_not_also_count_as_none(config):
    message = problems_of({"STEELYARD_HOST": "0.0.0.0"}, config("keys: [{name: a}]"))
    assert "no key is set" not in message


def test_variables_of_other_programs_are_left_alone():
    assert load({"OPENAI_ORG_ID": "x", "PORT": "nonsense", "SERVER_PORT": "x"}).server.port == 8000


def test_a_name_like_nothing_gets_the_list_instead_of_a_bad_guess():
    assert nearest("zzz", ["port", "host"]) is None
    assert suggestion("zzz", ["port", "host"]) == "Valid here: port, host."
    assert suggestion("zzz", []) == "Nothing is valid here."
    assert suggestion("PROT", ["port", "host"]) == "Did you mean 'port'?"


@pytest.mark.parametrize("name", ["admin", "anonymous", "judge", "guardrail", "system"])
def test_a_caller_may_not_take_a_name_the_gateway_uses_itself(name: str) -> None:
    with pytest.raises(SettingsError, match="Choose another"):
        load({"STEELYARD_API_KEYS": f"{name}:some-long-key-0123456789"})
