"""Settings of LiteLLM's that have no place in ours: why, and where the same is to be had."""

from __future__ import annotations

_LOGS = "every request is in the database (docs/operations.md), in metrics and, with the extra, in OpenTelemetry traces"
_KEYS = "keys are made anew: steelyard keys create; LiteLLM keeps only their hashes"
_DATABASE = "Steelyard has a database of its own: set DATABASE_URL to another, empty one"
_BREAKER = "who fails is left out and let in again by what is seen of it: docs/reliability.md"
_REASONS = {
    "database_url": _DATABASE,
    "store_model_in_db": "providers and routes are in the file; a changed one is read by kill -HUP",
    "callbacks": _LOGS,
    "success_callback": _LOGS,
    "failure_callback": _LOGS,
    "service_callback": _LOGS,
    "service_callbacks": _LOGS,
    "set_verbose": "LOG_LEVEL=debug",
    "debug_level": "LOG_LEVEL=debug",
    "json_logs": "STEELYARD_LOG_FORMAT=json; unset, logs are JSON but on a terminal",
    "turn_off_message_logging": "prompts and answers are not kept unless STEELYARD_LOG_BODIES says so",
    "allowed_fails": _BREAKER,
    "allowed_fails_policy": _BREAKER,
    "cooldown_time": _BREAKER,
    "disable_cooldowns": _BREAKER,
    "retry_policy": "what is tried again follows from the kind of failure: docs/reliability.md",
    "model_group_retry_policy": "what is tried again follows from the kind of failure: docs/reliability.md",
    "enable_pre_call_checks": "models whose window is too small are left out always, where it is known",
    "optional_pre_call_checks": "models whose window is too small are left out always, where it is known",
    "routing_strategy_args": "the strategies here have no arguments",
    "content_policy_fallbacks": "a refusal is an answer here, and no other is asked",
    "max_budget": "keys, tags and providers have budgets: docs/budgets.md",
    "budget_duration": "keys, tags and providers have budgets: docs/budgets.md",
    "max_parallel_requests": "limits.default.concurrency bounds each key, providers.NAME.max_concurrency each provider",
    "global_max_parallel_requests": "providers.NAME.max_concurrency bounds each provider",
    "default_team_settings": _KEYS,
    "default_internal_user_params": _KEYS,
    "default_key_generate_params": _KEYS,
    "custom_auth": "callers bring keys or JWTs: docs/keys.md",
    "enable_jwt_auth": "the section jwt: docs/keys.md",
    "litellm_jwtauth": "the section jwt: docs/keys.md",
    "alerting": "Prometheus alerts on the metrics",
    "alerting_threshold": "Prometheus alerts on the metrics",
    "guardrails": "the section guardrails: docs/guardrails.md",
    "mcp_servers": "MCP_SETTINGS_FILE: docs/mcp.md",
    "environment_variables": "set them in the environment or in .env",
    "include": "write one file: the others' model_list is not read",
    "cache_params": "what is left of it has no counterpart: a cache here keeps whole answers in Redis or in memory",
    "background_health_checks": "providers are watched by what their answers are",
    "ui_access_mode": "there is no page to log in to",
    "redis_namespace": "give it a Redis database of its own: REDIS_DB",
    "modify_params": "requests are not changed, only translated; a field that cannot be said is refused, or dropped",
    "telemetry": "nothing is sent to anybody",
}


def reason_of(name: str) -> str:
    """Why a setting is not taken over, and what there is instead."""
    return _REASONS.get(name, "has no counterpart here")
