"""Providers, models and prices, as written and as they come out."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.catalogue import load_catalogue
from gateway.settings import Price, load
from gateway.settings.environment import models_variable
from providers import PROVIDERS, Provider

EXAMPLE = Path(__file__).parents[3] / "steelyard.example.yaml"
KEYED = [provider for provider in PROVIDERS if provider.needs_key]


def configured(folder: Path, text: str, **environ: str):
    path = folder / "steelyard.yaml"
    path.write_text(text, encoding="utf-8")
    return load(environ, config=path)


@pytest.mark.parametrize("provider", KEYED, ids=lambda provider: provider.name)
def test_a_key_is_all_a_known_provider_needs(provider: Provider):
    for variable in provider.key_variables:
        settings = load({variable: "the-key"})
        [(name, made)] = settings.providers.items()
        assert name == provider.name
        assert made.api_key
        assert made.api_key.reveal() == "the-key"
        assert (made.base_url, made.dialect, made.profile) == (provider.base_url, provider.dialect, provider.profile)
        assert [model.name for model in made.models] == list(load_catalogue().of(name))
        assert made.timeout == settings.timeout


def test_the_first_of_two_key_variables_counts_and_the_environment_goes_before_dotenv(tmp_path: Path):
    provider = next(one for one in PROVIDERS if len(one.key_variables) > 1)
    first, second = provider.key_variables[:2]
    key = load({first: "one", second: "two"}).providers[provider.name].api_key
    assert key
    assert key.reveal() == "one"
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"{first}=one\n")
    key = load({second: "two"}, dotenv=dotenv).providers[provider.name].api_key
    assert key
    assert key.reveal() == "two"


def test_an_address_alone_does_not_turn_on_a_provider_that_needs_a_key():
    assert load({provider.base_url_variable: "https://proxy.example" for provider in KEYED}).providers == {}


@pytest.mark.parametrize(
    ("written", "used"),
    [
        ("http://localhost:11434", "http://localhost:11434/v1"),
        ("http://localhost:11434/", "http://localhost:11434/v1"),
        ("http://localhost:11434/v1/", "http://localhost:11434/v1"),
        ("https://box.example/ollama/v1", "https://box.example/ollama/v1"),
    ],
)
def test_a_keyless_provider_is_turned_on_by_its_address_and_costs_nothing(written: str, used: str):
    provider = next(one for one in PROVIDERS if not one.needs_key)
    settings = load({provider.base_url_variable: written, models_variable(provider): "llama3.2, qwen3:8b"})
    made = settings.providers[provider.name]
    assert made.base_url == used
    assert made.api_key is None
    assert [(model.name, model.price) for model in made.models] == [
        ("llama3.2", Price(input=0, output=0, cached_input=0)),
        ("qwen3:8b", Price(input=0, output=0, cached_input=0)),
    ]
    assert made.models[0].capabilities is None


def test_prices_are_written_per_million_and_used_per_token(tmp_path: Path):
    settings = configured(
        tmp_path,
        """
providers:
  mine:
    dialect: openai
    base_url: https://h.example/v1/
    models:
      - {name: a, upstream: org/A, price: {input: 2, output: 8, cached_input: 0.5}, context: 1000, max_output: 10}
      - {name: b, price: {input: 2, output: 8}}
      - {name: c, price: free, capabilities: [tools], quality: 0.5}
      - {name: d, price: {input: 0.1}, capabilities: [embeddings]}
""",
    )
    mine = settings.providers["mine"]
    assert mine.base_url == "https://h.example/v1"
    a, b, c, d = mine.models
    assert (a.upstream, a.context, a.max_output) == ("org/A", 1000, 10)
    assert a.price == Price(input=2e-6, output=8e-6, cached_input=0.5e-6)
    assert b.price.cached_input == b.price.input
    assert c.price == Price(input=0, output=0, cached_input=0)
    assert (c.capabilities, c.quality) == (frozenset({"tools"}), 0.5)
    assert d.price.output == 0


def test_a_listed_model_takes_from_the_catalogue_what_is_not_written(tmp_path: Path):
    figures = load_catalogue().of("openai")["gpt-4o-mini"]
    settings = configured(
        tmp_path,
        """
