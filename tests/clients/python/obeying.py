"""Obeys orders read from standard input, one JSON object a line, and answers each with one line: what came of it, or
which error the client raised. The order says scenario, model, question, key and how often the client may retry.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

GATEWAY = os.environ["GATEWAY"]


class Parcel(BaseModel):
    """What structured answers are made of."""

    sender: str
    kilograms: float
    stamps: list[str]


class Tools:
    """The two tools of every test, and what they were called with."""

    def __init__(self) -> None:
        self.called: list[tuple[str, dict[str, Any]]] = []

    def weather(self, city: str) -> str:
        """The weather of a city."""
        self.called.append(("weather", {"city": city}))
        return f"rain in {city}"

    def clock(self, zone: str) -> str:
        """The time in a zone."""
        self.called.append(("clock", {"zone": zone}))
        return f"noon in {zone}"

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Call one by its name."""
        return {"weather": self.weather, "clock": self.clock}[name](**arguments)


def raised(error: BaseException) -> dict[str, Any]:
    """The fields of an error that a caller decides by; `names` are its classes and those of what caused it."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(chain) < 10:
        chain.append(cause)
        cause = cause.__cause__
    status = next((one.status_code for one in chain if isinstance(getattr(one, "status_code", None), int)), None)
    return {
        "name": type(error).__name__,
        "names": [type(one).__name__ for one in chain],
        "status": status if status is not None else getattr(error, "code", None),
        "message": str(error),
        "stack": "".join(traceback.format_exception(error)),
    }


def obey(scenarios: Mapping[str, Callable[[Any], Any]]) -> None:
    """Obey until the input ends; all on one event loop, as clients that cache their connections need."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a client prints is no answer
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            order = json.loads(line)
            try:
                facts = scenarios[order["scenario"]](order)
                if inspect.isawaitable(facts):
                    facts = runner.run(_awaited(facts))
                answer = {"facts": facts}
            except Exception as exc:  # noqa: BLE001 - whatever it is, it is what is asked about
                answer = {"raised": raised(exc)}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
    with contextlib.suppress(OSError):
        answers.close()


async def _awaited(facts: Any) -> Any:
    return await facts
