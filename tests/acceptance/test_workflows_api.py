"""Workflows over HTTP: defined, executed, limited, stopped, taken up again; and seen by nobody else."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, BOB_KEY
from tests.acceptance.flows import CALL_USD, REVIEW, Flows, Json, an_oracle, flows_in, prompts, states


@pytest.fixture(scope="module")
def flows(tmp_path_factory: pytest.TempPathFactory) -> Generator[Flows]:
    with an_oracle() as oracle, flows_in(tmp_path_factory.mktemp("flows"), oracle) as made:
        yield made


@pytest.fixture(autouse=True)
def _calm(flows: Flows) -> Generator[None]:
    yield
    flows.oracle.fail()
    flows.oracle.go_on()


# Definitions


def test_the_example_of_the_design_runs_to_its_end(flows: Flows) -> None:
    flows.save(REVIEW)
    done = flows.run("plan-review", {"topic": "oolong"})  # of which no other test has cached the answers
    assert done["status"] == "completed", done
    draft = "<Write a plan for oolong>"
    judged = f"Judge it. Risks: <Name the risks of: {draft}> Costs: <Estimate the cost of: {draft}>"
    assert done["outputs"] == {"verdict": f"<{judged}>"}
    assert (done["progress_percent"], done["completed_nodes"], done["total_nodes"]) == (100.0, 4, 4)
    assert [one["node_id"] for one in done["node_states"]] == ["draft", "risks", "costs", "verdict"]
    assert set(states(done).values()) == {"succeeded"}
    assert done["cost_usd"] == pytest.approx(4 * CALL_USD)
    assert (done["input_tokens"], done["output_tokens"]) == (12, 12)
    assert done["node_states"][0]["provider"] == "oracle"
    steps = {one["node_id"]: one for one in flows.steps(done["execution_id"])}
    asked = steps["draft"]["request_ids"][0]
    record = flows.eventually(
        lambda: flows.call("GET", f"/api/db/requests/{asked}", key=ADMIN_KEY), lambda one: one.status == 200
    ).json
    assert record["surface"] == "workflow"
    assert record["key_name"] == "alice"
    assert record["tags"] == {"execution_id": done["execution_id"], "workflow": "plan-review", "node": "draft"}


def test_nodes_that_have_not_begun_are_pending(flows: Flows) -> None:
    flows.save(prompts("waits", "first WAIT", "second"))
    flows.oracle.hold("WAIT")
    begun = flows.begin("waits")
    seen = flows.eventually(lambda: flows.get(begun), lambda one: states(one)["n0"] == "running")
    assert states(seen) == {"n0": "running", "n1": "pending"}
    assert seen["progress_percent"] == 0
    assert seen["node_states"][1]["started_at"] is None
    active = flows.call("GET", "/api/step-executions").json["steps"]
    assert [one["node_id"] for one in active if one["execution_id"] == begun] == ["n0"]
    flows.oracle.go_on()
    assert flows.until(begun)["status"] == "completed"


def test_yaml_is_the_same_tree(flows: Flows) -> None:
    text = b"""
slug: from-yaml
name: From YAML
nodes:
  a: {type: prompt, prompt: "ask", on_error: branch, cache: false}
  b: {type: template, template: sorry}
edges:
  - {source: a, target: b, on: error}
