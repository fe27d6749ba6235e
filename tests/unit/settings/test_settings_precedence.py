"""Command line, environment, `.env`, file, default: one order for every value."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import Settings, SettingsError, load
from gateway.settings.load import load_with_origins
from gateway.settings.scalar import kind_of, read
from gateway.settings.sections import Bytes
from gateway.settings.written import Document


def written(folder: Path, text: str, name: str = "steelyard.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_nothing_configured_is_the_defaults_and_no_provider():
    settings = load({})
    assert settings == Settings()
    assert settings.server.port == 8000
    assert settings.server.host == "127.0.0.1"
    assert settings.database.url.reveal() == "sqlite+aiosqlite:///./data/steelyard.db"
    assert settings.cache.ttl == 3600
    assert settings.redis.url is None
    assert settings.providers == {}


@pytest.mark.parametrize(
    ("layers", "port"),
    [
        (("file",), 9001),
        (("file", "dotenv"), 9002),
        (("file", "dotenv", "environment"), 9003),
        (("file", "dotenv", "environment", "command line"), 9004),
        (("dotenv", "command line"), 9004),
        ((), 8000),
    ],
)
def test_the_nearer_layer_wins(tmp_path: Path, layers: tuple[str, ...], port: int):
    config = written(tmp_path, "server: {port: 9001}") if "file" in layers else None
    dotenv = written(tmp_path, "STEELYARD_PORT=9002", ".env") if "dotenv" in layers else None
    environ = {"STEELYARD_PORT": "9003"} if "environment" in layers else {}
    overrides = {"server.port": "9004"} if "command line" in layers else {}
    assert load(environ, config=config, dotenv=dotenv, overrides=overrides).server.port == port


def test_each_value_knows_where_it_came_from(tmp_path: Path):
    config = written(tmp_path, "server: {port: 9001}\nproviders: {openai: {weight: 2}}")
    dotenv = written(tmp_path, "LOG_LEVEL=error", ".env")
    environ = {"DB_POOL_SIZE": "7", "OPENAI_API_KEY": "sk-0123456789"}
    origin = load_with_origins(environ, config=config, dotenv=dotenv, overrides={"server.workers": "2"}).origin
    assert origin(("server", "port")) == str(config)
    assert origin(("server", "workers")) == "command line"
    assert origin(("server", "host")) is None
    assert origin(("log", "level")) == f"{dotenv}, LOG_LEVEL"
    assert origin(("database", "pool_size")) == "environment, DB_POOL_SIZE"
    assert origin(("providers", "openai", "weight")) == str(config)
    assert origin(("providers", "openai", "api_key")) == "environment, OPENAI_API_KEY"
    assert origin(("providers", "openai", "base_url")) == "built in"


def test_an_empty_variable_counts_as_not_set(tmp_path: Path):
    dotenv = written(tmp_path, "STEELYARD_PORT=9002\nOPENAI_API_KEY=\n", ".env")
    settings = load({"STEELYARD_PORT": " ", "OPENAI_API_KEY": ""}, dotenv=dotenv)
    assert settings.server.port == 9002
    assert settings.providers == {}


def test_the_config_file_can_be_named_by_a_variable(tmp_path: Path):
    config = written(tmp_path, "server: {port: 9001}", "other.yaml")
    assert load({"STEELYARD_CONFIG": str(config)}).server.port == 9001


def test_a_named_file_that_is_not_there_is_a_problem(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: cannot be read"):
        load({"STEELYARD_CONFIG": str(tmp_path / "nowhere.yaml")})


@pytest.mark.parametrize("text", ["", "# nothing\n", "server:\n", "providers:\nroutes:\nkeys:\n"])
def test_empty_files_and_sections_change_nothing(tmp_path: Path, text: str):
    assert load({}, config=written(tmp_path, text)) == Settings()


def test_every_section_of_a_file_reaches_the_settings():
    assert set(Document.__struct_fields__) == set(Settings.__struct_fields__)


@pytest.mark.parametrize(
    ("text", "expected"), [("true", True), ("YES", True), ("on", True), ("1", True), ("False", False), ("0", False)]
)
def test_booleans_may_be_written_in_the_usual_ways(text: str, expected: bool):
    assert load({"DATABASE_ECHO": text}).database.echo is expected


@pytest.mark.parametrize(
    ("text", "count"), [("500", 500), ("20MiB", 20 * 2**20), ("64 kB", 64_000), ("1.5MB", 1_500_000), ("1GiB", 2**30)]
)
def test_sizes_may_have_units(text: str, count: int):
    assert read(text, kind_of(Bytes)) == count


def test_choices_do_not_mind_their_case():
    assert load({"LOG_LEVEL": "WARNING", "DWA_ROUTING_STRATEGY": "Round_Robin"}).dwa.strategy == "round_robin"


def test_keys_in_the_environment_replace_those_of_the_file(tmp_path: Path):
    config = written(tmp_path, "keys: [{name: old, key: old-key}]")
    settings = load({"STEELYARD_API_KEYS": "web:key-of-web, just-a-key=="}, config=config)
    assert [(key.name, key.key.reveal()) for key in settings.keys] == [("web", "key-of-web"), ("key-2", "just-a-key==")]


def test_a_key_may_have_a_strategy_and_an_objective_of_its_own(tmp_path: Path):
    config = written(
        tmp_path,
        """
