"""What stands between a prepared request and its providers: limits, budgets, guardrails; each a gate.

    admit   every gate in its order; the first that refuses ends it, and those before are told that nothing was used
    settle  once, when the exchange is closed, with what was truly used

Law: whoever was admitted is settled exactly once, whatever happens in between; settling neither waits nor raises.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from gateway.asking import Ask, Prepared
from gateway.counting import Counting
from gateway.exchange import Exchange

_log = logging.getLogger("steelyard.gates")


class Pass(Protocol):
    """What a gate gave to an exchange."""

    def settle(self, exchange: Exchange) -> None:
        """The exchange is closed: `exchange.usage`, `.cost` and `.attempts` are the truth. Must not wait."""
        ...


class Gate(Protocol):
    """One reason not to serve a request."""

    async def admit(self, ask: Ask, prepared: Prepared) -> Pass | None:
        """Let it pass; None: there is nothing to settle. Raises a `GatewayError`."""
        ...


class Gates:
    """All of them, in order."""

    def __init__(self, gates: Sequence[Gate] = (), *, counting: Sequence[Gate] = ()) -> None:
        """Ask these, in this order; of requests that only count a prompt's tokens, which is free, `counting`."""
        self._gates = tuple(gates)
        self._counting = tuple(counting)

    async def admit(self, ask: Ask, prepared: Prepared) -> None:
        """Let the request pass every gate; its passes are kept with its exchange. Raises a `GatewayError`."""
        for gate in self._counting if isinstance(ask.wanted.work, Counting) else self._gates:
            granted = await gate.admit(ask, prepared)
            if granted is not None:
                ask.exchange.passes.append(granted)

    def settle(self, exchange: Exchange) -> None:
        """Give back what was reserved and not used. Harmless when there is nothing left to settle."""
        passes, exchange.passes = exchange.passes, []
        for one in passes:
            try:
                one.settle(exchange)
            except Exception as exc:  # noqa: BLE001 - the caller's answer must not depend on our bookkeeping
                _log.error("a gate could not settle", extra={"request_id": exchange.id}, exc_info=exc)
