"""What the cache answers, from where, and what it saves."""

from __future__ import annotations

from grafana.boards.asking import rate, within
from grafana.boards.drawing import Board, Panel, Query, Row

_ASKED = 'sum(rate(steelyard_requests_total{cache=~"hit|miss|coalesced"}[$__rate_interval]))'

_ROW = Row(
    "Cache",
    [
        Panel(
            "Hit rate",
            "Of the requests that might be answered from the cache. Those that may not (bypass) are not in it.",
            "percentunit",
            [Query(f'sum(rate(steelyard_requests_total{{cache="hit"}}[$__rate_interval])) / {_ASKED}')],
            "stat",
            6,
            6,
            highest=1.0,
        ),
        Panel(
            "Calls spared",
            "Requests a second answered from the cache or along with another that asked the same.",
            "reqps",
            [Query(rate("steelyard_requests_total", where='cache=~"hit|coalesced"'))],
            "stat",
            6,
            6,
        ),
        Panel(
            "In memory",
            "Bytes of answers in the processes; what is in Redis is Redis's to tell.",
            "bytes",
            [Query("sum(steelyard_cache_bytes)")],
            "stat",
            6,
            6,
        ),
        Panel(
            "Redis",
            "1 while every process of a replica reaches it. Without one, there is nothing here.",
            "short",
            [Query('min(steelyard_dependency_up{dependency="redis"})')],
            "stat",
            6,
            6,
            named={"0": ("away", "red"), "1": ("up", "green")},
        ),
        Panel(
            "Requests",
            "bypass: not to be cached, by its kind or its caller's will. coalesced: answered along with another.",
            "reqps",
            [Query(rate("steelyard_requests_total", "cache"))],
            stacked=True,
        ),
        Panel(
            "Hits by tier",
            "memory: of the process. folder: of the machine's workers. redis: of all. provider: a call whose prompt "
            "the provider had in a cache of its own, and so charged less for.",
            "reqps",
            [Query(rate("steelyard_cache_hits_total", "tier"))],
            stacked=True,
        ),
        Panel(
            "Waiting for another's answer",
            "Requests whose question another one is asking just now.",
            "short",
            [Query("sum by (instance) (steelyard_single_flight_waiters)")],
        ),
        Panel(
            "Duration, 95 % within",
            "By what the cache had to do with it.",
            "s",
            [Query(within(0.95, "steelyard_request_duration_seconds", "cache"))],
        ),
        Panel(
            "Prompts that providers had cached",
            "The share of the input tokens for which providers charged less.",
            "percentunit",
            [
                Query(
                    '(sum(rate(steelyard_tokens_total{kind="cached"}[$__rate_interval])) or vector(0))'
                    ' / sum(rate(steelyard_tokens_total{kind="input"}[$__rate_interval]))',
                    "cached",
                )
            ],
            highest=1.0,
        ),
        Panel(
            "Writes, evictions and errors",
            "A second. Errors: Redis was asked in vain, and the provider was asked instead.",
            "short",
            [Query(rate("steelyard_cache_events_total", "event", where='event=~"writes|evictions|errors"'))],
        ),
    ],
)

CACHE = Board("steelyard-cache", "Steelyard / Cache", "What the cache answers, from where, and what it saves.", [_ROW])
