"""`steelyard import litellm`: configurations in the shapes of LiteLLM's documentation become ours, and run."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from msgspec.structs import replace

from gateway.cli import main
from gateway.importing.litellm import imported
from gateway.settings import load
from tests.acceptance.driving import World
from tests.serving import Serving, settings_in

KEYS = {
    "OPENAI_API_KEY": "sk-openai-0123456789",
    "ANTHROPIC_API_KEY": "sk-ant-0123456789",
    "AZURE_API_KEY": "azure-0123456789",
    "AZURE_API_BASE": "https://mine.openai.azure.com/",
    "GROQ_API_KEY": "gsk-0123456789",
    "XAI_API_KEY": "xai-0123456789",
    "LITELLM_MASTER_KEY": "sk-master-0123456789",
    "REDIS_HOST": "cache.example.com",
    "REDIS_PASSWORD": "redis-0123456789",
}

WHOLE = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://eu.openai.azure.com/
      api_key: os.environ/AZURE_API_KEY
      api_version: "2024-05-01-preview"
      rpm: 6
    model_info: {base_model: azure/gpt-4o}
  - model_name: gpt-4o
    litellm_params: {model: gpt-4o, api_key: os.environ/OPENAI_API_KEY, rpm: 100, order: 2, timeout: 300,
                     stream_timeout: 60}
  - model_name: claude
    litellm_params: {model: anthropic/claude-sonnet-5, api_key: os.environ/ANTHROPIC_API_KEY, temperature: 0.2}
  - model_name: mine
    litellm_params: {model: openai/facebook/opt-125m, api_base: "http://0.0.0.0:8001/v1", api_key: none,
                     input_cost_per_token: 0.00000002, output_cost_per_token: 0.00000004, max_parallel_requests: 4}
    model_info: {max_input_tokens: 2048}
  - model_name: embed
    litellm_params: {model: text-embedding-3-small, api_key: os.environ/OPENAI_API_KEY,
                     input_cost_per_token: 0.00000002}
    model_info: {mode: embedding}
  - model_name: llama
    litellm_params: {model: ollama_chat/llama3.2, api_base: "http://localhost:11434"}
  - model_name: grok
    litellm_params: {model: xai/grok-4.5, api_key: os.environ/XAI_API_KEY}
  - model_name: quick
    litellm_params: {model: groq/llama-3.3-70b, api_key: os.environ/GROQ_API_KEY}
  - model_name: titan
    litellm_params: {model: bedrock/amazon.titan, aws_region_name: us-west-2}
  - model_name: rank
    litellm_params: {model: cohere/rerank-english-v3.0}
  - model_name: "anthropic/*"
    litellm_params: {model: "anthropic/*", api_key: os.environ/ANTHROPIC_API_KEY}

router_settings:
  routing_strategy: usage-based-routing-v2
  num_retries: 3
  timeout: 30
  fallbacks: [{gpt-4o: [claude]}, {claude: [gpt-4o]}, {gone: [claude]}]
  context_window_fallbacks: [{mine: [gpt-4o]}]
  model_group_alias: {gpt-4: gpt-4o, hidden: {model: claude, hidden: true}}
  allowed_fails: 3
  redis_host: os.environ/REDIS_HOST
  redis_port: 6380
  redis_password: os.environ/REDIS_PASSWORD

litellm_settings:
  drop_params: true
  cache: true
  cache_params: {type: redis, ttl: 600, namespace: litellm}
  success_callback: [langfuse]
  default_fallbacks: [quick]
  invented_setting: 1

general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  database_url: os.environ/DATABASE_URL
  alerting: [slack]

environment_variables: {FOO: bar}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.endswith(("_API_KEY", "_BASE_URL"))]:
        monkeypatch.delenv(name)
    return tmp_path


def run(folder: Path, text: str, *words: str, **variables: str) -> Result:
    (folder / "config.yaml").write_text(text)
    return CliRunner().invoke(main, ["import", "litellm", "config.yaml", *words], env=variables)


def config_of(text: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Ours, and what was told by its place."""
    found = imported(yaml.safe_load(text))
    told: dict[str, str] = {}
    for one in found.notes:
        told[one.place] = f"{told.get(one.place, '')} {one.said}"
    return found.config, told


