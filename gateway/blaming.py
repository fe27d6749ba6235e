"""What a fault means for the attempt that met it: what its record says, and what the DWA learns of it."""

from __future__ import annotations

from dwa import Ticket
from gateway.catalog import Price
from gateway.exchange import Attempt, Exchange
from providers.errors import Fault, Throttled

#: A deployment that had this long, in seconds, and gave nothing is blamed for the caller's deadline; a caller in more
#: of a hurry than that says nothing about the deployment.
_FAIR_CHANCE = 10.0


def pay(exchange: Exchange, attempt: Attempt, price: Price, fault: Fault) -> None:
    """Bill what was answered on the way to the fault, to its attempt and to the exchange."""
    if fault.spent is not None:
        attempt.usage, attempt.cost = fault.spent, price.of(fault.spent)
        exchange.usage = exchange.usage.plus(fault.spent)
        exchange.cost += attempt.cost


def blame(ticket: Ticket, attempt: Attempt, fault: Fault, *, out_of_time: bool) -> None:
    """Write the fault down and settle the ticket; `out_of_time` when it is that the caller's time was over."""
    attempt.outcome, attempt.status, attempt.code = fault.kind, fault.status, fault.code
    attempt.message = fault.message
    if fault.blame == "caller":
        ticket.caller_error()
    elif isinstance(fault, Throttled):
        ticket.throttled(fault.retry_after)
    elif out_of_time and attempt.seconds < _FAIR_CHANCE:
        ticket.cancelled()
    else:
        ticket.failure(fault.kind)
