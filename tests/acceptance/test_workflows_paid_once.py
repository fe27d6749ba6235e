"""A gateway that dies between a provider's answer and the step's success: nobody is asked again, nothing paid twice."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.acceptance.flows import CALL_USD, Flows, Oracle, a_postgres, an_oracle, flows_in, prompts

DYING = Path(__file__).with_name("dying_gateway.py")


@pytest.fixture
def oracle() -> Generator[Oracle]:
    with an_oracle() as made:
        yield made


@pytest.fixture(scope="module")
def postgres() -> Generator[Callable[[str], str]]:
    with a_postgres() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment that makes a gateway use it."""
    if request.param == "sqlite":
        return {}
    made: Callable[[str], str] = request.getfixturevalue("postgres")
    return {"DATABASE_URL": made(f"d{abs(hash(request.node.name))}")}


def until_it_is_dead(flows: Flows) -> None:
    process = flows.program.process
    assert process is not None
    assert process.wait(60) == -9, flows.program.said.read_text()


@pytest.mark.parametrize(("place", "times"), [("success", 1), ("commit", 1), ("aside", 2)])
def test_an_answer_that_was_here_is_paid_once(
    place: str, times: int, oracle: Oracle, database: dict[str, str], tmp_path: Path
) -> None:
    once = tmp_path / "once"
    oracle.profile = {"idempotency_header": "Idempotency-Key"}
    with flows_in(tmp_path, oracle, DIES_AT="nowhere", DIES_ONCE=str(once), **database) as flows:
        flows.save(prompts("paid", "p-one", "p-two"))
        flows.program.kill()
        # From now on it dies at its first answer.
        flows.program.replace_command(DYING, DIES_AT=place)
        flows.program.start()
        begun = flows.begin("paid", budget_usd=1.0)
        until_it_is_dead(flows)
        assert once.exists()
        assert oracle.asked == {"p-one": 1}
        flows.program.start()
        done = flows.until(begun)
        assert done["status"] == "completed", done["error"]
        assert (done["attempt"], done["outputs"]["n1"]["text"]) == (1, "<p-two>")
        # Before it is set aside an answer is lost: that is the window that the documentation names.
        assert oracle.asked == {"p-one": times, "p-two": 1}
        # A server that honours it is told that it is the same call.
        assert oracle.idempotency_keys["p-one"] == [f"{begun}/n0/-1/1"] * times
        assert flows.types(begun).count("step.succeeded") == 2
        # What counts, counts once.
        assert done["cost_usd"] == pytest.approx(2 * CALL_USD)
        first = next(one for one in flows.steps(begun) if one["node_id"] == "n0")
        assert first["tries"] == 1
        assert first["cost_usd"] == pytest.approx(CALL_USD)
        assert len(first["request_ids"]) == 1
        numbers = [one["seq"] for one in flows.events(begun)]
        assert numbers == list(range(1, len(numbers) + 1))


def test_an_answer_is_found_by_whichever_process_takes_over(
    oracle: Oracle, postgres: Callable[[str], str], tmp_path: Path
) -> None:
    url = postgres("taken_over")
    dying = {"DIES_AT": "success", "DIES_ONCE": str(tmp_path / "once")}
    with (
        flows_in(tmp_path / "other", oracle, DATABASE_URL=url, STEELYARD_WORKFLOWS_RUN="false") as asks,
        flows_in(tmp_path / "one", oracle, DATABASE_URL=url, **dying) as one,
    ):
        asks.save(prompts("handed", "h-one", "h-two"))
        one.program.kill()
        one.program.replace_command(DYING)
        one.program.start()
        begun = asks.begin("handed")
        until_it_is_dead(one)
        with flows_in(tmp_path / "three", oracle, DATABASE_URL=url):
            done = asks.until(begun)
        assert done["status"] == "completed", done["error"]
        assert oracle.asked == {"h-one": 1, "h-two": 1}
        assert done["cost_usd"] == pytest.approx(2 * CALL_USD)
