"""The variables that the first two versions of the product had: each still means something, or says what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import SettingsError, load

#: Each with a value that is not its default.
KEPT = {
    "OPENAI_API_KEY": "sk-0123456789",
    "ANTHROPIC_API_KEY": "sk-ant-0123456789",
    "GEMINI_API_KEY": "AIza0123456789",
    "GOOGLE_API_KEY": "AIza0123456789",
    "GROK_API_KEY": "xai-0123456789",
    "XAI_API_KEY": "xai-0123456789",
    "DATABASE_URL": "postgresql+asyncpg://me@db/steelyard",
    "DATABASE_ECHO": "true",
    "DB_POOL_SIZE": "7",
    "DB_MAX_OVERFLOW": "7",
    "DB_POOL_TIMEOUT": "7",
    "DB_POOL_RECYCLE": "7",
    "REDIS_URL": "redis://cache:6379/0",
    "REDIS_DB": "7",
    "REDIS_MAX_CONNECTIONS": "7",
    "CACHE_EXPIRE_SECONDS": "7",
    "DWA_ROUTING_STRATEGY": "round_robin",
    "SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "STEELYARD_ADMIN_KEY": "0123456789abcdef0123456789abcdef",
    "DEBUG": "true",
    "LOG_LEVEL": "WARNING",
    "STEP_EXECUTION_TIMEOUT": "7",
    "STEP_EXECUTION_RETRY_COUNT": "7",
    "STEP_EXECUTION_PARALLEL_LIMIT": "7",
    "WORKFLOW_MONITORING_INTERVAL": "7",
    "STEP_PROGRESS_UPDATE_INTERVAL": "7",
    "STEP_EXECUTION_TRACKING_ENABLED": "false",
    "WORKER_LEASE_SECONDS": "7",
    "SCHEDULER_MISFIRE_GRACE_TIME": "7",
    "TZ": "Europe/Berlin",
}
#: Whose address may be another, once its key is there.
ADDRESSES = {name: f"{name}_API_KEY" for name in ("OPENAI", "ANTHROPIC", "GEMINI", "GROK")}


@pytest.mark.parametrize("name", KEPT)
def test_each_is_read_and_changes_something(name: str) -> None:
    assert load({name: KEPT[name]}) != load({})


@pytest.mark.parametrize("name", ADDRESSES)
def test_each_provider_may_be_elsewhere(name: str) -> None:
    key = {ADDRESSES[name]: KEPT[ADDRESSES[name]]}
    (there,) = load({**key, f"{name}_BASE_URL": "https://proxy.example.com/v1"}).providers.values()
    assert there.base_url.startswith("https://proxy.example.com")


def test_the_address_of_ollama_turns_it_on() -> None:
    found = load({"OLLAMA_BASE_URL": "http://gpu:11434", "STEELYARD_OLLAMA_MODELS": "llama3.2"}).providers
    assert [one.base_url for one in found.values()] == ["http://gpu:11434/v1"]


@pytest.mark.parametrize("name", ["PERPLEXITY_API_KEY", "APIFY_TOKEN"])
def test_keys_of_mcp_servers_are_read_where_their_file_names_them(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mcp_settings.json"
    path.write_text(f'{{"mcpServers": {{"x": {{"command": "x", "env": {{"{name}": "${{{name}}}"}}}}}}}}')
    variables = {"MCP_SETTINGS_FILE": str(path)}
    server = load({**variables, name: "hushhush"}).mcp.servers["x"]
    assert "hushhush" not in repr(server)
    with pytest.raises(SettingsError, match=name):
        load(variables)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("DATABASE_URL", "postgresql://me@db/x", "postgresql+asyncpg://"),
        ("DATABASE_URL", "postgres://me@db/x", "postgresql+asyncpg://"),
        ("DATABASE_URL", "postgresql+psycopg2://me@db/x", "postgresql+asyncpg://"),
        ("DATABASE_URL", "sqlite:///./data/x.db", "sqlite+aiosqlite://"),
        ("DWA_ROUTING_STRATEGY", "load-balanced", "load_balanced"),
        ("DWA_ROUTING_STRATEGY", "roundrobin", "round_robin"),
        ("STEELYARD_SECRET_KEY", "x", "there is no such variable"),
        ("LOG_LEVEL", "warn", "warning"),
    ],
)
def test_what_is_written_otherwise_now_is_answered_by_how(name: str, old: str, new: str) -> None:
    with pytest.raises(SettingsError) as told:
        load({name: old})
    assert name in str(told.value)
    assert new in str(told.value)