objectives: {patient: {cost: 1}}
keys:
  - {name: batch, key: key-of-batch, strategy: p2c_ewma, objective: patient}
  - {name: web, key: key-of-web, objective: fastest}
  - {name: plain, key: key-of-plain}
""",
    )
    chosen = [(key.name, key.strategy, key.objective) for key in load({}, config=config).keys]
    assert chosen == [("batch", "p2c_ewma", "patient"), ("web", None, "fastest"), ("plain", None, None)]


def test_without_any_key_callers_are_anonymous_and_with_one_they_are_not():
    assert load({}).anonymous
    assert not load({"STEELYARD_API_KEYS": "a:some-key"}).anonymous
    assert not load({"STEELYARD_ADMIN_KEY": "some-key"}).anonymous
    assert load({"STEELYARD_API_KEYS": "a:some-key", "STEELYARD_ALLOW_ANONYMOUS": "true"}).anonymous


def test_references_in_the_file_are_replaced(tmp_path: Path):
    secret = written(tmp_path, "key-in-a-file\n", "secret")
    config = written(
        tmp_path,
        f"""
keys:
  - {{name: file, key: 'file:{secret}'}}
  - {{name: variable, key: '${{WEB_KEY}}'}}
  - {{name: literal, key: 'a$${{b}}'}}
database: {{url: 'postgresql+asyncpg://u:${{DB_PASSWORD}}@db/x'}}
""",
    )
    settings = load({"WEB_KEY": "key-of-web", "DB_PASSWORD": "pw"}, config=config)
    assert [key.key.reveal() for key in settings.keys] == ["key-in-a-file", "key-of-web", "a${b}"]
    assert settings.database.url.reveal() == "postgresql+asyncpg://u:pw@db/x"


def test_a_secret_in_the_environment_may_be_a_file_too(tmp_path: Path):
    secret = written(tmp_path, "sk-from-file\n", "secret")
    provider = load({"OPENAI_API_KEY": f"file:{secret}"}).providers["openai"]
    assert provider.api_key
    assert provider.api_key.reveal() == "sk-from-file"


def test_dollar_signs_in_variables_are_only_characters(tmp_path: Path):
    dotenv = written(tmp_path, "STEELYARD_ADMIN_KEY='a${HOME}b'\n", ".env")
    key = load({"HOME": "/home/me"}, dotenv=dotenv).auth.admin_key
    assert key
    assert key.reveal() == "a${HOME}b"
