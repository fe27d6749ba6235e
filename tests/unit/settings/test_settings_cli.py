"""`steelyard config check` and `show`, in a folder of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from gateway.cli.config import config
from gateway.settings.environment import known_variables


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in known_variables():
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, **environ: str) -> Result:
        return CliRunner().invoke(config, arguments, env=environ)

    return run


def test_check_says_what_is_configured(run):
    result = run("check", OPENAI_API_KEY="sk-0123456789", STEELYARD_API_KEYS="a:b")
    assert result.exit_code == 0
    assert "is valid: providers: openai (" in result.stdout
    assert "1 keys" in result.stdout


def test_variables_of_commands_that_call_a_gateway_are_no_mistakes(run):
    assert run("check", STEELYARD_URL="http://elsewhere", STEELYARD_KEY="secret").exit_code == 0
    assert run("check", STEELYARD_URI="http://elsewhere").exit_code == 1


def test_check_lists_every_problem_and_exits_with_1(run):
    result = run("check", STEELYARD_PORT="x", LOG_LEVEL="y")
    assert result.exit_code == 1
    assert "STEELYARD_PORT" in result.stderr
    assert "LOG_LEVEL" in result.stderr


def test_show_is_yaml_with_origins_and_without_secrets(run, tmp_path: Path):
    (tmp_path / ".env").write_text("STEELYARD_PORT=9000\n")
    (tmp_path / "steelyard.yaml").write_text(
        "keys: [{name: web, key: hunter2-hunter2}, {name: batch, key: hunter3-hunter3, strategy: cost}]\n"
    )
    result = run("show", OPENAI_API_KEY="sk-0123456789-0123456789", LOG_LEVEL="debug")
    assert result.exit_code == 0
    shown = yaml.safe_load(result.stdout)
    assert shown["server"]["port"] == 9000
    assert shown["keys"] == [
        {"name": "web", "key": "********"},
        {"name": "batch", "key": "********", "strategy": "cost"},
    ]
    assert shown["providers"]["openai"]["api_key"] == "********6789"
    assert shown["providers"]["openai"]["models"][0]["price"]["input"] > 0
    lines = {line.split(":")[0].strip(): line for line in result.stdout.splitlines()}
    assert lines["port"].endswith("# .env, STEELYARD_PORT")
    assert lines["level"].endswith("# environment, LOG_LEVEL")
    assert lines["workers"].endswith("# default")
    assert "# catalogue" in result.stdout
    assert "# steelyard.yaml" in result.stdout
    assert "hunter2" not in result.output
    assert "0123456789" not in result.output


def test_show_reads_the_named_file(run, tmp_path: Path):
    other = tmp_path / "other.yaml"
    other.write_text("server: {port: 9000}\nobjectives: {mine: {cost: 1}}\nroutes: {}\n")
    (tmp_path / "steelyard.yaml").write_text("server: {port: 9001}\n")
    shown = yaml.safe_load(run("show", "--config", str(other)).stdout)
    assert shown["server"]["port"] == 9000
    assert shown["objectives"] == {"mine": {"latency": 0.0, "cost": 1.0, "errors": 0.0, "quality": 0.0, "slo": None}}


def test_what_show_prints_without_configuration_is_valid_yaml_of_all_sections(run):
    shown = yaml.safe_load(run("show").stdout)
    assert set(shown) >= {"server", "auth", "database", "redis", "cache", "dwa", "requests", "timeout", "request_log"}
    assert shown["providers"] == {}
    assert shown["keys"] == []
