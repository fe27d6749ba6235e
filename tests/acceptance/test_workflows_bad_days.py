"""What befalls executions on bad days: a kill at the wrong moment, frozen workers, a database that leaves, a provider
that fails for good. Nothing is written twice, nothing that succeeded is asked again, and all that can go on does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from sqlalchemy import URL

from gateway.store.engine import parse_url
from tests.acceptance.flows import (
    CALL_USD,
    Json,
    Oracle,
    Postgres,
    a_postgres,
    an_oracle,
    flows_in,
    prompts,
    states,
)
from tests.acceptance.workflow_fleet import Worker, a_fleet, has_paid_once
from tests.stores.store_faults import Proxy

#: Seconds; longer than any test: nobody is taken over for his silence.
NEVER = 600.0
TAKEN_OVER = "another process has taken over"


@pytest.fixture
def oracle() -> Generator[Oracle]:
    with an_oracle() as made:
        yield made


@pytest.fixture(scope="module")
def postgres() -> Generator[Postgres]:
    with a_postgres() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/steelyard.db"
    made: Postgres = request.getfixturevalue("postgres")
    return made(f"d{abs(hash(request.node.name))}")


def two_chains(slug: str) -> Json:
    """`a1` before `a2` and `b1` before `b2`, side by side."""
    made = prompts(slug, "a1", "b1", "a2 after {{ nodes.n0.output.text }}", "b2 after {{ nodes.n1.output.text }}")
    made["edges"] = [{"source": "n0", "target": "n2"}, {"source": "n1", "target": "n3"}]
    made["outputs"] = {"a2": "{{ nodes.n2.output.text }}", "b2": "{{ nodes.n3.output.text }}"}
    return made


# Killed at the wrong moment


@pytest.mark.parametrize(
    ("first", "then", "asked"),
    [
        # Called in the order a1, b1, b2, a2: whoever numbers steps so finds b2's answer for a2 after the kill.
        ("a1", "a2", {"a1": 1, "b1": 1, "b2": 1, "a2": 2}),
        ("a1", "a1", {"a1": 2, "b1": 1, "b2": 1, "a2": 1}),
        ("b1", "b2", {"a1": 1, "b1": 1, "b2": 2, "a2": 1}),
    ],
)
def test_after_a_kill_no_node_gets_the_answer_of_another(
    first: str, then: str, asked: dict[str, int], oracle: Oracle, database: str, tmp_path: Path
) -> None:
    with flows_in(tmp_path / "serving", oracle, DATABASE_URL=database) as flows:
        flows.save(two_chains("swapped"))
        oracle.hold(first)
        begun = flows.begin("swapped")
        flows.eventually(lambda: flows.types(begun).count("step.succeeded") == 2)
        if then != first:
            oracle.hold(then)
            oracle.go_on(first)
            flows.eventually(lambda: any(one.startswith(then) for one in oracle.asked))
            flows.eventually(lambda: flows.types(begun).count("step.succeeded") == 3)
        flows.program.kill()
        oracle.go_on()
        flows.program.start()
        assert flows.until(begun)["outputs"] == {"a2": "<a2 after <a1>>", "b2": "<b2 after <b1>>"}
        assert {question.split()[0]: times for question, times in oracle.asked.items()} == asked
        has_paid_once(flows, begun, ["n0", "n1", "n2", "n3"])


# Frozen and thawed


def told(worker: Worker, message: str) -> bool:
    return bool(worker.told(message))


def test_a_worker_that_was_frozen_writes_nothing_of_what_another_has_taken_over(
    oracle: Oracle, database: str, tmp_path: Path
) -> None:
    """It thaws while the other is still asking, and has its answer first."""
    with a_fleet(tmp_path, oracle, database, lease=3.0) as fleet:
        flows = fleet.flows
        flows.save(prompts("frozen", "z-one", "z-two WAIT", "z-three"))
        oracle.hold("WAIT")
        frozen = fleet.worker()
        begun = flows.begin("frozen")
        flows.eventually(lambda: oracle.times("z-two") == 1)
        frozen.freeze()
        oracle.hold("worker2")
        heir = fleet.worker()
        flows.eventually(lambda: fleet.asked_by(heir))
        before = flows.events(begun)
        oracle.go_on("WAIT")
        frozen.thaw()
        flows.eventually(lambda: told(frozen, TAKEN_OVER))
        assert flows.events(begun) == before
        assert states(flows.get(begun)) == {"n0": "succeeded", "n1": "running", "n2": "pending"}
        oracle.go_on()
        flows.until(begun)
        history = has_paid_once(flows, begun, ["n0", "n1", "n2"])
        assert history.cut_off == {"n1": 1}
        assert oracle.asked == {"z-one": 1, "z-two WAIT": 2, "z-three": 1}
        # Thawed, it is a worker like any other.
        heir.kill()
        again = flows.begin("frozen")
        flows.until(again)
        assert {one.asker for one in oracle.calls[-3:]} == {frozen.name}


def test_a_worker_that_thaws_when_all_is_done_changes_nothing(oracle: Oracle, database: str, tmp_path: Path) -> None:
    with a_fleet(tmp_path, oracle, database, lease=3.0) as fleet:
        flows = fleet.flows
        flows.save(prompts("late", *(f"l-{number} WAIT" for number in range(5)), chain=False))
        oracle.hold("WAIT")
        frozen = fleet.worker()
        begun = flows.begin("late")
        flows.eventually(lambda: oracle.at_once == 5)
        frozen.freeze()
        oracle.go_on()
        fleet.worker()
        flows.until(begun)
        before = flows.events(begun), flows.steps(begun), flows.get(begun)
        frozen.thaw()
        flows.eventually(lambda: told(frozen, TAKEN_OVER))
        assert (flows.events(begun), flows.steps(begun), flows.get(begun)) == before
        history = has_paid_once(flows, begun, [f"n{number}" for number in range(5)])
        assert history.cut_off == {f"n{number}": 1 for number in range(5)}


def test_a_worker_that_thaws_may_be_its_own_heir(oracle: Oracle, database: str, tmp_path: Path) -> None:
    """What was taken from it waits for somebody with a free place, which it has itself."""
    with a_fleet(tmp_path, oracle, database, lease=3.0) as fleet:
        flows = fleet.flows
        flows.save(prompts("own", "o-one", "o-two WAIT", "o-three"))
        flows.save(prompts("other", "x-one KEEP"))
        oracle.hold("WAIT", "KEEP")
        busy = fleet.worker(STEELYARD_WORKFLOWS_CONCURRENCY="1")
        other = flows.begin("other")
        flows.eventually(lambda: oracle.times("x-one") == 1)
        frozen = fleet.worker()
        begun = flows.begin("own")
        flows.eventually(lambda: oracle.times("o-two") == 1)
        frozen.freeze()
        flows.eventually(lambda: told(busy, "taking over what dead processes ran"))
        frozen.thaw()
        flows.eventually(lambda: oracle.times("o-two") == 2)
        oracle.go_on()
        assert flows.until(other)["status"] == "completed"
        flows.until(begun)
        history = has_paid_once(flows, begun, ["n0", "n1", "n2"])
        assert history.cut_off == {"n1": 1}
        assert oracle.asked == {"o-one": 1, "o-two WAIT": 2, "o-three": 1, "x-one KEEP": 1}
        assert not [line for line in frozen.lines() if line["level"] == "error"]


def test_a_worker_takes_as_many_as_it_may_whatever_its_neighbour_may(
    oracle: Oracle, database: str, tmp_path: Path
) -> None:
    with a_fleet(tmp_path, oracle, database, lease=NEVER) as fleet:
        flows = fleet.flows
        flows.save(prompts("crowd", "q-{{ input.number }} WAIT", input_schema={"properties": {"number": {}}}))
        oracle.hold("WAIT")
        one = fleet.worker(STEELYARD_WORKFLOWS_CONCURRENCY="1")
        two = fleet.worker(STEELYARD_WORKFLOWS_CONCURRENCY="2")
        begun = [flows.begin("crowd", {"number": number}) for number in range(12)]
        flows.eventually(lambda: (len(fleet.asked_by(one)), len(fleet.asked_by(two))) == (1, 2))
        oracle.go_on()
        for each in begun:
            flows.until(each)
            has_paid_once(flows, each, ["n0"])
        assert oracle.most_at_once == 3


# Asked to leave


def test_what_a_worker_ran_goes_on_in_its_neighbour_as_soon_as_it_leaves(
    oracle: Oracle, database: str, tmp_path: Path
) -> None:
    with a_fleet(tmp_path, oracle, database, lease=NEVER) as fleet:
        flows = fleet.flows
        flows.save(prompts("left", "e-one", "e-two WAIT", "e-three"))
        oracle.hold("WAIT")
        leaving = fleet.worker()
        begun = [flows.begin("left") for _ in range(3)]
        flows.eventually(lambda: oracle.times("e-two") == 3)
        staying = fleet.worker()
        leaving.terminate()
        assert leaving.process is not None
        assert leaving.process.wait(30) == 0, leaving.said.read_text()
        flows.eventually(lambda: len(fleet.asked_by(staying)) == 3)
        oracle.go_on()
        for one in begun:
            flows.until(one)
            has_paid_once(flows, one, ["n0", "n1", "n2"])
        assert oracle.asked == {"e-one": 3, "e-two WAIT": 6, "e-three": 3}
        assert "Traceback" not in leaving.said.read_text()


# A provider that fails for good


def test_a_step_that_fails_for_good_tells_its_attempts_and_all_that_succeeded_is_saved(
    oracle: Oracle, database: str, tmp_path: Path
) -> None:
    made = prompts("broken", "f-bad", "f-one WAIT", "f-two", "f-after", "f-last", chain=False)
    made["edges"] = [
        {"source": "n0", "target": "n3"},
        {"source": "n1", "target": "n4"},
        {"source": "n3", "target": "n4"},
    ]
    with flows_in(tmp_path, oracle, DATABASE_URL=database, STEP_EXECUTION_RETRY_COUNT="1") as flows:
        flows.save(made)
        oracle.fail("f-bad", status=503)
        oracle.hold("WAIT")
        begun = flows.begin("broken")
        flows.eventually(lambda: "step.failed" in flows.types(begun))
        # What runs beside it comes to its end, and is kept.
        assert flows.get(begun)["status"] == "running"
        oracle.go_on()
        failed = flows.until(begun)
        assert failed["status"] == "failed"
        assert states(failed) == {
            "n0": "failed",
            "n1": "succeeded",
            "n2": "succeeded",
            "n3": "pending",
            "n4": "pending",
        }
        step = next(one for one in flows.steps(begun) if one["node_id"] == "n0")
        attempts = step["error"]["attempts"]
        assert {one["tried"] for one in attempts} == {1, 2}
        assert {(one["provider"], one["model"], one["status"]) for one in attempts} == {("oracle", "sage", 503)}
        assert all("I will not say." in one["message"] for one in attempts)
        assert len(attempts) == oracle.times("f-bad")
        assert failed["error"] == step["error"]
        told = [one["data"]["error"]["attempts"] for one in flows.events(begun) if one["type"] == "step.retrying"]
        assert told == [[one for one in attempts if one["tried"] == 1]]
        # The provider is well again.
        oracle.fail()
        before = oracle.times("f-bad")
        answer = flows.call("POST", f"/api/executions/{begun}/resume")
        assert (answer.status, answer.json["saved_calls"]) == (202, 2)
        done = flows.until(begun)
        assert (done["status"], done["error"]) == ("completed", None)
        assert {key: oracle.times(f"f-{key}") for key in ("one", "two", "after", "last")} == dict.fromkeys(
            ("one", "two", "after", "last"), 1
        )
        assert oracle.times("f-bad") == before + 1
        assert done["cost_usd"] == pytest.approx(5 * CALL_USD)


# The database leaves


def test_executions_go_on_after_a_restart_of_the_database(oracle: Oracle, tmp_path: Path) -> None:
    with a_postgres() as postgres, a_fleet(tmp_path, oracle, postgres("restarted"), lease=NEVER) as fleet:
        flows = fleet.flows
        flows.save(prompts("restarted", "d-one", "d-two WAIT", "d-three", "d-four"))
        oracle.hold("WAIT")
        workers = [fleet.worker(), fleet.worker()]
        begun = [flows.begin("restarted") for _ in range(6)]
        flows.eventually(lambda: oracle.times("d-two") == 6)
        postgres.stop()
        # What was being asked is answered while nobody can keep it.
        oracle.go_on()
        flows.eventually(lambda: oracle.answered["d-two WAIT"] == 6)
        for worker in workers:
            if fleet.has_asked(worker):
                flows.eventually(lambda worker=worker: told(worker, "an execution waits for the database"))
        postgres.start()
        # Whoever serves finds its connections broken, and opens others.
        flows.eventually(lambda: flows.call("GET", f"/api/executions/{begun[0]}").status == 200)
        for one in begun:
            flows.until(one)
            has_paid_once(flows, one, [f"n{number}" for number in range(4)])
        assert oracle.asked == {"d-one": 6, "d-two WAIT": 6, "d-three": 6, "d-four": 6}


@pytest.fixture
def address(postgres: Postgres) -> URL:
    return parse_url(postgres("cut"))


async def test_executions_go_on_when_all_connections_of_their_workers_are_cut(
    oracle: Oracle, address: URL, tmp_path: Path
) -> None:
    socket = f"{address.query['host']}/.s.PGSQL.{address.port or 5432}"
    proxy = Proxy(lambda: asyncio.open_unix_connection(socket))
    await proxy.listen()
    by_way_of = address.difference_update_query(["host"]).set(host="127.0.0.1", port=proxy.port)

    def run(call: Callable[[Callable[[str], None]], None]) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()

        def of_the_proxy(what: str) -> None:
            asyncio.run_coroutine_threadsafe(getattr(proxy, what)(), loop).result(30)

        return asyncio.ensure_future(asyncio.to_thread(call, of_the_proxy))

    def cutting(of_the_proxy: Callable[[str], None]) -> None:
        direct = address.render_as_string(hide_password=False)
        with a_fleet(tmp_path, oracle, direct, lease=NEVER) as fleet:
            flows = fleet.flows
            flows.save(prompts("cut", *(f"c-{number} WAIT{number}" for number in range(4))))
            oracle.hold(*(f"WAIT{number}" for number in range(4)))
            fleet.worker(DATABASE_URL=by_way_of.render_as_string(hide_password=False))
            begun = [flows.begin("cut") for _ in range(4)]
            for number in range(4):
                flows.eventually(lambda number=number: oracle.times(f"c-{number}") == 4)
                of_the_proxy("cut")
                oracle.go_on(f"WAIT{number}")
                flows.eventually(lambda number=number: oracle.answered[f"c-{number} WAIT{number}"] == 4)
                of_the_proxy("heal")
            for one in begun:
                flows.until(one)
                has_paid_once(flows, one, [f"n{number}" for number in range(4)])
            assert set(oracle.asked.values()) == {4}

    try:
        await run(cutting)
    finally:
        await proxy.close()
