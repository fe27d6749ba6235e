"""A gateway is backed up while it works, dies, and goes on from the backup elsewhere, on the other engine."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from tests.acceptance.driving import ADMIN_KEY
from tests.acceptance.flows import Oracle, Postgres, a_postgres, an_oracle, flows_in, prompts


@pytest.fixture
def oracle() -> Generator[Oracle]:
    with an_oracle() as made:
        yield made


@pytest.fixture(scope="module")
def postgres() -> Generator[Postgres]:
    with a_postgres() as made:
        yield made


def run(folder: Path, url: str, *words: str) -> str:
    """A command as an operator of the gateway in that folder gives it."""
    environment = {"DATABASE_URL": url, "STEELYARD_ARTIFACTS_DIR": str(folder / "data/artifacts"), "COLUMNS": "200"}
    done = CliRunner().invoke(main, words, env=environment)
    assert done.exit_code == 0, done.output
    return done.output


def test_what_was_under_way_is_finished_and_paid_once_and_keys_still_open(
    oracle: Oracle, postgres: Postgres, tmp_path: Path
) -> None:
    here, there, backup = tmp_path / "here", tmp_path / "there", str(tmp_path / "kept.backup")
    here.mkdir()
    there.mkdir()
    first, second = f"sqlite+aiosqlite:///{here}/data/steelyard.db", postgres("restored")
    # A restored key opens where the secret is the same.
    shared = {"SECRET_KEY": "0123456789abcdef0123456789abcdef", "STEELYARD_ARTIFACTS_INLINE_MAX": "2000"}
    oracle.reply = lambda question: f"<{question}>" * (600 if question == "p-one" else 1)
    oracle.hold("p-two")
    with flows_in(here, oracle, DATABASE_URL=first, **shared) as flows:
        flows.save(prompts("chain", "p-one", "p-two"))
        made = flows.call("POST", "/api/keys", {"name": "carol"}, key=ADMIN_KEY).json
        ended = flows.save(prompts("short", "p-three")) and flows.run("short")
        begun = flows.begin("chain")
        flows.eventually(lambda: oracle.asked["p-two"] == 1)
        assert "files" in run(here, first, "db", "backup", backup)
        flows.program.kill()
    assert "1 executions were under way" in run(there, second, "db", "restore", backup)
    with flows_in(there, oracle, DATABASE_URL=second, **shared) as flows:
        oracle.go_on()
        done = flows.until(begun)
        assert (done["status"], done["attempt"]) == ("completed", 2), done["error"]
        # Asked twice is what nobody had answered when the first gateway died.
        assert oracle.asked == {"p-one": 1, "p-two": 2, "p-three": 1}
        # What it made before it died is a file, which came along.
        (kept,) = flows.call("GET", f"/api/executions/{begun}/artifacts").json["artifacts"]
        whole = flows.call("GET", kept["download"])
        assert b"<p-one><p-one>" in whole.body
        assert flows.get(ended["execution_id"])["status"] == "completed"
        assert flows.call("GET", "/api/llm/models", key=made["key"]).status == 200
        again = flows.run("short")
        assert again["status"] == "completed"