def test_a_whole_configuration_passes_the_check_and_means_what_it_meant(folder: Path) -> None:
    done = run(folder, WHOLE, "--out", "steelyard.yaml", **KEYS)
    assert done.exit_code == 0, done.output
    assert "steelyard.yaml is valid" in done.output
    assert stat.S_IMODE((folder / "steelyard.yaml").stat().st_mode) == 0o600
    settings = load(KEYS, config=folder / "steelyard.yaml")
    routes = settings.routes
    first, second = routes["gpt-4o"].targets, routes["gpt-4o"].fallback
    assert (first, second) == (("azure/gpt-4o-eu",), ("openai/gpt-4o", "claude", "quick"))
    azure = settings.providers["azure"]
    assert azure.base_url == "https://eu.openai.azure.com/openai/v1"
    assert azure.models[0].price == settings.providers["openai"].models[0].price  # by its base_model
    openai = settings.providers["openai"]
    assert (openai.timeout.total, openai.timeout.first_byte) == (300, 60)
    own = settings.providers["openai-2"]
    assert (own.base_url, own.max_concurrency, own.models[0].context) == ("http://0.0.0.0:8001/v1", 4, 2048)
    assert own.models[0].price.input == pytest.approx(2e-8)
    assert routes["mine"].targets == ("openai-2/facebook/opt-125m",)
    assert settings.providers["ollama"].base_url == "http://localhost:11434/v1"
    assert routes["grok"].targets == ("grok/grok-4.5",)
    assert settings.providers["groq"].base_url == "https://api.groq.com/openai/v1"
    assert {one.name for one in settings.providers["anthropic"].models} >= {"claude-opus-5", "claude-sonnet-5"}
    embedding = next(
        one for provider in settings.providers.values() for one in provider.models if "embedding" in one.name
    )
    assert embedding.capabilities == {"embeddings"}
    assert routes["gpt-4"].targets == first
    assert routes["hidden"].targets == routes["claude"].targets
    assert all(route.drop_params and route.strategy == "load_balanced" for route in routes.values())
    assert (routes["gpt-4o"].rates.rpm, routes["claude"].rates.rpm) == (106, None)
    assert (settings.requests.retries, settings.requests.timeout) == (3, 30)
    assert (settings.cache.drop_in, settings.cache.ttl) == ("always", 600)
    assert settings.redis.url is not None
    assert settings.redis.url.reveal() == "redis://:redis-0123456789@cache.example.com:6380"
    assert settings.auth.admin_key is not None
    assert settings.auth.admin_key.reveal() == KEYS["LITELLM_MASTER_KEY"]


def test_whatever_is_not_taken_over_is_told_with_a_reason() -> None:
    _, told = config_of(WHOLE)
    for place, said in (
        ("model_list[8] (titan)", "signed"),
        ("model_list[9] (rank)", "own format"),
        ("model_list[2] (claude) litellm_params.temperature", "not added"),
        ("model_list[7] (quick)", "no price"),
        ("fallbacks of claude", "round in circles"),
        ("fallbacks of gone", "no 'gone'"),
        ("context_window_fallbacks", "any failure"),
        ("router_settings.allowed_fails", "reliability"),
        ("litellm_settings.success_callback", "OpenTelemetry"),
        ("litellm_settings.cache_params", "no counterpart"),
        ("litellm_settings.invented_setting", "no counterpart"),
        ("general_settings.database_url", "DATABASE_URL"),
        ("general_settings.alerting", "Prometheus"),
        ("environment_variables", ".env"),
    ):
        assert said in told[place], (place, told.get(place))


def test_nothing_of_it_is_left_without_a_word() -> None:
    """Each setting is in the result, or named: taken out one by one, something must change."""
    whole = yaml.safe_load(WHOLE)
    before = imported(whole)
    silent: list[str] = []
    for section in ("router_settings", "litellm_settings", "general_settings"):
        for name in whole[section]:
            less = {**whole, section: {key: one for key, one in whole[section].items() if key != name}}
            if imported(less) == before:
                silent.append(f"{section}.{name}")
    for number, entry in enumerate(whole["model_list"]):
        for name in entry["litellm_params"]:
            params = {key: one for key, one in entry["litellm_params"].items() if key != name}
            entries = [*whole["model_list"]]
            entries[number] = {**entry, "litellm_params": params}
            if imported({**whole, "model_list": entries}) == before:
                silent.append(f"{number}.{name}")
    # Azure's v1 API has no versions, which is told of every Azure; the keys of the known are read from the same
    # variables when nothing says so; a region is of no use without what it belongs to, which is told.
    assert silent == ["0.api_key", "0.api_version", "1.api_key", "2.api_key", "4.api_key", "6.api_key", "7.api_key",
                      "8.aws_region_name", "10.api_key"]  # fmt: skip


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("simple-shuffle", "weighted"), ("least-busy", "least_busy"), ("latency-based-routing", "latency"),
     ("cost-based-routing", "cost"), ("something-new", None), (None, None)],
)  # fmt: skip
def test_strategies_have_their_counterparts(theirs: str | None, ours: str | None) -> None:
    entries = "".join(
        f"  - {{model_name: m, litellm_params: {{model: openai/gpt-4o, api_base: 'http://{n}', weight: {n}}}}}\n"
        for n in (1, 2)
    )
    config, told = config_of(
        f"model_list:\n{entries}" + (f"router_settings: {{routing_strategy: {theirs}}}\n" if theirs else "")
    )
    assert config["routes"]["m"].get("strategy") == ours
    assert [one["weight"] for one in config["providers"].values()] == [1.0, 2.0]
    assert ("router_settings.routing_strategy" in told) == (theirs == "something-new")


