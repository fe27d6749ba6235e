"""What is spent, on whom and by whom, and how far the budgets reach."""

from __future__ import annotations

from grafana.boards.asking import gain, rate
from grafana.boards.drawing import Board, Panel, Query, Row

_WHICH = 'provider=~"$provider"'
#: In the time that the board shows.
_COST = f"sum(increase(steelyard_cost_usd_total{{{_WHICH}}}[$__range]))"
_REQUESTS = "sum(increase(steelyard_requests_total[$__range]))"
_TOKENS = f'sum(increase(steelyard_tokens_total{{{_WHICH}, kind=~"input|output"}}[$__range]))'

_SPENT = Row(
    "Spent",
    [
        Panel(
            "An hour",
            "USD, at the pace of the last hour.",
            "currencyUSD",
            [Query(f"sum(rate(steelyard_cost_usd_total{{{_WHICH}}}[1h])) * 3600")],
            "stat",
            6,
            4,
        ),
        Panel("In this time", "USD in the time that the board shows.", "currencyUSD", [Query(_COST)], "stat", 6, 4),
        Panel(
            "A request",
            "USD of the chosen providers for each request, those from the cache included.",
            "currencyUSD",
            [Query(f"{_COST} / {_REQUESTS}")],
            "stat",
            6,
            4,
        ),
        Panel(
            "A million tokens",
            "USD, input and output together.",
            "currencyUSD",
            [Query(f"{_COST} / {_TOKENS} * 1e6")],
            "stat",
            6,
            4,
        ),
        Panel(
            "By provider",
            "USD an hour.",
            "currencyUSD",
            [Query(rate("steelyard_cost_usd_total", "provider", where=_WHICH) + " * 3600")],
            stacked=True,
        ),
        Panel(
            "By model",
            "USD an hour.",
            "currencyUSD",
            [
                Query(
                    rate("steelyard_cost_usd_total", "provider", "model", where=_WHICH) + " * 3600",
                    "{{provider}}/{{model}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            "By tag",
            "USD an hour for keys that have the tag. What a key with several tags spends is in each.",
            "currencyUSD",
            [Query(rate("steelyard_tag_cost_usd_total", "tag", where=_WHICH) + " * 3600")],
        ),
        Panel(
            "Models",
            "In the time that the board shows.",
            "currencyUSD",
            [Query(f"sum by (provider, model) (increase(steelyard_cost_usd_total{{{_WHICH}}}[$__range]))", "USD")],
            "table",
            12,
        ),
        Panel(
            "Tokens",
            "cached and reasoning are within input and output.",
            "short",
            [Query(rate("steelyard_tokens_total", "kind", where=_WHICH) + " * 60", "{{kind}} a minute")],
            width=12,
        ),
    ],
)
_BUDGETS = Row(
    "Budgets",
    [
        Panel(
            "Left",
            "The share of each budget that is left in its period. Somebody is told below a tenth.",
            "percentunit",
            [Query("steelyard:budget_left:ratio", "{{kind}} {{name}}")],
            "bargauge",
            highest=1.0,
        ),
        Panel(
            "Left, in USD",
            "A budget begins anew at the end of its period.",
            "currencyUSD",
            [Query("min by (kind, name) (steelyard_budget_left_usd)")],
            lowest=None,
        ),
        Panel(
            "Turned away, and warned",
            "Requests that got 429 since a budget is spent, and budgets that passed their soft limits.",
            "short",
            [
                Query(gain("steelyard_budget_refusals_total", "kind"), "{{kind}}: refused"),
                Query(gain("steelyard_budget_warnings_total", "kind"), "{{kind}}: warned"),
            ],
        ),
    ],
)

COST = Board(
    "steelyard-cost",
    "Steelyard / Cost and budgets",
    "What is spent, on whom and by whom, and how far the budgets reach.",
    [_SPENT, _BUDGETS],
    {"provider": "steelyard_dwa_weight"},
)