providers:
  openai:
    api_key: k
    models:
      - gpt-4o-mini
      - {name: small, upstream: gpt-4o-mini, max_output: 100}
      - {name: dear, upstream: gpt-4o-mini, price: {input: 1, output: 1}, capabilities: []}
""",
    )
    plain, small, dear = settings.providers["openai"].models
    assert plain.context == figures.context
    assert plain.price.output == pytest.approx(figures.output / 1e6)
    assert plain.capabilities == frozenset(figures.capabilities)
    assert (small.upstream, small.max_output, small.price) == ("gpt-4o-mini", 100, plain.price)
    assert dear.price.input == 1e-6
    assert dear.capabilities == frozenset()


def test_what_a_file_says_of_a_known_provider_goes_before_what_is_built_in(tmp_path: Path):
    settings = configured(
        tmp_path,
        """
timeout: {first_byte: 50, idle: 20}
providers:
  openai:
    api_key: k
    base_url: https://proxy.example/v1
    timeout: {first_byte: 90}
    profile: {developer_role: true}
    max_concurrency: 3
    priority: 1
    weight: 0
""",
    )
    made = settings.providers["openai"]
    assert made.base_url == "https://proxy.example/v1"
    assert (made.timeout.connect, made.timeout.first_byte, made.timeout.idle) == (5, 90, 20)
    assert made.profile.developer_role
    assert made.profile.max_tokens_field == "max_completion_tokens"
    assert (made.max_concurrency, made.priority, made.weight) == (3, 1, 0)


def test_a_provider_can_be_switched_off_although_its_key_is_there(tmp_path: Path):
    assert configured(tmp_path, "providers: {openai: {enabled: false}}", OPENAI_API_KEY="k").providers == {}


def test_routes_may_target_any_model_and_fall_back_on_each_other(tmp_path: Path):
    settings = configured(
        tmp_path,
        """
objectives: {patient: {cost: 1}}
providers: {openai: {api_key: k}, mine: {dialect: gemini, base_url: 'http://h', models: [{name: org/x, price: free}]}}
routes:
  a: {targets: [openai/gpt-4o, mine/org/x], objective: patient, strategy: cost, fallback: [b, openai/o3]}
  b: {targets: [openai/gpt-4.1], cache: {enabled: false, ttl: 5}, drop_params: true}
""",
    )
    assert settings.routes["a"].targets == ("openai/gpt-4o", "mine/org/x")
    assert settings.routes["a"].fallback == ("b", "openai/o3")
    assert (settings.routes["b"].cache.enabled, settings.routes["b"].cache.ttl) == (False, 5)


def test_the_example_loads_and_says_all_there_is(tmp_path: Path):
    key = tmp_path / "key"
    key.write_text("in-house-key\n")
    text = EXAMPLE.read_text(encoding="utf-8").replace("/run/secrets/in_house_key", str(key))
    environ = {
        name: f"{name.lower()}-value"
        for name in (
            "STEELYARD_ADMIN_KEY", "SECRET_KEY", "WEB_KEY", "BATCH_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY",
            "GEMINI_API_KEY",
        )
    }  # fmt: skip
    settings = configured(tmp_path, text, **environ)
    assert set(settings.providers) == {"openai", "anthropic", "ollama", "in-house"}
    assert set(settings.routes) == {"fast", "careful"}
    assert settings.server == load({}).server
    assert settings.cache == load({}).cache


def test_the_catalogue_is_whole_and_its_prices_are_prices():
    catalogue = load_catalogue()
    assert catalogue.source
    assert catalogue.version
    assert catalogue.licence == "MIT"
    assert catalogue.taken_on == "2026-11"
    assert {model.provider for model in catalogue.models} == {provider.name for provider in KEYED}
    seen = [(model.provider, model.name) for model in catalogue.models]
    assert len(seen) == len(set(seen))
    for model in catalogue.models:
        assert 0.01 <= model.input <= 100
        assert model.input <= model.output <= 500
        assert model.cached_input is None or 0 < model.cached_input < model.input
        assert model.context is None or 8_000 <= model.context <= 4_000_000
        assert model.max_output is None or model.max_output < (model.context or 0)
        assert "tools" in model.capabilities
        assert len(set(model.capabilities)) == len(model.capabilities)
