"""The default cast: four providers whose speed, price and reliability differ, so that choosing well has a reward.

Latency (first token median and sigma, stragglers, tokens per second) is fitted to two public measurements; only the
figures are here, never the data:

- thefastest.ai, MIT licence (fixie-ai/thefastest.ai, commit e9016e5, `website/public/data/latest.json`, 2024-04-15 to
  2024-05-03), region iad, 33 runs each;
- LLMPerf leaderboard, Apache-2.0 (ray-project/llmperf-leaderboard, commit 27aa9b6, `raw_data/individual`, 2023-12-19),
  53 to 150 requests each, 550 tokens in.

Sigma is half the distance of the logarithms at 16 % and 84 %; stragglers are the requests above 2.5 medians, and their
factor is their median over the median. Of both sources the rows with a median first token of 0.2 to 0.6 s were taken,
so that a first run feels quick; a host's figures therefore stand for a kind of host and not for its model of today. The
row is named beside each figure.

Prices and windows are those of comparable models in LiteLLM's price table (MIT licence, PyPI litellm 1.109.1,
`model_prices_and_context_window_backup.json`), named likewise. Output lengths, prefill, knees and the shares of errors
are chosen for demonstration and measured nowhere.
"""

from __future__ import annotations

from msgspec.structs import replace

from providers.simulator.config import Faults, Knee, Lengths, Limits, Model, Prices, Provider, Simulation, Speed

#: Every provider serves a chat model of this name, so that the bare name has four candidates.
SHARED_CHAT = "sim-chat"
SHARED_EMBED = "sim-embed"

_LENGTHS = Lengths(median_tokens=60, sigma=0.5)

# thefastest.ai openai/gpt-4-turbo
_GPT_LARGE = Speed(first_token_s=0.586, sigma=0.26, prefill_s_per_1k=0.05, tokens_per_s=32)
# LLMPerf anyscale 70b
_GPT_SMALL = Speed(
    first_token_s=0.213, sigma=0.25, straggler_share=0.007, straggler_factor=2.8, prefill_s_per_1k=0.03, tokens_per_s=69
)
# thefastest.ai anthropic/claude-2.1; its stragglers are inside sigma
_CLAUDE_LARGE = Speed(first_token_s=0.455, sigma=0.63, prefill_s_per_1k=0.05, tokens_per_s=34)
# thefastest.ai anthropic/claude-3-haiku-20240307
_CLAUDE_SMALL = Speed(
    first_token_s=0.317,
    sigma=0.14,
    straggler_share=0.212,
    straggler_factor=3.6,
    prefill_s_per_1k=0.03,
    tokens_per_s=114,
)
# LLMPerf fireworks 70b
_GEMINI_LARGE = Speed(first_token_s=0.517, sigma=0.25, prefill_s_per_1k=0.04, tokens_per_s=41)
# LLMPerf fireworks 7b
_GEMINI_SMALL = Speed(
    first_token_s=0.331, sigma=0.16, straggler_share=0.013, straggler_factor=3.2, prefill_s_per_1k=0.02, tokens_per_s=80
)
# LLMPerf bedrock 70b
_LOCAL_LARGE = Speed(first_token_s=0.388, sigma=0.13, prefill_s_per_1k=0.3, tokens_per_s=22)
# LLMPerf bedrock 13b
_LOCAL_SMALL = Speed(
    first_token_s=0.269, sigma=0.11, straggler_share=0.094, straggler_factor=2.8, prefill_s_per_1k=0.15, tokens_per_s=38
)
_EMBED = Speed(first_token_s=0.1, sigma=0.2, prefill_s_per_1k=0.01)

