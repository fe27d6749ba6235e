"""What the providers do, and what the DWA makes of it: weights over time, why it chose, whom it left out."""

from __future__ import annotations

from grafana.boards.asking import gain, rate, within
from grafana.boards.drawing import Board, Panel, Query, Row

_WHICH = 'provider=~"$provider", model=~"$model"'
_NAME = "{{provider}}/{{model}}"


_CHOOSING = Row(
    "How the DWA chooses",
    [
        Panel(
            "Weights",
            "The share of a typical request's traffic that each deployment is due, by the mean of the replicas.",
            "percentunit",
            [Query(f"avg by (provider, model) (steelyard_dwa_weight{{{_WHICH}}})", _NAME)],
            width=12,
            stacked=True,
            highest=1.0,
        ),
        Panel(
            "Reasons",
            "Why the first of the ranking was first. last_resort: nobody healthy was left. exploration, "
            "half_open_probe: to learn. out_of_turn: a rate limit tried before its time, as all others were far worse. "
            "sticky_session: to stay with who has the prompt in its cache.",
            "reqps",
            [Query(rate("steelyard_dwa_choices_total", "reason", where=_WHICH))],
            width=12,
            stacked=True,
        ),
        Panel(
            "First choices",
            "How often each deployment was the first to be asked.",
            "reqps",
            [Query(rate("steelyard_dwa_choices_total", "provider", "model", where=_WHICH), _NAME)],
            stacked=True,
        ),
        Panel(
            "Scores",
            "The best expected loss over the deployment's own: 1 is the best there is, 0 is out.",
            "short",
            [Query(f"avg by (provider, model) (steelyard_dwa_score{{{_WHICH}}})", _NAME)],
            highest=1.0,
        ),
        Panel(
            "Left out",
            "Candidates that could not be asked when a request was, and why.",
            "reqps",
            [
                Query(
                    rate("steelyard_dwa_excluded_total", "provider", "reason", where=_WHICH), "{{provider}}: {{reason}}"
                )
            ],
            stacked=True,
        ),
    ],
)
_STATES = Row(
    "Breakers and quotas",
    [
        Panel(
            "Breakers",
            "The share of the processes whose breaker is closed. Red: none may ask it, but for a probe.",
            "percentunit",
            [
                Query(
                    f'sum by (provider, model) (steelyard_dwa_breaker_state{{{_WHICH}, state="closed"}})'
                    f" / sum by (provider, model) (steelyard_dwa_breaker_state{{{_WHICH}}})",
                    _NAME,
                )
            ],
            "state-timeline",
            12,
            named={"0": ("open", "red"), "1": ("closed", "green")},
            steps=[(0.0, "red"), (0.01, "orange"), (1.0, "green")],
        ),
        Panel(
            "Openings of breakers",
            "One that opens again and again belongs to a provider that comes and goes.",
            "short",
            [Query(gain("steelyard_dwa_breaker_openings_total", "provider", "model", where=_WHICH), _NAME)],
            width=6,
        ),
        Panel(
            "Available",
            "1 while the deployment may be chosen, for the replica that thinks best of it.",
            "short",
            [Query(f"max by (provider, model) (steelyard_dwa_available{{{_WHICH}}})", _NAME)],
            "bargauge",
            6,
            highest=1.0,
            named={"0": ("out", "red"), "1": ("available", "green")},
        ),
        Panel(
            "Quota left",
            "Of what the provider's rate limit headers allow. The DWA slows down before it reaches 0.",
            "percentunit",
            [
                Query(
                    f"min by (provider, model, kind) (steelyard_quota_remaining{{{_WHICH}}})"
                    f" / max by (provider, model, kind) (steelyard_quota_limit{{{_WHICH}}})",
                    "{{provider}}/{{model}} {{kind}}",
                )
            ],
            highest=1.0,
            width=12,
        ),
        Panel(
            "Pauses that providers ask for",
            "By their Retry-After.",
            "s",
            [Query(f"max by (provider, model) (steelyard_quota_retry_after_seconds{{{_WHICH}}})", _NAME)],
            width=6,
        ),
        Panel(
            "Calls under way",
            "By deployment.",
            "short",
            [Query(f"sum by (provider, model) (steelyard_in_flight{{{_WHICH}}})", _NAME)],
            width=6,
            stacked=True,
        ),
    ],
)
_CALLS = Row(
    "Calls",
    [
        Panel(
            "Outcomes",
            "hedged: another was quicker. misconfigured: our key, model or account. rejected: the caller's fault.",
            "reqps",
            [Query(rate("steelyard_attempts_total", "provider", "outcome", where=_WHICH))],
            stacked=True,
        ),
        Panel(
            "Failing calls",
            "The share of a deployment's calls that failed by its fault.",
            "percentunit",
            [Query(f"steelyard:attempt_errors:ratio_rate5m{{{_WHICH}}}", _NAME)],
            highest=1.0,
        ),
        Panel(
            "Fallbacks",
            "Calls that failed and after which another deployment was asked: who failed, and how.",
            "reqps",
            [Query(rate("steelyard_fallbacks_total", "provider", "reason", where=_WHICH))],
            stacked=True,
        ),
        Panel(
            "First token, 95 % within",
            "Streams, from the call to the first content.",
            "s",
            [Query(within(0.95, "steelyard_time_to_first_token_seconds", "provider", "model", where=_WHICH), _NAME)],
        ),
        Panel(
            "Calls, 95 % within",
            "Those that answered, streams to their end.",
            "s",
            [Query(within(0.95, "steelyard_attempt_duration_seconds", "provider", "model", where=_WHICH), _NAME)],
        ),
        Panel(
            "Hedges",
            "Second calls beside one that was overdue, and what came of them. Many that win: the first choice hangs.",
            "reqps",
            [Query(rate("steelyard_hedges_total", "outcome", where=_WHICH))],
        ),
    ],
)
_QUALITY = Row(
    "Quality, and OpenTelemetry's names",
    [
        Panel(
            "Votes on answers",
            "Of callers and of the judge.",
            "reqps",
            [Query(rate("steelyard_feedback_total", "source"))],
        ),
        Panel(
            "Operations, 95 % within",
            "gen_ai.client.operation.duration: calls of providers, failed ones included.",
            "s",
            [
                Query(
                    within(
                        0.95,
                        "gen_ai_client_operation_duration_seconds",
                        "gen_ai_provider_name",
                        "gen_ai_operation_name",
                    )
                )
            ],
        ),
        Panel(
            "Tokens of a call, the mean",
            "gen_ai.client.token.usage: input and output that are paid for.",
            "short",
            [
                Query(
                    "sum by (gen_ai_request_model, gen_ai_token_type)"
                    " (rate(gen_ai_client_token_usage_sum[$__rate_interval]))"
                    " / sum by (gen_ai_request_model, gen_ai_token_type)"
                    " (rate(gen_ai_client_token_usage_count[$__rate_interval]))",
                    "{{gen_ai_request_model}} {{gen_ai_token_type}}",
                )
            ],
        ),
    ],
)

PROVIDERS = Board(
    "steelyard-providers",
    "Steelyard / Providers and DWA",
    "What the providers do, and what the DWA makes of it.",
    [_CHOOSING, _STATES, _CALLS, _QUALITY],
    {"provider": "steelyard_dwa_weight", "model": "steelyard_dwa_weight"},
)
