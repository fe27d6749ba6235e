"""Workflows, tools, and what people and the judge say of answers."""

from __future__ import annotations

from gateway.metrics.buckets import LONG, SECONDS
from gateway.metrics.registry import Registry


class Flows(Registry):
    """See the module."""

    def __init__(self, *, shared_dir: str | None = None) -> None:
        """See `Registry`."""
        super().__init__(shared_dir=shared_dir)
        self._count_workflows()
        self._about("Tools")
        self.mcp_state = self._gauge(
            "steelyard_mcp_server_state",
            "MCP servers by state: disabled, stopped, starting, running or failed.",
            "server",
            "state",
        )
        self.mcp_calls = self._counter(
            "steelyard_mcp_calls_total", "Calls of MCP servers' tools, by how they ended.", "server", "tool", "outcome"
        )
        self.mcp_duration = self._histogram(
            "steelyard_mcp_call_duration_seconds", "Calls of MCP servers' tools.", SECONDS, "server"
        )
        self._about("Quality")
        self.feedback = self._counter(
            "steelyard_feedback_total", "New votes on answers, by whose they are: caller or judge.", "source"
        )
        self.judged = self._counter(
            "steelyard_judge_total",
            "Answers sampled for the judge: graded, unreadable, unfit, dropped, over_budget or failed.",
            "outcome",
        )

    def _count_workflows(self) -> None:
        self._about("Workflows")
        self.executions = self._counter(
            "steelyard_workflow_executions_total", "Executions of workflows that ended, by how.", "status"
        )
        self.execution_duration = self._histogram(
            "steelyard_workflow_execution_duration_seconds",
            "Executions that ended, from their first start, waiting included.",
            LONG,
            "status",
        )
        self.live_executions = self._gauge(
            "steelyard_workflow_live_executions",
            "Executions that have not ended, by state; those that are pending are the queue.",
            "status",
            workers="livemostrecent",
        )
        self.oldest_execution = self._gauge(
            "steelyard_workflow_oldest_seconds",
            "Age of the oldest execution that is pending, running or waiting; 0 without any.",
            "status",
            workers="livemostrecent",
        )
        self.steps = self._counter(
            "steelyard_workflow_steps_total", "Steps, items of maps included, by kind and outcome.", "kind", "outcome"
        )
        self.step_duration = self._histogram(
            "steelyard_workflow_step_duration_seconds", "Last tries of steps that succeeded or failed.", LONG, "kind"
        )
        self.schedule_times = self._counter(
            "steelyard_workflow_schedule_times_total", "Times of schedules that came: held or missed.", "outcome"
        )
        self.takeovers = self._counter(
            "steelyard_workflow_takeovers_total",
            "What was taken over here: processes that died or left, and attempts that nobody had begun.",
            "what",
        )
