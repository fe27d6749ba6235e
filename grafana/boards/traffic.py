"""Who asks how much, how long it takes, and what comes of it: the board to open first."""

from __future__ import annotations

from grafana.boards.asking import gain, rate, spread, within
from grafana.boards.drawing import Board, Panel, Query, Row

_WHICH = 'surface=~"$surface"'
#: Neither callers' mistakes nor refusals are failures.
_FAILURES = f'{_WHICH}, outcome="error", status=~"5.."'
_ALL = rate("steelyard_requests_total", where=_WHICH)
_FAILED = rate("steelyard_requests_total", where=_FAILURES)

_NOW = Row(
    "Now",
    [
        Panel("Requests", "Requests that reached the pipeline, a second.", "reqps", [Query(_ALL)], "stat", 4, 4),
        Panel(
            "Failed",
            "The share answered with 5xx or broken amid a stream. Callers' mistakes and refusals are not in it. The "
            "objective is 0.1 % in a month.",
            "percentunit",
            [Query(f"({_FAILED} or vector(0)) / {_ALL}")],
            "stat",
            4,
            4,
            steps=[(0.001, "orange"), (0.0144, "red")],
        ),
        Panel(
            "95 % within",
            "Whole requests, streams to their end. Mostly the providers' time.",
            "s",
            [Query(within(0.95, "steelyard_request_duration_seconds", where=_WHICH))],
            "stat",
            4,
            4,
        ),
        Panel(
            "Under way",
            "Requests that are being answered.",
            "short",
            [Query("sum(steelyard_requests_in_flight)")],
            "stat",
            4,
            4,
        ),
        Panel(
            "Replicas up",
            "Gateways that Prometheus reaches.",
            "short",
            [Query('sum(up{job="steelyard"})')],
            "stat",
            4,
            4,
        ),
        Panel(
            "Firing alerts",
            "Each is described in docs/runbooks.md.",
            "short",
            [Query('count(ALERTS{alertname=~"Steelyard.*", alertstate="firing"}) or vector(0)')],
            "stat",
            4,
            4,
            steps=[(1, "red")],
        ),
    ],
)
_BUDGET = Row(
    "Error budget",
    [
        Panel(
            "Burn rate",
            "1: the month's budget is spent in a month. Somebody is woken at 14.4 over an hour, or 6 over six.",
            "short",
            [
                Query("steelyard:request_errors:ratio_rate5m / 0.001", "5 minutes"),
                Query("steelyard:request_errors:ratio_rate1h / 0.001", "1 hour"),
                Query("steelyard:request_errors:ratio_rate6h / 0.001", "6 hours"),
                Query("steelyard:request_errors:ratio_rate3d / 0.001", "3 days"),
            ],
            width=12,
            steps=[(6, "orange"), (14.4, "red")],
        ),
        Panel(
            "Spent in the last three days",
            "The share of a month's error budget that three days have taken; a tenth is what they may.",
            "percentunit",
            [Query("steelyard:request_errors:ratio_rate3d / 0.001 * 3 / 30")],
            "gauge",
            6,
            highest=1.0,
            steps=[(0.1, "orange"), (0.5, "red")],
        ),
        Panel(
            "Failures by status",
            "500: a defect of ours. 502: rubbish, a refused key, a broken stream. 503: who was asked failed, or nobody "
            "could be. 504: all were too slow.",
            "reqps",
            [Query(rate("steelyard_requests_total", "status", where=_FAILURES))],
            width=6,
            stacked=True,
        ),
    ],
)
_COURSE = Row(
    "Requests",
    [
        Panel(
            "By outcome",
            "cancelled: the caller hung up. error: by its status, whoever it is due to.",
            "reqps",
            [Query(rate("steelyard_requests_total", "outcome", "status", where=_WHICH))],
            stacked=True,
        ),
        Panel(
            "By surface",
            "Whose dialect callers speak, and what workflows ask.",
            "reqps",
            [Query(rate("steelyard_requests_total", "surface", where=_WHICH))],
            stacked=True,
        ),
        Panel(
            "By tag",
            "Requests of keys that have the tag. A key with several is in each.",
            "reqps",
            [Query(rate("steelyard_tag_requests_total", "tag"))],
        ),
        Panel(
            "Duration",
            "Whole requests. What the cache answered is among them.",
            "s",
            spread("steelyard_request_duration_seconds", where=_WHICH),
        ),
        Panel(
            "Durations",
            "How many requests took how long.",
            "short",
            [Query(gain("steelyard_request_duration_seconds_bucket", "le", where=_WHICH), "{{le}}")],
            "heatmap",
        ),
        Panel(
            "Under way",
            "Whole requests, by replica. Rising without more requests: providers are slow, or callers do not read.",
            "short",
            [Query("sum by (instance) (steelyard_requests_in_flight)")],
            stacked=True,
        ),
    ],
)
_REFUSED = Row(
    "Refused",
    [
        Panel(
            "Limits",
            "Requests refused for a limit: whose it is, and of what.",
            "reqps",
            [Query(rate("steelyard_limited_total", "limiter", "bound"))],
            width=6,
        ),
        Panel(
            "Waiting for their turn",
            "Requests that a limit lets wait, and how long 95 % of them do.",
            "short",
            [
                Query("sum(steelyard_limit_queue)", "waiting"),
                Query(within(0.95, "steelyard_limit_wait_seconds"), "seconds"),
            ],
            width=6,
        ),
        Panel(
            "Before the pipeline",
            "Wrong keys, unknown paths, bodies that are none. Wrong keys are throttled when somebody tries many.",
            "reqps",
            [
                Query(rate("steelyard_rejected_total", "status", where=_WHICH)),
                Query(rate("steelyard_wrong_keys_total", "outcome"), "wrong key, {{outcome}}"),
            ],
            width=6,
        ),
        Panel(
            "Guardrails",
            "What they did. unavailable: let pass without having been looked at.",
            "reqps",
            [Query(rate("steelyard_guardrails_total", "guardrail", "outcome"))],
            width=6,
        ),
    ],
)

TRAFFIC = Board(
    "steelyard-traffic",
    "Steelyard / Traffic",
    "Who asks how much, how long it takes, and what comes of it.",
    [_NOW, _BUDGET, _COURSE, _REFUSED],
    {"surface": "steelyard_requests_total"},
)
