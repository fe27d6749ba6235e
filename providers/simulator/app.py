"""The simulator as a bare ASGI application: `/<provider>/…` for callers, `/_control` for whoever directs the play.

    GET  /_control             {"providers": {name: {dialect, mode, counters…}}}
    POST /_control/<provider>  {"mode": …, "factor"?, "seconds"?, "requests"?}  →  the provider's new state

No framework, because the simulator also measures the gateway: whatever it costs is taken from the same machine.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from providers.simulator.config import Simulation
from providers.simulator.delivery import serve
from providers.simulator.line import Line, Receive, Scope, Send, Sleep
from providers.simulator.stage import Mode, Request, Stage

CONTROL = "_control"
_json = msgspec.json.Encoder()
_mode = msgspec.json.Decoder(Mode)


class Simulator:
    """An ASGI application that plays all providers of a simulation."""

    def __init__(
        self,
        simulation: Simulation,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        sleep: Sleep,
        seed: int,
    ) -> None:
        """Build the cast.

        Args:
            simulation: whom to play.
            clock: seconds that only grow; drives outages, quotas and pacing.
            wall: Unix seconds; stamps answers.
            sleep: lets seconds pass.
            seed: same seed, same words and same luck.
        """
        self.simulation = simulation
        self._clock = clock
        self._sleep = sleep
        self._stages = {
            provider.name: Stage(provider, clock=clock, wall=wall, rng=Random(f"{seed}/{provider.name}"), seed=seed)
            for provider in simulation.providers
        }

    def control(self, provider: str, mode: Mode) -> None:
        """Put a provider into a mode, from any thread; raises KeyError for an unknown provider."""
        self._stages[provider].mode = mode

    def state(self) -> dict[str, Any]:
        """Modes and counters by provider."""
        return {
            name: {
                "dialect": stage.provider.dialect,
                **msgspec.to_builtins(stage.mode, str_keys=True),
                "counters": msgspec.to_builtins(stage.counters, str_keys=True),
            }
            for name, stage in self._stages.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            return await _lifespan(scope, receive, send)
        line = Line(scope, receive, send, self._sleep)
        method: str = scope["method"]
        _, _, rest = scope["path"].partition("/")
        name, slash, path = rest.partition("/")
        stage = self._stages.get(name)
        if stage is not None:
            query = dict(parse_qsl(scope["query_string"].decode("latin-1"))) if scope["query_string"] else {}
            headers: dict[bytes, bytes] = dict(scope["headers"])
            return await serve(stage, line, Request(method, slash + path, query, headers, b""), self._clock)
        status, said = await self._direct(method, name, path, line)
        body = _json.encode(said)
        headers_out = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await line.start(status, [*headers_out, (b"x-simulated", b"true")])
        await line.write(body, more=False)

    async def _direct(self, method: str, name: str, path: str, line: Line) -> tuple[int, dict[str, Any]]:
        if name != CONTROL:
            return 404, {"error": f"no provider is mounted at /{name}", "providers": list(self._stages)}
        if method == "GET":
            return 200, {"providers": self.state()}
        if method != "POST" or path not in self._stages:
            return 404, {"error": f"no provider {path!r}", "providers": list(self._stages)}
        try:
            self.control(path, _mode.decode(await line.body()))
        except msgspec.DecodeError as exc:
            return 400, {"error": str(exc)}
        return 200, self.state()[path]


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Nothing to start, nothing to stop; websockets are left unanswered, which refuses them."""
    while scope["type"] == "lifespan":
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
