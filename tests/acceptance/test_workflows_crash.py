"""Gateways that die, stop and start again: each node succeeds once, and no answered call is paid twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.acceptance.flows import Flows, Json, Oracle, a_postgres, an_oracle, flows_in, prompts, states


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


def succeeded(flows: Flows, execution_id: str) -> Counter[str]:
    """How often each node and item has succeeded, by the events."""
    return Counter(
        f"{one['node_id']}/{one['data'].get('item', '')}"
        for one in flows.events(execution_id)
        if one["type"] == "step.succeeded"
    )


def no_gaps(flows: Flows, execution_id: str) -> None:
    numbers = [one["seq"] for one in flows.events(execution_id)]
    assert numbers == list(range(1, len(numbers) + 1))


def diamond(slug: str) -> Json:
    """Four nodes of which two run side by side, the second of them slowly."""
    made = prompts(slug, "k-start", "k-quick", "k-slow WAIT", "k-end", chain=False)
    pairs = [("n0", "n1"), ("n0", "n2"), ("n1", "n3"), ("n2", "n3")]
    made["edges"] = [{"source": source, "target": target} for source, target in pairs]
    made["outputs"] = {"all": "{{ nodes.n0.output.text }} {{ nodes.n1.output.text }} {{ nodes.n2.output.text }}"}
    return made


def test_what_had_succeeded_before_a_kill_is_not_asked_again(
    oracle: Oracle, database: dict[str, str], tmp_path: Path
) -> None:
    with flows_in(tmp_path, oracle, **database) as flows:
        flows.save(diamond("killed"))
        oracle.hold("WAIT")
        begun = flows.begin("killed")
        flows.eventually(lambda: flows.types(begun).count("step.succeeded") == 2)
        flows.eventually(lambda: oracle.times("k-slow") == 1)
        flows.program.kill()
        oracle.go_on()
        flows.program.start()
        done = flows.until(begun)
        assert done["status"] == "completed", done["error"]
        assert done["attempt"] == 1
        assert done["outputs"] == {"all": "<k-start> <k-quick> <k-slow WAIT>"}
        assert succeeded(flows, begun) == {f"n{n}/": 1 for n in range(4)}
        assert oracle.asked == {"k-start": 1, "k-quick": 1, "k-slow WAIT": 2, "k-end": 1}
        no_gaps(flows, begun)
        # What was cut off was not answered, hence not paid.
        assert done["cost_usd"] == pytest.approx(4 * 15e-6)


def test_the_next_start_on_its_machine_does_not_wait_for_a_dead_ones_lease(oracle: Oracle, tmp_path: Path) -> None:
    with flows_in(tmp_path, oracle, WORKER_LEASE_SECONDS="3600") as flows:
        flows.save(diamond("killed"))
        oracle.hold("WAIT")
        begun = flows.begin("killed")
        flows.eventually(lambda: oracle.times("k-slow") == 1)
        flows.program.kill()
        oracle.go_on()
        flows.program.start()
        assert flows.until(begun)["status"] == "completed"
        assert set(succeeded(flows, begun).values()) == {1}


def test_items_of_a_map_that_had_succeeded_are_not_asked_again(
    oracle: Oracle, database: dict[str, str], tmp_path: Path
) -> None:
    inner = {"type": "prompt", "prompt": "m-{{ item }}", "cache": False}
    node = {"type": "map", "over": "input.items", "node": inner, "parallel": 2}
    schema = {"properties": {"items": {"type": "array"}}}
    with flows_in(tmp_path, oracle, **database) as flows:
        flows.save({"slug": "mapped", "name": "m", "input_schema": schema, "nodes": {"all": node}})
        items = ["a", "b", "c WAIT", "d", "e", "f WAIT", "g"]
        oracle.hold("WAIT")
        begun = flows.begin("mapped", {"items": items})
        flows.eventually(lambda: oracle.at_once == 2)
        before = {one["item"] for one in flows.steps(begun) if one["status"] == "succeeded"}
        flows.program.kill()
        oracle.go_on()
        flows.program.start()
        done = flows.until(begun)
        assert done["status"] == "completed", done["error"]
        assert [one["text"] for one in done["outputs"]["all"]["items"]] == [f"<m-{item}>" for item in items]
        assert before == {0, 1, 3, 4}
        assert {item: oracle.asked[f"m-{item}"] for item in items} == {
            item: 2 if "WAIT" in item else 1 for item in items
        }
        assert set(succeeded(flows, begun).values()) == {1}


def test_a_request_is_sent_again_under_the_same_name(oracle: Oracle, tmp_path: Path) -> None:
    port = oracle.server.server_port
    body = {"messages": [{"content": "h-one WAIT"}]}
    node = {"type": "http", "method": "POST", "url": f"http://127.0.0.1:{port}/v1/x", "body": body, "retries": 0}
    with flows_in(tmp_path, oracle, STEELYARD_WORKFLOWS_HTTP_HOSTS=f"127.0.0.1:{port}") as flows:
        flows.save({"slug": "sends", "name": "s", "nodes": {"send": node}})
        oracle.hold("WAIT")
        begun = flows.begin("sends")
        flows.eventually(lambda: oracle.times("h-one") == 1)
        flows.program.kill()
        oracle.go_on()
        flows.program.start()
        done = flows.until(begun)
        assert done["status"] == "completed", done["error"]
        first, second = oracle.idempotency_keys["h-one WAIT"]
        assert first == second
        # Run anew it is another request, by another name.
        flows.call("POST", f"/api/executions/{begun}/retry", {})
        flows.eventually(lambda: oracle.times("h-one") == 3)
        assert oracle.idempotency_keys["h-one WAIT"][2] != first


def test_an_approval_outlasts_a_restart(oracle: Oracle, database: dict[str, str], tmp_path: Path) -> None:
    made = prompts("approved", "p-before", "p-after", chain=False)
    made["nodes"]["ok"] = {"type": "approval", "message": "Go on?"}
    made["edges"] = [{"source": "n0", "target": "ok"}, {"source": "ok", "target": "n1"}]
    with flows_in(tmp_path, oracle, **database) as flows:
        flows.save(made)
        begun = flows.begin("approved")
        flows.until(begun, "waiting")
        flows.program.terminate()
        assert flows.program.process is not None
        assert flows.program.process.wait(30) == 0, flows.program.said.read_text()
        flows.program.start()
        assert states(flows.get(begun)) == {"n0": "succeeded", "ok": "waiting", "n1": "pending"}
        answer = flows.call("POST", f"/api/executions/{begun}/approve", {"decision": "approve"})
        assert answer.status == 200
        done = flows.until(begun)
        assert done["status"] == "completed", done["error"]
        assert oracle.asked == {"p-before": 1, "p-after": 1}
        no_gaps(flows, begun)
        assert not [line for line in flows.program.lines() if line["level"] == "error"]


def test_a_kind_stop_leaves_what_runs_for_the_next_start(oracle: Oracle, tmp_path: Path) -> None:
    with flows_in(tmp_path, oracle) as flows:
        flows.save(prompts("stopped", "s-one", "s-two WAIT", "s-three"))
        oracle.hold("WAIT")
        begun = flows.begin("stopped")
        flows.eventually(lambda: oracle.times("s-two") == 1)
        flows.program.terminate()
        assert flows.program.process is not None
        assert flows.program.process.wait(30) == 0, flows.program.said.read_text()
        oracle.go_on()
        flows.program.start()
        done = flows.until(begun)
        assert done["status"] == "completed", done["error"]
        assert oracle.asked == {"s-one": 1, "s-two WAIT": 2, "s-three": 1}
        assert set(succeeded(flows, begun).values()) == {1}


def test_an_execution_goes_on_by_the_new_settings_after_a_reload(oracle: Oracle, tmp_path: Path) -> None:
    with flows_in(tmp_path, oracle) as flows:
        flows.save(prompts("reloaded", "r-one WAIT", "r-two"))
        oracle.hold("WAIT")
        begun = flows.begin("reloaded")
        flows.eventually(lambda: oracle.times("r-one") == 1)
        flows.program.hang_up()
        flows.eventually(lambda: flows.program.told("reloaded"))
        oracle.go_on()
        done = flows.until(begun)
        assert done["status"] == "completed", done["error"]
        # What was being asked was neither cut off nor asked twice.
        assert oracle.asked == {"r-one WAIT": 1, "r-two": 1}
        assert flows.run("reloaded")["status"] == "completed"
        assert flows.call("GET", "/api/health").json["services"]["workflows"]["executors"] == 1
        flows.program.terminate()
        assert flows.program.process is not None
        assert flows.program.process.wait(30) == 0
        assert not [line for line in flows.program.lines() if line["level"] == "error"]


def test_another_server_takes_over_what_a_dead_one_ran(
    oracle: Oracle, postgres: Callable[[str], str], tmp_path: Path
) -> None:
    url = postgres("two_servers")
    with (
        flows_in(tmp_path / "one", oracle, DATABASE_URL=url) as one,
        flows_in(tmp_path / "two", oracle, DATABASE_URL=url, STEELYARD_WORKFLOWS_RUN="false") as two,
    ):
        one.save(diamond("taken"))
        oracle.hold("WAIT")
        begun = [two.begin("taken") for _ in range(3)]  # by the one that runs none
        two.eventually(lambda: oracle.times("k-slow") == 3)
        two.eventually(lambda: sum(two.types(each).count("step.succeeded") for each in begun) == 6)
        with flows_in(tmp_path / "three", oracle, DATABASE_URL=url) as three:
            one.program.kill()
            oracle.go_on()
            for each in begun:
                done = three.until(each)
                assert done["status"] == "completed", done["error"]
                assert succeeded(three, each) == {f"n{n}/": 1 for n in range(4)}
                no_gaps(three, each)
            assert oracle.asked == {"k-start": 3, "k-quick": 3, "k-slow WAIT": 6, "k-end": 3}
            told = three.call("GET", "/api/health").json["services"]["workflows"]
            assert (told["executors"], told["running"], told["pending"]) == (1, 0, 0)


def test_what_was_asked_for_while_nobody_could_run_it_is_run_later(
    oracle: Oracle, postgres: Callable[[str], str], tmp_path: Path
) -> None:
    url = postgres("nobody")
    with flows_in(tmp_path / "asks", oracle, DATABASE_URL=url, STEELYARD_WORKFLOWS_RUN="false") as asks:
        asks.save(prompts("later", "later"))
        begun = asks.begin("later")
        told = asks.call("GET", "/api/health").json
        assert told["services"]["workflows"]["status"] == "degraded"
        with flows_in(tmp_path / "runs", oracle, DATABASE_URL=url) as runs:
            assert runs.until(begun)["status"] == "completed"
        assert oracle.asked == {"later": 1}


def test_a_replica_that_nobody_asks_helps_as_soon_as_there_are_workflows(
    oracle: Oracle, postgres: Callable[[str], str], tmp_path: Path
) -> None:
    url = postgres("idle")
    with (
        flows_in(tmp_path / "asks", oracle, DATABASE_URL=url, STEELYARD_WORKFLOWS_RUN="false") as asks,
        flows_in(tmp_path / "idle", oracle, DATABASE_URL=url) as idle,
    ):
        assert idle.call("GET", "/api/health").json["services"].get("workflows") is None
        asks.save(prompts("helped", "helped"))
        assert asks.until(asks.begin("helped"))["status"] == "completed"
        assert oracle.asked == {"helped": 1}
        assert idle.call("GET", "/api/health").json["services"]["workflows"]["executors"] == 1