def test_deployments_with_one_address_and_key_are_one_provider() -> None:
    entry = "  - {{model_name: {0}, litellm_params: {{model: openai/{0}, api_base: 'http://a/v1', api_key: {1}}}}}\n"
    lines = "".join(entry.format(name, key) for name, key in (("x", "k1"), ("y", "k1"), ("z", "k2")))
    config, told = config_of(f"model_list:\n{lines}")
    names = {name: [one["name"] for one in each["models"]] for name, each in config["providers"].items()}
    assert names == {"openai": ["x", "y"], "openai-2": ["z"]}
    assert config["providers"]["openai-2"]["dialect"] == "openai"
    assert "stands in the file itself" in " ".join(told.values())


def test_a_cache_that_was_off_stays_off_on_the_drop_in_surfaces() -> None:
    entry = "model_list:\n  - {model_name: m, litellm_params: {model: gpt-4o}}\n"
    assert config_of(entry)[0]["cache"] == {"drop_in": "never"}
    on = entry + "litellm_settings: {cache: true, cache_params: {type: s3, mode: default_off}}\n"
    config, told = config_of(on)
    assert config["cache"] == {"drop_in": "never"}
    assert "'s3' is not there" in told["litellm_settings.cache_params.type"]


def _places(tree: Any, *before: Any) -> Iterator[tuple[Any, ...]]:
    yield before
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, one in inner:
        yield from _places(one, *before, name)


@pytest.mark.parametrize("junk", [None, -1, "x", {}, [1], [{"a": ["b"]}]])
def test_whatever_stands_anywhere_in_it_is_read_or_told(junk: Any) -> None:
    whole = yaml.safe_load(WHOLE)
    for place in _places(whole):
        if place:
            tree = holder = deepcopy(whole)
            for name in place[:-1]:
                holder = holder[name]
            holder[place[-1]] = junk
            imported(tree)


# The command


def test_a_dollar_in_a_text_is_no_variable(folder: Path) -> None:
    config = "model_list:\n  - {model_name: m, litellm_params: {model: gpt-4o, api_key: 'sk-a${b}c'}}\n"
    done = run(folder, config, "--out", "out.yaml")
    assert done.exit_code == 0, done.output
    key = load({}, config=folder / "out.yaml").providers["openai"].api_key
    assert key is not None
    assert key.reveal() == "sk-a${b}c"


def test_what_is_still_to_be_done_is_told(folder: Path) -> None:
    done = run(folder, WHOLE, "--out", "steelyard.yaml")
    assert done.exit_code == 1
    assert "Before it can be used" in done.output
    assert "OPENAI_API_KEY" in done.output
    again = run(folder, WHOLE, "--out", "steelyard.yaml")
    assert again.exit_code == 1
    assert "is not replaced" in again.output


def test_without_out_the_yaml_alone_is_on_standard_output(folder: Path) -> None:
    done = run(folder, WHOLE)
    assert done.exit_code == 0
    assert set(yaml.safe_load(done.stdout)) >= {"providers", "routes", "auth", "cache", "redis"}
    assert "Not taken over:" in done.stderr
    assert not (folder / "steelyard.yaml").exists()


@pytest.mark.parametrize(
    "text", ["providers: {}\n", "- a\n", "model_list: [1]\n", "a: [\n", "model_list: [{model_name: x}]"]
)
def test_what_is_none_of_litellms_is_told(folder: Path, text: str) -> None:
    done = run(folder, text)
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)


def test_a_gateway_runs_on_the_result(folder: Path, world: World) -> None:
    """Two model names, a fallback and an alias in front of the simulator, asked as their callers ask LiteLLM."""
    base = f"{world.running.url}/sim-openai/v1"
    config = f"""
model_list:
  - model_name: gpt-4o
    litellm_params: {{model: openai/sim-chat, api_base: "{base}", api_key: fake-key-0123456789}}
  - model_name: claude
    litellm_params:
      {{model: anthropic/sim-chat, api_base: "{world.running.url}/sim-anthropic", api_key: fake-key-0123456789}}
router_settings:
  routing_strategy: least-busy
  fallbacks: [{{gpt-4o: [claude]}}]
  model_group_alias: {{gpt-4: gpt-4o}}
general_settings: {{master_key: sk-1234-0123456789}}
"""
    done = run(folder, config, "--out", "steelyard.yaml")
    assert done.exit_code == 0, done.output
    ours = load({}, config=folder / "steelyard.yaml")
    base_settings = settings_in(folder)
    settings = replace(ours, database=base_settings.database, request_log=base_settings.request_log,
                       artifacts=base_settings.artifacts, workflows=base_settings.workflows)  # fmt: skip
    with Serving(settings) as serving:
        mine = World(serving, world.running)
        key = "sk-1234-0123456789"
        for model, provider in (("gpt-4o", "openai"), ("claude", "anthropic"), ("gpt-4", "openai")):
            answer = mine.chat("Hello", model, key=key)
            assert answer.status == 200, answer.body
            assert answer.headers["x-steelyard-provider"] == provider
            assert answer.headers["x-steelyard-strategy"] == "least_busy"
