"""A stage of simulated providers: one HTTP server that speaks OpenAI's, Anthropic's and Gemini's wire formats.

The first run uses it when no provider key is set, tests use it as upstream, benchmarks as a fast one. It is an
independent second opinion on the wire formats: it imports nothing else of this project and is held to the truth by the
official SDKs (`tests/acceptance/test_simulator_*.py`). Every reply carries `x-simulated: true` and every text begins
with `[simulated] `.

    config    what the world is made of         cast      the default world, and the instant one
    physics   latency, load, quota, outages     writing   what the models say      schema, vectors
    openai, anthropic, gemini                   the wire formats, each with its requests in `<name>_ask`
    stage     one provider decides              delivery  and answers              line      over this connection
    app       the ASGI application              server    on a socket
"""

from __future__ import annotations

from providers.simulator.app import Simulator
from providers.simulator.cast import SHARED_CHAT, SHARED_EMBED, default_cast, instant
from providers.simulator.config import (
    Faults,
    Knee,
    Lengths,
    Limits,
    Model,
    Outage,
    Prices,
    Provider,
    Simulation,
    Speed,
    Trouble,
    load,
)
from providers.simulator.server import Running, run, start
from providers.simulator.stage import Mode

__all__ = [
    "SHARED_CHAT",
    "SHARED_EMBED",
    "Faults",
    "Knee",
    "Lengths",
    "Limits",
    "Mode",
    "Model",
    "Outage",
    "Prices",
    "Provider",
    "Running",
    "Simulation",
    "Simulator",
    "Speed",
    "Trouble",
    "default_cast",
    "instant",
    "load",
    "run",
    "start",
]
