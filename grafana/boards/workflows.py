"""Executions of workflows: how many wait, run and end, how long their steps take, and the tools they use."""

from __future__ import annotations

from grafana.boards.asking import gain, rate, within
from grafana.boards.drawing import Board, Panel, Query, Row


def _live(status: str) -> str:
    return f'max(steelyard_workflow_live_executions{{status="{status}"}})'


_LIVE = Row(
    "Now",
    [
        Panel("Running", "Executions.", "short", [Query(_live("running"))], "stat", 6, 4),
        Panel("Queued", "Executions that nobody runs yet.", "short", [Query(_live("pending"))], "stat", 6, 4),
        Panel("Waiting", "For a person, a time or a child.", "short", [Query(_live("waiting"))], "stat", 6, 4),
        Panel(
            "Oldest in the queue",
            "Above a quarter of an hour and growing, nobody takes executions.",
            "s",
            [Query('max(steelyard_workflow_oldest_seconds{status="pending"})')],
            "stat",
            6,
            4,
            steps=[(900, "orange"), (3600, "red")],
        ),
    ],
)
_EXECUTIONS = Row(
    "Executions",
    [
        Panel(
            "That have not ended",
            "By state, as the database has them.",
            "short",
            [Query("max by (status) (steelyard_workflow_live_executions)")],
            stacked=True,
        ),
        Panel(
            "Ended",
            "A minute. Processes that Prometheus does not scrape count for themselves.",
            "short",
            [Query(rate("steelyard_workflow_executions_total", "status") + " * 60")],
            stacked=True,
        ),
        Panel(
            "Duration, 95 % within",
            "From their first start, waiting included.",
            "s",
            [Query(within(0.95, "steelyard_workflow_execution_duration_seconds", "status"))],
        ),
        Panel(
            "Age of the oldest",
            "By state. Those that wait may do so for days.",
            "s",
            [Query("max by (status) (steelyard_workflow_oldest_seconds)")],
        ),
        Panel(
            "Times of schedules",
            "missed: no process that runs workflows was there in time.",
            "short",
            [Query(gain("steelyard_workflow_schedule_times_total", "outcome"))],
        ),
        Panel(
            "Taken over",
            "Executions of processes that died or left, and attempts that nobody had begun.",
            "short",
            [Query(gain("steelyard_workflow_takeovers_total", "what"))],
        ),
    ],
)
_STEPS = Row(
    "Steps and tools",
    [
        Panel(
            "Steps",
            "A minute, by kind and outcome; items of maps are steps.",
            "short",
            [Query(rate("steelyard_workflow_steps_total", "kind", "outcome") + " * 60")],
            stacked=True,
        ),
        Panel(
            "Steps, 95 % within",
            "Their last tries.",
            "s",
            [Query(within(0.95, "steelyard_workflow_step_duration_seconds", "kind"))],
        ),
        Panel(
            "What prompts of workflows come to",
            "Their requests, by outcome and what the cache had to do with them.",
            "reqps",
            [Query(rate("steelyard_requests_total", "outcome", "cache", where='surface="workflow"'))],
            stacked=True,
        ),
        Panel(
            "MCP servers",
            "By state.",
            "short",
            [Query("max by (server, state) (steelyard_mcp_server_state) > 0")],
            "bargauge",
        ),
        Panel(
            "Calls of tools",
            "Of MCP servers.",
            "reqps",
            [Query(rate("steelyard_mcp_calls_total", "server", "tool", "outcome"), "{{server}}/{{tool}} {{outcome}}")],
            stacked=True,
        ),
        Panel(
            "Calls of tools, 95 % within",
            "By server.",
            "s",
            [Query(within(0.95, "steelyard_mcp_call_duration_seconds", "server"))],
        ),
    ],
)

WORKFLOWS = Board(
    "steelyard-workflows",
    "Steelyard / Workflows",
    "Executions of workflows, their steps, and the tools they use.",
    [_LIVE, _EXECUTIONS, _STEPS],
)