"""
    path = "/api/workflows/from-yaml"
    saved = flows.call("PUT", path, text, key=ADMIN_KEY, content_type="application/yaml; charset=utf-8")
    assert saved.status == 200, saved.body
    edge = saved.json["definition"]["edges"][0]
    assert edge == {"source": "a", "target": "b", "on": "error"}
    twice = flows.call("PUT", path, b"a: 1\na: 2", key=ADMIN_KEY, content_type="application/yaml")
    assert twice.status == 400
    assert "Line 2" in twice.json["error"]["message"]
    assert flows.call("PUT", path, b"{", key=ADMIN_KEY).status == 400


def test_everything_that_is_wrong_is_told_at_once(flows: Flows) -> None:
    wrong: Json = {
        "slug": "wrong",
        "name": "Wrong",
        "nodes": {
            "a": {"type": "prompt", "prompt": "{{ input.nothing }} {{ nodes.c.output }}", "promt": "x"},
            "b": {"type": "promt"},
            "c": {"type": "map", "over": "input.list", "node": {"type": "approval", "message": "x"}},
        },
        "edges": [{"source": "a", "target": "nobody"}],
    }
    answer = flows.call("POST", "/api/workflows", wrong, key=ADMIN_KEY)
    assert answer.status == 422
    problems = {one["path"]: one["message"] for one in answer.json["error"]["problems"]}
    assert {"$.nodes.a.promt", "$.nodes.b.type", "$.nodes.c.node.type"} <= problems.keys()
    assert "did you mean 'prompt'?" in problems["$.nodes.b.type"]
    del wrong["nodes"]["a"]["promt"], wrong["nodes"]["b"], wrong["nodes"]["c"]
    answer = flows.call("POST", "/api/workflows", wrong, key=ADMIN_KEY)
    problems = {one["path"]: one["message"] for one in answer.json["error"]["problems"]}
    assert {"$.nodes.a.prompt", "$.edges[0].target"} <= problems.keys()


def test_objectives_and_workflows_within_it_must_be_there(flows: Flows) -> None:
    wrong: Json = {
        "slug": "wrong",
        "name": "Wrong",
        "nodes": {
            "a": {"type": "prompt", "prompt": "x", "objective": "nicest"},
            "b": {"type": "map", "over": "[]", "node": {"type": "prompt", "prompt": "x", "objective": "kindest"}},
        },
    }
    answer = flows.call("POST", "/api/workflows", wrong, key=ADMIN_KEY)
    assert answer.status == 422
    problems = {one["path"]: one["message"] for one in answer.json["error"]["problems"]}
    assert problems.keys() == {"$.nodes.a.objective", "$.nodes.b.node.objective"}
    assert "'nicest'. There are balanced, fastest, " in problems["$.nodes.a.objective"]
    inner = {"type": "workflow", "slug": "nobody"}
    wrong["nodes"] = {"a": inner, "b": {"type": "loop", "until": "true", "node": inner}}
    answer = flows.call("POST", "/api/workflows", wrong, key=ADMIN_KEY)
    paths = [one["path"] for one in answer.json["error"]["problems"]]
    assert paths == ["$.nodes.a.slug", "$.nodes.b.node.slug"]


def test_versions_never_change_and_executions_keep_theirs(flows: Flows) -> None:
    assert flows.call("POST", "/api/workflows", prompts("versions", "one"), key=ADMIN_KEY).status == 201
    again = flows.call("POST", "/api/workflows", prompts("versions", "one"), key=ADMIN_KEY)
    assert again.status == 409
    assert flows.save(prompts("versions", "one"))["changed"] is False
    second = flows.save(prompts("versions", "two"))
    assert (second["version"], second["changed"]) == (2, True)
    listed = flows.call("GET", "/api/workflows/versions/versions").json
    assert [one["version"] for one in listed["versions"]] == [2, 1]
    assert flows.run("versions")["outputs"]["n0"]["text"] == "<two>"
    assert flows.run("versions", version=1)["outputs"]["n0"]["text"] == "<one>"
    old = flows.call("GET", "/api/workflows/versions?version=1").json
    assert (old["version"], old["latest"]) == (1, 2)
    assert flows.call("GET", "/api/workflows/versions?version=3").status == 404


def test_a_deleted_workflow_begins_nothing_and_may_come_back(flows: Flows) -> None:
    flows.save(prompts("gone", "WAIT"))
    flows.oracle.hold("WAIT")
    begun = flows.begin("gone")
    assert flows.call("DELETE", "/api/workflows/gone", key=ADMIN_KEY).status == 409
    assert flows.call("DELETE", "/api/workflows/gone?force=true", key=ADMIN_KEY).status == 204
    assert flows.call("POST", "/api/workflows/gone/execute", {"inputs": {}}).status == 404
    assert flows.call("GET", "/api/workflows/gone").status == 404
    assert "gone" not in [one["slug"] for one in flows.call("GET", "/api/workflows").json["workflows"]]
    flows.oracle.go_on()
    assert flows.until(begun)["status"] == "completed"
    assert flows.save(prompts("gone", "WAIT"))["version"] == 2


def test_only_the_administrator_writes_definitions(flows: Flows) -> None:
    flows.save(prompts("guarded", "x"))
    for method, path in (
        ("POST", "/api/workflows"),
        ("PUT", "/api/workflows/guarded"),
        ("DELETE", "/api/workflows/guarded"),
    ):
        assert flows.call(method, path, prompts("guarded", "y")).status == 403
        assert flows.call(method, path, prompts("guarded", "y"), key=None).status == 401
    assert flows.call("GET", "/api/workflows/guarded").json["version"] == 1


def test_headers_of_a_definition_are_for_the_administrator(flows: Flows) -> None:
    secret = "Bearer very-secret"
    inner = {"type": "http", "url": "http://nowhere.test", "headers": {"authorization": secret}}
    node = {"type": "map", "over": "[1]", "node": inner}
    flows.save({"slug": "secretive", "name": "s", "nodes": {"a": inner, "m": node}})
    for path in ("", "/steps", "/steps/1", "/steps/m"):
        told = flows.call("GET", f"/api/workflows/secretive{path}")
        assert told.status == 200
        assert secret not in told.body.decode()
        assert secret in flows.call("GET", f"/api/workflows/secretive{path}", key=ADMIN_KEY).body.decode()
    failed = flows.run("secretive")
    assert failed["status"] == "failed"
    assert secret not in flows.program.said.read_text()


def test_a_slug_that_is_an_address_is_refused(flows: Flows) -> None:
    answer = flows.call("POST", "/api/workflows", prompts("plan", "x"), key=ADMIN_KEY)
    assert (answer.status, answer.json["error"]["problems"][0]["path"]) == (422, "$.slug")


def test_steps_and_pictures_of_a_definition(flows: Flows) -> None:
    flows.save(REVIEW)
    nodes = flows.call("GET", "/api/workflows/plan-review/steps").json["steps"]
    assert [(one["number"], one["key"], one["after"]) for one in nodes] == [
        (1, "draft", []),
        (2, "risks", ["draft"]),
        (3, "costs", ["draft"]),
        (4, "verdict", ["risks", "costs"]),
    ]
    assert flows.call("GET", "/api/workflows/plan-review/steps/4").json == nodes[3]
    assert flows.call("GET", "/api/workflows/plan-review/steps/verdict").json == nodes[3]
    assert flows.call("GET", "/api/workflows/plan-review/steps/5").status == 404
    done = flows.run("plan-review", {"topic": "tea"})["execution_id"]
    text = flows.call("GET", "/api/workflows/plan-review/graph?format=mermaid").body.decode()
    assert "draft --> risks" in text
    assert "fill:" not in text
    coloured = flows.call("GET", f"/api/workflows/plan-review/graph?format=mermaid&execution_id={done}")
    assert coloured.body.decode().count("fill:") == 4
    picture = flows.call("GET", "/api/workflows/plan-review/graph")
    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert picture.body.startswith(b"<svg")
    theirs = flows.call("GET", f"/api/workflows/plan-review/graph?execution_id={done}", key=BOB_KEY)
    assert theirs.status == 404


# Inputs


def test_inputs_that_do_not_follow_the_schema_begin_nothing(flows: Flows) -> None:
    flows.save(REVIEW)
    for inputs in ({}, {"topic": 3}):
        answer = flows.call("POST", "/api/workflows/plan-review/execute", {"inputs": inputs})
        assert answer.status == 422
        assert answer.json["error"]["code"] == "invalid_inputs"
        (problem,) = answer.json["error"]["problems"]
        assert problem["path"].startswith("$.inputs")
        checked = flows.call("POST", "/api/workflows/plan-review/validate-input", {"inputs": inputs})
        assert checked.json == {"valid": False, "problems": [problem]}
    good = flows.call("POST", "/api/workflows/plan-review/validate-input", {"inputs": {"topic": "x"}})
    assert good.json == {"valid": True, "problems": []}


# Execution


def test_whoever_waits_gets_the_whole_execution(flows: Flows) -> None:
    flows.save(prompts("quick", "quick"))
    answer = flows.call("POST", "/api/workflows/quick/execute?wait=30", {"inputs": {}})
    assert (answer.status, answer.json["status"]) == (200, "completed")
    assert answer.json["outputs"]["n0"]["text"] == "<quick>"
    flows.save(prompts("slow", "WAIT"))
    flows.oracle.hold("WAIT")
    answer = flows.call("POST", "/api/workflows/slow/execute?wait=0.2", {"inputs": {}})
    assert answer.status == 202
    assert answer.json.keys() == {"execution_id", "workflow_id", "version", "status", "started_at"}


def test_an_idempotency_key_begins_one_execution(flows: Flows) -> None:
    flows.save(prompts("once", "once"))
    path = "/api/workflows/once/execute"
    first, second = (flows.call("POST", path, {"inputs": {}}, Idempotency_Key="k1").json for _ in range(2))
    assert first["execution_id"] == second["execution_id"]
    other = flows.call("POST", path, {"inputs": {"x": 1}}, Idempotency_Key="k1")
    assert (other.status, other.json["error"]["code"]) == (409, "idempotency_key_reused")
    theirs = flows.call("POST", path, {"inputs": {}}, key=BOB_KEY, Idempotency_Key="k1").json
    assert theirs["execution_id"] != first["execution_id"]
    flows.until(first["execution_id"])
    assert len(flows.call("GET", "/api/executions?slug=once").json["executions"]) == 1


def test_an_idempotency_key_begins_one_version(flows: Flows) -> None:
    flows.save(prompts("dated", "before"))
    flows.save(prompts("dated", "after"))

    def begun(body: Json) -> int:
        return flows.call("POST", "/api/workflows/dated/execute", body, idempotency_key="dated-1").status

    assert [begun(body) for body in ({"version": 1}, {"version": 1}, {}, {"version": 2})] == [202, 202, 202, 409]


def test_another_key_sees_nothing_of_it(flows: Flows) -> None:
    flows.save(prompts("private", "private"))
    mine = flows.run("private")["execution_id"]
    step = flows.steps(mine)[0]["step_execution_id"]
    for method, path in (
        ("GET", f"/api/executions/{mine}"),
        ("GET", f"/api/executions/{mine}/steps"),
        ("GET", f"/api/executions/{mine}/node-executions"),
        ("GET", f"/api/executions/{mine}/events"),
        ("POST", f"/api/executions/{mine}/cancel"),
        ("POST", f"/api/executions/{mine}/resume"),
        ("GET", f"/api/step-executions/{step}"),
        ("POST", f"/api/step-executions/{step}/cancel"),
    ):
        assert flows.call(method, path, key=BOB_KEY).status == 404, path
        assert flows.call(method, path, key=None).status == 401, path
    retry = flows.call("POST", f"/api/executions/{mine}/retry", {}, key=BOB_KEY)
    approve = flows.call("POST", f"/api/executions/{mine}/approve", {"decision": "approve"}, key=BOB_KEY)
    assert (retry.status, approve.status) == (404, 404)
    for path in ("/api/executions?slug=private", "/api/checkpoints?workflow_slug=private"):
        theirs = flows.call("GET", path, key=BOB_KEY).body
        assert mine.encode() not in theirs
        assert mine.encode() in flows.call("GET", path).body
        assert mine.encode() in flows.call("GET", path, key=ADMIN_KEY).body
    path = "/api/workflows/private/analytics"
    assert flows.call("GET", path, key=BOB_KEY).json["runs"] == 0
    assert flows.call("GET", path).json["runs"] == 1


def test_listings_page_and_filter(flows: Flows) -> None:
    flows.save(prompts("many", "many"))
    begun = [flows.run("many")["execution_id"] for _ in range(5)]
    found: list[str] = []
    cursor = ""
    for _ in range(5):
        page = flows.call("GET", f"/api/executions?slug=many&limit=2{cursor}").json
        found += [one["execution_id"] for one in page["executions"]]
        if page["next_cursor"] is None:
            break
        cursor = "&cursor=" + page["next_cursor"].replace("+", "%2B")
    assert found == begun[::-1]
    assert flows.call("GET", "/api/executions?slug=many&status=failed").json["executions"] == []
    assert flows.call("GET", "/api/executions?slug=many&since=2999-01-01T00:00:00Z").json["executions"] == []
    assert flows.call("GET", "/api/executions?status=nonsense").status == 400
    assert flows.call("GET", "/api/executions?cursor=nonsense").status == 400
    first = flows.call("GET", "/api/checkpoints?workflow_slug=many&limit=3").json
    rest = flows.call("GET", f"/api/checkpoints?workflow_slug=many&limit=3&after={first['next_after']}").json
    assert [one["execution_id"] for one in first["steps"] + rest["steps"]] == begun[::-1]
    assert rest["next_after"] is None


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/workflows/many/execute", b'{"inputs": {"x": "\xff"}}', 400),
        ("POST", "/api/workflows/many/execute", b'{"inputs": {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", 400),
        ("POST", "/api/workflows/many/execute", b'{"budget_usd": 1e9}', 400),
        ("POST", "/api/workflows/many/execute", b'{"version": 99999999999}', 400),
        ("PUT", "/api/workflows/many", b'{"slug": "\xff"}', 400),
        ("PUT", "/api/workflows/many", b"[" * 100_000 + b"]" * 100_000, 400),
        ("PUT", "/api/workflows/many", b'"' + b"x" * 1_048_576 + b'"', 413),
        ("POST", "/api/schedules", b'{"workflow": "many", "cron": "@daily", "version": 99999999999}', 400),
        ("GET", "/api/workflows/many?version=99999999999", None, 400),
        ("GET", "/api/workflows/many/graph?version=99999999999999999999", None, 400),
        ("GET", "/api/executions/none/events?after=99999999999999999999", None, 400),
    ],
    ids=lambda one: repr(one)[:60],
)
def test_what_no_number_and_no_text_can_be_is_the_callers_mistake(
    flows: Flows, method: str, path: str, body: bytes | None, status: int
) -> None:
    flows.save(prompts("many", "of them"))
    answer = flows.call(method, path, body, key=ADMIN_KEY)
    assert (answer.status, answer.json["error"]["source"]) == (status, "caller")


def test_a_time_that_no_database_knows_is_later_than_all(flows: Flows) -> None:
    answer = flows.call("GET", "/api/executions?since=9999-12-31T23:59:59-23:00")
    assert (answer.status, answer.json["executions"]) == (200, [])


def test_a_budget_that_no_column_holds_is_no_budget(flows: Flows) -> None:
    answer = flows.call("POST", "/api/workflows", prompts("rich", "x", budget_usd=1e9), key=ADMIN_KEY)
    assert (answer.status, answer.json["error"]["problems"][0]["path"]) == (422, "$.budget_usd")


def test_analytics_add_up(flows: Flows) -> None:
    flows.save(prompts("counted", "counted", "BREAK"))
    flows.run("counted")
    flows.oracle.fail("BREAK")
    flows.run("counted")
    told = flows.call("GET", "/api/workflows/counted/analytics").json
    assert (told["runs"], told["statuses"], told["success_rate"]) == (2, {"completed": 1, "failed": 1}, 0.5)
    assert told["spent"]["cost_usd"] == pytest.approx(3 * CALL_USD)
    assert told["most_failing_steps"] == ["n1"]
    assert {one["node_id"]: (one["succeeded"], one["failed"]) for one in told["steps"]} == {"n0": (2, 0), "n1": (1, 1)}
    later = flows.call("GET", "/api/workflows/counted/analytics?start_date=2998-01-01&end_date=2999-01-01").json
    assert later["runs"] == 0
    today = told["end_date"][:10]
    path = f"/api/workflows/counted/analytics?end_date={today}&start_date="
    assert flows.call("GET", path + today).json["runs"] == 2  # the day itself is in
    assert flows.call("GET", path + "2000-01-01T00:00:00%2B01:00").json["runs"] == 2
    for wrong in ("2999-01-01", "yesterday", "0001-01-01"):
        assert flows.call("GET", path + wrong).status == 400
    counts = flows.call("GET", "/api/metrics/step-executions").json
    assert counts["statuses"]["failed"] >= 1
    assert counts["total"] == sum(counts["statuses"].values())


# Failing, stopping, going on


def test_resuming_pays_nothing_again_and_says_what_it_saved(flows: Flows) -> None:
    flows.save(prompts("resumed", "good one", "good two", "BAD"))
    flows.oracle.fail("BAD")
    failed = flows.run("resumed")
    assert failed["status"] == "failed"
    assert failed["error"]["node_id"] == "n2"
    assert "I will not say." in failed["error"]["message"]
    flows.oracle.fail()
    answer = flows.call("POST", f"/api/executions/{failed['execution_id']}/resume")
    assert (answer.status, answer.json["saved_calls"], answer.json["attempt"]) == (202, 2, 2)
    done = flows.until(failed["execution_id"])
    assert (done["status"], done["attempt"]) == ("completed", 2)
    assert [flows.oracle.times(text) for text in ("good one", "good two", "BAD")] == [1, 1, 2]
    assert done["cost_usd"] == pytest.approx(3 * CALL_USD)
    again = flows.call("POST", f"/api/executions/{failed['execution_id']}/resume")
    assert again.status == 409


def test_retrying_from_a_step_runs_it_and_what_follows_anew(flows: Flows) -> None:
    flows.save(prompts("retried", "r-one {{ input.x }}", "r-two {{ input.x }}", input_schema={"properties": {"x": {}}}))
    done = flows.run("retried", {"x": 1})
    path = f"/api/executions/{done['execution_id']}/retry"
    answer = flows.call("POST", path, {"from_step": "n1", "inputs": {"x": 2}})
    assert (answer.status, answer.json["saved_calls"]) == (202, 1)
    done = flows.until(done["execution_id"])
    assert done["inputs"] == {"x": 2}
    assert done["outputs"]["n1"]["text"] == "<r-two 2>"
    assert [flows.oracle.times(text) for text in ("r-one 1", "r-one 2", "r-two 1", "r-two 2")] == [1, 0, 1, 1]
    assert flows.call("POST", path, {"from_step": "nobody"}).status == 404
    assert flows.call("POST", path, {"version": 7}).status == 404


def test_cancelling_an_execution_stops_its_calls(flows: Flows) -> None:
    flows.save(prompts("cancelled", "c-one WAIT", "c-two"))
    flows.oracle.hold("WAIT")
    begun = flows.begin("cancelled")
    flows.eventually(lambda: flows.oracle.times("c-one") == 1)
    assert flows.call("POST", f"/api/executions/{begun}/cancel").status == 200
    done = flows.until(begun)
    assert done["status"] == "cancelled"
    assert states(done) == {"n0": "cancelled", "n1": "pending"}
    flows.oracle.go_on()
    assert flows.call("POST", f"/api/executions/{begun}/cancel").json["status"] == "cancelled"
    assert flows.call("POST", f"/api/executions/{begun}/resume").json["saved_calls"] == 0
    assert flows.until(begun)["status"] == "completed"


def test_what_an_administrator_does_with_anothers_step_is_told(flows: Flows) -> None:
    flows.save({"slug": "asking", "name": "a", "nodes": {"ask": {"type": "approval", "message": "Shall we?"}}})
    for key in (ADMIN_KEY, ALICE_KEY):
        begun = flows.begin("asking")
        flows.eventually(lambda begun=begun: [one["status"] for one in flows.steps(begun)] == ["waiting"])
        step = flows.steps(begun)[0]["step_execution_id"]
        assert flows.call("POST", f"/api/step-executions/{step}/cancel", key=key).status == 200
        acts = flows.call("GET", f"/api/audit?target={begun}", key=ADMIN_KEY).json["acts"]
        expected = [("step.cancel", "admin", {"attempt": 2, "step": step, "node": "ask"})]
        # With one's own everybody may do it.
        assert [(one["action"], one["actor"], one["after"]) for one in acts] == (expected if key == ADMIN_KEY else [])


def test_cancelling_a_step_lets_its_error_branch_go_on(flows: Flows) -> None:
    nodes = {
        "slow": {"type": "prompt", "prompt": "s-one WAIT", "cache": False, "on_error": "branch"},
        "instead": {"type": "prompt", "prompt": "instead", "cache": False},
    }
    edges = [{"source": "slow", "target": "instead", "on": "error"}]
    flows.save({"slug": "branches", "name": "b", "nodes": nodes, "edges": edges})
    flows.oracle.hold("WAIT")
    begun = flows.begin("branches")
    flows.eventually(lambda: flows.oracle.times("s-one") == 1)
    step = flows.steps(begun)[0]["step_execution_id"]
    assert flows.call("POST", f"/api/step-executions/{step}/cancel").status == 200
    done = flows.until(begun)
    assert done["status"] == "completed", done
    assert states(done) == {"slow": "cancelled", "instead": "succeeded"}
    assert flows.call("POST", f"/api/step-executions/{step}/cancel").status == 409
    shown = flows.call("GET", f"/api/step-executions/{step}").json
    assert (shown["status"], shown["error"]["type"]) == ("cancelled", "cancelled")


def test_a_deadline_ends_what_is_too_slow(flows: Flows) -> None:
    flows.save(prompts("late", "l-one WAIT", "l-two"))
    flows.oracle.hold("WAIT")
    done = flows.until(flows.begin("late", deadline=1.0))
    assert (done["status"], done["error"]["code"]) == ("failed", "deadline_exceeded")
    path = f"/api/executions/{done['execution_id']}/resume"
    assert flows.call("POST", path).status == 202
    # It has as long again, and no longer.
    again = flows.until(done["execution_id"])
    assert (again["status"], again["error"]["code"], again["attempt"]) == ("failed", "deadline_exceeded", 2)
    assert again["deadline_at"] > done["deadline_at"]
    flows.oracle.go_on()
    assert flows.call("POST", path, {"deadline": 0}).status == 400
    assert flows.call("POST", path, {"deadline": 600}).status == 202
    assert flows.until(done["execution_id"])["status"] == "completed"
    assert flows.call("POST", path.replace("resume", "retry"), {"deadline": 500}).status == 202
    assert flows.until(done["execution_id"])["status"] == "completed"


def test_a_budget_ends_before_it_is_exceeded(flows: Flows) -> None:
    dear = prompts("dear", *(f"d-{n}" for n in range(20)))
    for node in dear["nodes"].values():
        node["max_tokens"] = 3  # what an answer takes: nothing is known yet of how long they are
    flows.save(dear)
    done = flows.until(flows.begin("dear", budget_usd=5 * CALL_USD))
    assert (done["status"], done["error"]["code"]) == ("failed", "budget_exceeded")
    assert 0 < done["cost_usd"] <= 5 * CALL_USD
    assert flows.oracle.times("d-19") == 0


def test_a_map_asks_for_each_item_five_at_a_time(flows: Flows) -> None:
    inner = {"type": "prompt", "prompt": "item {{ item }} of map WAIT", "cache": False}
    node = {"type": "map", "over": "input.items", "node": inner, "parallel": 5}
    schema = {"properties": {"items": {"type": "array"}}}
    flows.save({"slug": "mapped", "name": "m", "input_schema": schema, "nodes": {"all": node}})
    flows.oracle.most_at_once = 0
    flows.oracle.hold("WAIT")
    begun = flows.begin("mapped", {"items": list(range(20))})
    flows.eventually(lambda: flows.oracle.at_once == 5)
    flows.oracle.go_on()
    done = flows.until(begun)
    assert done["status"] == "completed", done
    assert [one["text"] for one in done["outputs"]["all"]["items"]] == [f"<item {n} of map WAIT>" for n in range(20)]
    assert flows.oracle.most_at_once == 5
    assert flows.oracle.times("of map") == 20
    assert done["node_states"][0]["items"] == {"begun": 20, "succeeded": 20, "failed": 0}
    assert done["cost_usd"] == pytest.approx(20 * CALL_USD)
    items = [one["item"] for one in flows.steps(begun)]
    assert items == [None, *range(20)]


def test_a_workflow_within_a_workflow(flows: Flows) -> None:
    flows.save(prompts("inner", "inner {{ input.q }}", input_schema={"properties": {"q": {"type": "string"}}}))
    outer: Json = {
        "slug": "outer",
        "name": "o",
        "nodes": {
            "child": {"type": "workflow", "slug": "inner", "inputs": {"q": "why"}},
            "end": {"type": "template", "template": "{{ nodes.child.output.n0.text }}!"},
        },
        "edges": [{"source": "child", "target": "end"}],
    }
    flows.save(outer)
    done = flows.run("outer")
    assert done["status"] == "completed", done
    assert done["outputs"] == {"end": {"text": "<inner why>!"}}
    assert done["cost_usd"] == pytest.approx(CALL_USD)
    (child,) = flows.call("GET", f"/api/executions?parent_id={done['execution_id']}").json["executions"]
    assert (child["workflow_id"], child["status"], child["parent_node"]) == ("inner", "completed", "child")
    unknown = {**outer, "nodes": {**outer["nodes"], "child": {"type": "workflow", "slug": "no-such"}}}
    answer = flows.call("PUT", "/api/workflows/outer", unknown, key=ADMIN_KEY)
    assert (answer.status, answer.json["error"]["problems"][0]["path"]) == (422, "$.nodes.child.slug")


def test_cancelling_the_outer_workflow_cancels_the_inner(flows: Flows) -> None:
    flows.save(prompts("held", "held WAIT"))
    flows.save({"slug": "holding", "name": "h", "nodes": {"child": {"type": "workflow", "slug": "held"}}})
    flows.oracle.hold("WAIT")
    begun = flows.begin("holding")
    flows.eventually(lambda: flows.oracle.times("held WAIT") == 1)
    flows.call("POST", f"/api/executions/{begun}/cancel")
    assert flows.until(begun)["status"] == "cancelled"
    (child,) = flows.call("GET", f"/api/executions?parent_id={begun}").json["executions"]
    assert flows.until(child["execution_id"])["status"] == "cancelled"


def test_a_rejection_takes_the_other_branch(flows: Flows) -> None:
    nodes: dict[str, Any] = {
        "ok": {
            "type": "approval",
            "message": "Send it?",
            "payload": {"to": "{{ input.to }}"},
            "form_schema": {"type": "object", "required": ["why"], "properties": {"why": {"type": "string"}}},
        },
        "yes": {"type": "template", "template": "yes"},
        "no": {"type": "template", "template": "no, {{ nodes.ok.output.data.why }}"},
    }
    edges = [{"source": "ok", "target": "yes"}, {"source": "ok", "target": "no", "branch": "rejected"}]
    schema = {"properties": {"to": {"type": "string"}}}
    flows.save({"slug": "asked", "name": "a", "input_schema": schema, "nodes": nodes, "edges": edges})
    begun = flows.begin("asked", {"to": "all"})
    waiting = flows.until(begun, "waiting")
    assert waiting["node_states"][0]["waits_for"]["payload"] == {"to": "all"}
    path = f"/api/executions/{begun}/approve"
    bad = flows.call("POST", path, {"decision": "reject", "data": {}})
    assert (bad.status, bad.json["error"]["code"]) == (422, "invalid_data")
    answer = flows.call("POST", path, {"node": "ok", "decision": "reject", "data": {"why": "late"}})
    assert answer.status == 200
    assert answer.json["output"]["decided_by"] == "alice"
    assert flows.call("POST", path, {"decision": "approve", "data": {"why": "x"}}).status == 409
    done = flows.until(begun)
    assert states(done) == {"ok": "succeeded", "yes": "skipped", "no": "succeeded"}
    assert done["outputs"]["no"] == {"text": "no, late"}
    assert done["progress_percent"] == 100


# Beside


def test_health_tells_of_workflows(flows: Flows) -> None:
    flows.save(prompts("healthy", "WAIT"))
    flows.oracle.hold("WAIT")
    begun = flows.begin("healthy")
    flows.until(begun, "running")
    told = flows.call("GET", "/api/health").json["services"]["workflows"]
    assert (told["status"], told["executors"]) == ("healthy", 1)
    assert told["running"] >= 1


def test_what_is_not_there_is_told_when_it_is_saved(flows: Flows) -> None:
    ask = {"type": "prompt", "prompt": "q"}
    nodes: Json = {
        "tool": {"type": "tool", "server": "nobody", "tool": "x"},
        "tools": {"type": "map", "over": "[1]", "node": {"type": "tool", "server": "nowhere", "tool": "x"}},
        "why": ask | {"objective": "cheepest"},
        "child": {"type": "loop", "node": {"type": "workflow", "slug": "no-such-one"}, "until": "true"},
    }
    tree = {"slug": "lacking", "name": "l", "nodes": nodes}
    answer = flows.call("PUT", "/api/workflows/lacking", tree, key=ADMIN_KEY)
    assert (answer.status, answer.json["error"]["code"]) == (422, "invalid_definition")
    told = {one["path"]: one["message"] for one in answer.json["error"]["problems"]}
    assert set(told) == {
        "$.nodes.tool.server",
        "$.nodes.tools.node.server",
        "$.nodes.why.objective",
        "$.nodes.child.node.slug",
    }
    assert told["$.nodes.tool.server"].startswith("There is no MCP server 'nobody'.")
    nodes = {
        "who": ask | {"providers": ["oracle", "orakle"]},
        "what": {"type": "map", "over": "[1]", "node": ask | {"model": "saga"}},
        "well": ask | {"objective": "cheapest", "model": "oracle/sage", "strategy": "random"},
    }
    saved = flows.save({**tree, "nodes": nodes})
    warned = {one["path"]: one["message"] for one in saved["warnings"]}
    assert set(warned) == {"$.nodes.who.providers[1]", "$.nodes.what.node.model"}
    assert "Did you mean 'oracle'?" in warned["$.nodes.who.providers[1]"]
    assert saved["version"] == 1
    assert flows.call("GET", "/api/workflows/lacking").json["warnings"] == []
    assert flows.save(prompts("complete", "q"))["warnings"] == []


def test_metrics_tell_of_workflows(tmp_path: Path) -> None:
    with an_oracle() as oracle, flows_in(tmp_path, oracle) as flows:

        def told() -> dict[str, float]:
            text = flows.call("GET", "/metrics", key=ADMIN_KEY).body.decode()
            lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith("steelyard_workflow_")]
            return {name.removeprefix("steelyard_workflow_"): float(value) for name, _, value in lines}

        assert set(told().values()) == {0.0}
        flows.save(prompts("metered", "meter one", "meter two"))
        flows.run("metered")
        # Its end is kept, and so seen, a moment before it is counted.
        now = flows.eventually(told, lambda found: found['executions_total{status="completed"}'] > 0)
        assert now['executions_total{status="completed"}'] == 1.0
        assert now['execution_duration_seconds_count{status="completed"}'] == 1.0
        assert now['steps_total{kind="prompt",outcome="succeeded"}'] == 2.0
        assert now['step_duration_seconds_count{kind="prompt"}'] == 2.0
        flows.save(prompts("queued", "WAIT"))
        flows.oracle.hold("WAIT")
        flows.begin("queued")
        flows.eventually(lambda: told().get('live_executions{status="running"}') == 1.0)
        flows.eventually(lambda: told()['oldest_seconds{status="running"}'] > 0.0)
        assert told()['oldest_seconds{status="pending"}'] == 0.0


def test_a_gateway_without_workflows_says_nothing_of_them(tmp_path: Path) -> None:
    with an_oracle() as oracle, flows_in(tmp_path, oracle) as flows:
        assert "workflows" not in flows.call("GET", "/api/health").json["services"]
        flows.call("GET", "/api/workflows")
        assert flows.call("GET", "/api/health").json["services"]["workflows"]["pending"] == 0


def test_a_draft_is_checked_and_sent_back_once(flows: Flows) -> None:
    good = '{"slug":"drafted","name":"D","nodes":{"a":{"type":"prompt","prompt":"x"}}}'
    bad = '```json\n{"slug":"drafted","name":"D","nodes":{"a":{"type":"promt"}}}\n```'
    said = iter([bad, good, bad, bad])
    heard: list[str] = []

    def reply(question: str) -> str:
        if question != "Do it." and "$.nodes" not in question:
            # A prompt of an execution that another test has left behind.
            return f"<{question}>"
        heard.append(question)
        return next(said)

    flows.oracle.reply = reply
    try:
        answer = flows.call("POST", "/api/workflows/plan", {"goal": "Do it.", "model": "oracle/sage"})
        assert answer.status == 200, answer.body
        assert answer.json["definition"]["nodes"]["a"]["type"] == "prompt"
        assert (answer.json["tries"], len(answer.json["request_ids"])) == (2, 2)
        assert answer.json["cost_usd"] == pytest.approx(2 * CALL_USD)
        assert heard[0] == "Do it."
        assert "$.nodes.a.type" in heard[1]
        assert flows.call("GET", "/api/workflows/drafted").status == 404
        answer = flows.call("POST", "/api/workflows/plan", {"goal": "Do it.", "model": "oracle/sage"})
        assert (answer.status, answer.json["error"]["code"]) == (502, "draft_invalid")
        assert answer.json["error"]["problems"][0]["path"] == "$.nodes.a.type"
    finally:
        flows.oracle.reply = lambda question: f"<{question}>"


def test_the_example_of_the_documentation_can_be_saved_and_run(flows: Flows) -> None:
    text = (Path(__file__).parents[2] / "docs/workflows.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    # Its providers are not here.
    text = text.replace("[openai, anthropic]", "[oracle]")
    saved = flows.call(
        "PUT", "/api/workflows/plan-review", text.encode(), key=ADMIN_KEY, content_type="application/yaml"
    )
    assert saved.status == 200, saved.body
    assert flows.run("plan-review", {"topic": "a bicycle shop"})["outputs"]["verdict"].startswith("<Judge it.")


def test_every_address_of_the_documentation_is_there(flows: Flows) -> None:
    text = (Path(__file__).parents[2] / "docs/workflows.md").read_text()
    paths = flows.call("GET", "/openapi.json").json["paths"]
    of_workflows = [path for path in paths if path.startswith(("/api/workflows", "/api/executions", "/api/step-exec"))]
    assert len(of_workflows) > 15
    for path in of_workflows:
        last = [part for part in path.split("/") if not part.startswith("{")][-1]
        assert last in text, path
