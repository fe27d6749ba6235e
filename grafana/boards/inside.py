"""The gateway itself: what it adds to a request, what it keeps, and what it runs out of."""

from __future__ import annotations

from grafana.boards.asking import gain, rate, spread, within
from grafana.boards.drawing import Board, Panel, Query, Row

_HERE = 'instance=~"$instance"'

_OWN = Row(
    "Its own part",
    [
        Panel(
            "Overhead",
            "What the gateway adds to a request before the answer, or its first piece, is there.",
            "s",
            spread("steelyard_overhead_seconds", where=_HERE),
        ),
        Panel(
            "Processor",
            "Of what the processes can use at most, one core each. From 85 % on somebody is told.",
            "percentunit",
            [Query(f"steelyard:cpu:ratio_rate5m{{{_HERE}}}", "{{instance}}")],
            highest=1.0,
            steps=[(0.85, "red")],
        ),
        Panel(
            "Lateness of the event loop",
            "Whatever a process does at a time waits so long for its turn.",
            "s",
            [Query(within(0.99, "steelyard_event_loop_lag_seconds", "instance", where=_HERE))],
            steps=[(0.25, "red")],
        ),
        Panel(
            "Memory",
            "Held by all processes of a replica.",
            "bytes",
            [Query(f"steelyard_memory_bytes{{{_HERE}}}", "{{instance}}")],
        ),
        Panel(
            "Workers",
            "Processes by version: two versions are there during an upgrade only.",
            "short",
            [Query(f"sum by (instance, version) (steelyard_workers{{{_HERE}}})")],
            stacked=True,
        ),
        Panel(
            "Requests under way",
            "By replica.",
            "short",
            [Query(f"steelyard_requests_in_flight{{{_HERE}}}", "{{instance}}")],
            stacked=True,
        ),
    ],
)
_LOG = Row(
    "Request log",
    [
        Panel(
            "Rows",
            "spilled: to the disk, while the database is away. dropped: lost; somebody is woken.",
            "short",
            [Query(rate("steelyard_request_log_rows_total", "state", where=_HERE), "{{state}} a second")],
        ),
        Panel(
            "Queue",
            "The share of its room in memory that is taken; a full one spills to the disk.",
            "percentunit",
            [Query(f"steelyard_log_queue{{{_HERE}}} / steelyard_log_queue_capacity{{{_HERE}}}", "{{instance}}")],
            highest=1.0,
        ),
        Panel(
            "On the disk",
            "Rows that wait for the database.",
            "bytes",
            [Query(f"steelyard_log_spill_bytes{{{_HERE}}}", "{{instance}}")],
        ),
        Panel(
            "Failing sinks",
            "Requests that were not counted, recorded or logged: a defect.",
            "short",
            [Query(gain("steelyard_sink_failures_total", "sink", where=_HERE))],
        ),
        Panel(
            "Audit log",
            "Acts without a transaction of their own: written, or delayed while the database is away.",
            "short",
            [Query(gain("steelyard_audit_acts_total", "outcome", where=_HERE))],
        ),
        Panel(
            "Dependencies",
            "1 while every process of the replica reaches it.",
            "short",
            [
                Query(
                    f"min by (instance, dependency) (steelyard_dependency_up{{{_HERE}}})", "{{dependency}} {{instance}}"
                )
            ],
            "state-timeline",
            named={"0": ("away", "red"), "1": ("up", "green")},
        ),
    ],
)
_POOLS = Row(
    "Pools",
    [
        Panel(
            "Connections to the database",
            "In use, idle, and at most. PostgreSQL; SQLite has its own ways.",
            "short",
            [
                Query(f"sum by (state) (steelyard_database_pool_connections{{{_HERE}}})"),
                Query(f"sum(steelyard_database_pool_limit{{{_HERE}}})", "limit"),
            ],
        ),
        Panel(
            "Waits for them",
            "Queries that wait just now, and within how many seconds 95 % get a connection.",
            "short",
            [
                Query(f"sum(steelyard_database_pool_waiting{{{_HERE}}})", "waiting"),
                Query(within(0.95, "steelyard_database_pool_wait_seconds", where=_HERE), "seconds"),
            ],
        ),
        Panel(
            "Connections to providers",
            "In use, and requests that wait for one.",
            "short",
            [Query(f"sum by (state) (steelyard_upstream_connections{{{_HERE}}})")],
        ),
        Panel(
            "Counting alone",
            "Processes that count limits for themselves, since Redis cannot be reached.",
            "short",
            [Query(f"sum by (instance) (steelyard_limits_alone{{{_HERE}}})")],
        ),
        Panel(
            "Waiting callers",
            "For their turn by a limit, and for an answer that another one is asking for.",
            "short",
            [
                Query(f"sum(steelyard_limit_queue{{{_HERE}}})", "for their turn"),
                Query(f"sum(steelyard_single_flight_waiters{{{_HERE}}})", "for another's answer"),
            ],
        ),
        Panel(
            "Scrapes",
            "How long Prometheus takes to read a replica's metrics.",
            "s",
            [Query(f'scrape_duration_seconds{{job="steelyard", {_HERE}}}', "{{instance}}")],
        ),
    ],
)

INSIDE = Board(
    "steelyard-gateway",
    "Steelyard / Gateway",
    "The gateway itself: what it adds to a request, what it keeps, and what it runs out of.",
    [_OWN, _LOG, _POOLS],
    {"instance": "steelyard_requests_in_flight"},
)
