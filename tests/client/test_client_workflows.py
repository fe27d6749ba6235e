"""Workflows by the client on a running gateway: saved, run, followed, decided upon, stopped, taken up again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from steelyard_client import Conflict, Invalid, NotFound
from tests.acceptance.driving import OPENAI
from tests.client.conforming import departures
from tests.client.either import Either, described
from tests.serving import until

GATED: dict[str, Any] = {
    "slug": "gated",
    "name": "Gated",
    "input_schema": {"type": "object", "required": ["topic"], "properties": {"topic": {"type": "string"}}},
    "nodes": {
        "say": {"type": "prompt", "prompt": "Say something of {{ input.topic }}", "model": OPENAI},
        "gate": {"type": "approval", "message": "Is it good?"},
        "end": {"type": "template", "template": "{{ nodes.say.output.text }}!"},
    },
    "edges": [{"source": "say", "target": "gate"}, {"source": "gate", "target": "end"}],
    "outputs": {"said": "{{ nodes.end.output.text }}"},
}
PLAIN: dict[str, Any] = {"slug": "plain", "name": "Plain", "nodes": {"one": {"type": "template", "template": "1"}}}
YAML = "slug: plain-yaml\nname: Plain\nnodes:\n  one: {type: template, template: hello}\n"


@pytest.fixture
def ask(steelyard: Either) -> Any:
    """Calls whose answers are what they promise."""

    def asked(name: str, *args: Any, **kwargs: Any) -> Any:
        answer = steelyard.call(name, *args, **kwargs)
        kinds = described(name)
        assert not list(departures(answer, kinds.answer)) or any(
            not list(departures(answer, kind)) for kind in kinds.answers.values()
        ), list(departures(answer, kinds.answer))
        return answer

    return asked


def waiting(ask: Any) -> str:
    """An execution that waits for a decision."""
    ask("save_workflow", "gated", GATED)
    begun = ask("execute_workflow", "gated", {"topic": "tea"}).execution_id
    until(lambda: ask("get_execution_status", begun).status == "waiting", within=30)
    return begun


def test_a_definition_is_saved_read_checked_and_deleted(ask: Any) -> None:
    saved = ask("save_workflow", "gated", GATED)
    assert ask("save_workflow", "gated", GATED).version == saved.version
    assert ask("get_workflow", "gated", version=saved.version).definition["name"] == "Gated"
    assert ask("save_workflow", "plain-yaml", YAML).slug == "plain-yaml"
    assert "gated" in {one.slug for one in ask("list_workflows", limit=100).workflows}
    assert ask("list_workflow_versions", "gated").versions[-1].version == 1
    assert ask("validate_workflow_input", "gated", {"topic": "tea"}).valid
    assert ask("validate_workflow_input", "gated").problems
    assert [one.key for one in ask("get_workflow_steps", "gated").steps] == ["say", "gate", "end"]
    assert ask("get_workflow_step", "gated", 2).key == ask("get_workflow_step", "gated", "gate").key == "gate"
    assert "<svg" in ask("get_workflow_graph", "gated")
    assert "say" in ask("get_workflow_graph", "gated", format="mermaid")
    with pytest.raises(Conflict):
        ask("create_workflow", GATED)
    ask("delete_workflow", "plain-yaml", force=True)
    with pytest.raises(NotFound):
        ask("get_workflow", "plain-yaml")


def test_all_that_is_wrong_is_told_with_its_path(ask: Any) -> None:
    with pytest.raises(Invalid) as caught:
        ask("save_workflow", "gated", {**GATED, "edges": [{"source": "say", "target": "nobody"}]})
    assert caught.value.problems[0]["path"].startswith("$.edges")
    ask("save_workflow", "gated", GATED)
    with pytest.raises(Invalid):
        ask("execute_workflow", "gated", {"wrong": 1})


def test_an_execution_waits_is_approved_and_ends(ask: Any, steelyard: Either) -> None:
    begun = waiting(ask)
    assert any(one.execution_id == begun for one in ask("list_active_steps").steps)
    steps = {one.node_id: one for one in ask("get_execution_steps", begun).steps}
    assert ask("get_step_execution", steps["say"].step_execution_id).output == steps["say"].output
    ask("approve", begun, "approve")
    events = steelyard.events("watch", begun)
    assert events[-1].type == "execution.completed"
    assert [one.seq for one in events] == list(range(1, len(events) + 1))
    assert isinstance(events[0].at, datetime)
    done = ask("get_execution_status", begun)
    assert done.outputs["said"].endswith("!")
    assert done.node_states[0].provider == "sim-openai"
    assert {one.node_id for one in ask("get_node_executions", begun).steps} == {"say", "gate", "end"}
    assert ask("list_execution_events", begun, after=1, limit=1).events[0].seq == 2
    assert ask("list_executions", slug="gated", status="completed", limit=1).executions
    assert ask("list_checkpoints", workflow_slug="gated", limit=1).steps
    assert ask("step_execution_metrics").statuses["succeeded"]
    assert ask("get_workflow_analytics", "gated", start_date=datetime.now(UTC) - timedelta(hours=1)).runs
    with pytest.raises(Conflict):
        ask("approve", begun)


def test_an_execution_is_cancelled_resumed_and_retried(ask: Any) -> None:
    begun = waiting(ask)
    ask("cancel_execution", begun)
    until(lambda: ask("get_execution_status", begun).status == "cancelled", within=30)
    resumed = ask("resume_execution", begun)
    assert (resumed.attempt, resumed.saved_calls) == (2, 1)
    until(lambda: ask("get_execution_status", begun).status == "waiting", within=30)
    ask("approve", begun, "reject", node="gate")
    # Who rejects ends nothing by that: what comes after is skipped.
    until(lambda: ask("get_execution_status", begun).status == "completed", within=30)
    assert ask("retry_execution", begun, from_step="gate").attempt > 2


def test_a_step_is_cancelled(ask: Any) -> None:
    begun = waiting(ask)
    (gate,) = [one for one in ask("get_execution_steps", begun).steps if one.node_id == "gate"]
    ask("cancel_step_execution", gate.step_execution_id)
    until(lambda: ask("get_execution_status", begun).status == "failed", within=30)


def test_a_workflow_is_run_to_its_end_and_followed(ask: Any, steelyard: Either) -> None:
    ask("save_workflow", "plain", PLAIN)
    assert ask("run_workflow", "plain", wait=30).status == "completed"
    assert ask("execute_workflow", "plain", idempotency_key="once") == ask(
        "execute_workflow", "plain", idempotency_key="once"
    )
    events = steelyard.events("execute_workflow_stream", "plain")
    assert events[-1].type == "execution.completed"


def test_schedules_are_made_changed_run_and_deleted(ask: Any) -> None:
    ask("save_workflow", "plain", PLAIN)
    made = ask("create_schedule", "plain", "30 6 * * mon-fri", timezone="Europe/Berlin")
    assert made.next_times
    assert ask("update_schedule", made.schedule_id, enabled=False).enabled is False
    assert ask("get_schedule", made.schedule_id).cron == "30 6 * * mon-fri"
    assert ask("run_schedule_now", made.schedule_id).workflow_id == "plain"
    assert ask("list_schedules", "plain", limit=1).items
    ask("delete_schedule", made.schedule_id)
    with pytest.raises(NotFound):
        ask("get_schedule", made.schedule_id)


def test_tools_are_listed_and_called(ask: Any) -> None:
    assert [one.name for one in ask("mcp_servers").servers] == ["tools"]
    assert [one.name for one in ask("mcp_settings").servers] == ["tools"]
    names = [one.name for one in ask("mcp_tools", "tools").tools]
    assert "add" in names
    said = ask("execute_mcp_tool", "tools", "add", {"a": 2, "b": 3})
    assert (said.is_error, said.text) == (False, "5")
    assert [one.status for one in ask("mcp_status").servers] == ["running"]
    for call in (("mcp_tools", "nobody"), ("execute_mcp_tool", "nobody", "nothing", {})):
        with pytest.raises(NotFound):
            ask(*call)


def test_files_are_listed_downloaded_and_saved(steelyard: Either, ask: Any, tmp_path: Path) -> None:
    text = "report " * 20_000
    node = {"type": "template", "template": text, "artifact": {"name": "r.md", "media_type": "text/markdown"}}
    ask("save_workflow", "files", {"slug": "files", "name": "Files", "nodes": {"one": node}})
    done = ask("run_workflow", "files").execution_id
    (one,) = ask("list_artifacts", done, limit=10).artifacts
    assert (one.name, one.media_type, one.size) == ("r.md", "text/markdown; charset=utf-8", len(text))
    assert ask("get_artifact", done, one.artifact_id).sha256 == one.sha256
    assert steelyard.call("download_artifact", done, one.artifact_id) == text.encode()
    place = tmp_path / "saved.md"
    place.write_text("what was there")
    assert steelyard.call("save_artifact", done, one.artifact_id, str(place)) == place
    assert place.read_text() == text
    with pytest.raises(NotFound):
        steelyard.call("save_artifact", done, "artifact_none", tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["saved.md"]