# gpt-4o, gpt-4o-mini, claude-sonnet-4-5, claude-haiku-4-5, gemini-2.5-pro, gemini-2.5-flash
_P_GPT_LARGE = Prices(input_usd_per_1m=2.5, cached_input_usd_per_1m=1.25, output_usd_per_1m=10)
_P_GPT_SMALL = Prices(input_usd_per_1m=0.15, cached_input_usd_per_1m=0.075, output_usd_per_1m=0.6)
_P_CLAUDE_LARGE = Prices(input_usd_per_1m=3, cached_input_usd_per_1m=0.3, output_usd_per_1m=15)
_P_CLAUDE_SMALL = Prices(input_usd_per_1m=1, cached_input_usd_per_1m=0.1, output_usd_per_1m=5)
_P_GEMINI_LARGE = Prices(input_usd_per_1m=1.25, cached_input_usd_per_1m=0.125, output_usd_per_1m=10)
_P_GEMINI_SMALL = Prices(input_usd_per_1m=0.3, cached_input_usd_per_1m=0.03, output_usd_per_1m=2.5)


def _chat(name: str, speed: Speed, prices: Prices, window: int, longest: int) -> Model:
    return Model(name=name, speed=speed, prices=prices, lengths=_LENGTHS, context_window=window, max_output=longest)


def _provider_models(large: Model, small: Model) -> tuple[Model, ...]:
    """The two models, and the shared name as a second name of the small one."""
    return large, small, replace(small, name=SHARED_CHAT)


def default_cast() -> Simulation:
    """Four providers: quick and cheap, quick with stragglers and dear, steady in between, free and slow."""
    embed = Model(name=SHARED_EMBED, kind="embedding", speed=_EMBED, context_window=8192)
    openai = _provider_models(
        _chat("sim-gpt-large", _GPT_LARGE, _P_GPT_LARGE, 128_000, 16_384),
        _chat("sim-gpt-small", _GPT_SMALL, _P_GPT_SMALL, 128_000, 16_384),
    )
    anthropic = _provider_models(
        _chat("sim-claude-large", _CLAUDE_LARGE, _P_CLAUDE_LARGE, 200_000, 64_000),
        _chat("sim-claude-small", _CLAUDE_SMALL, _P_CLAUDE_SMALL, 200_000, 64_000),
    )
    gemini = _provider_models(
        _chat("sim-gemini-large", _GEMINI_LARGE, _P_GEMINI_LARGE, 1_048_576, 65_536),
        _chat("sim-gemini-small", _GEMINI_SMALL, _P_GEMINI_SMALL, 1_048_576, 65_536),
    )
    local = _provider_models(
        _chat("sim-llama-large", _LOCAL_LARGE, Prices(), 32_768, 8_192),
        _chat("sim-llama-small", _LOCAL_SMALL, Prices(), 32_768, 8_192),
    )
    return Simulation(
        providers=(
            Provider(
                name="sim-openai",
                dialect="openai",
                models=(*openai, embed),
                faults=Faults(down=0.01, overloaded=0.01),
                limits=Limits(requests_per_min=6_000, tokens_per_min=2_000_000),
            ),
            Provider(
                name="sim-anthropic",
                dialect="anthropic",
                models=anthropic,
                faults=Faults(overloaded=0.003),
                limits=Limits(requests_per_min=3_000, tokens_per_min=1_000_000),
            ),
            Provider(
                name="sim-gemini",
                dialect="gemini",
                models=(*gemini, embed),
                faults=Faults(down=0.005, overloaded=0.005),
                limits=Limits(requests_per_min=3_000),
            ),
            Provider(
                name="sim-local", dialect="openai", models=local, strict=False, knee=Knee(in_flight=4, slowdown=0.25)
            ),
        )
    )


def instant(simulation: Simulation) -> Simulation:
    """The same cast without latency, chance, limits or outages: for tests and for measuring what is in front of it."""
    return Simulation(
        providers=tuple(
            replace(
                provider,
                models=tuple(
                    replace(model, speed=Speed(), lengths=replace(model.lengths, sigma=0.0))
                    for model in provider.models
                ),
                faults=Faults(),
                limits=Limits(),
                knee=None,
                outages=(),
            )
            for provider in simulation.providers
        )
    )
