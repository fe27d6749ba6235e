"""Who is behind one stream: whose tokens are whose, and whose ticket ends how.

A stream is an attempt's own, or it is `weaving.Woven` of several: then the first attempt is settled with the request,
and the others by what stands behind the stream.
"""

from __future__ import annotations

from typing import Protocol

from gateway.metering import Meter
from providers.chat import Usage


class Sharing(Protocol):
    """What is asked when a stream is over, or is given up."""

    def settle(self, now: float) -> None:
        """Bill the attempts beside the first, and settle their tickets."""
        ...

    def own(self, meter: Meter) -> Usage:
        """The first attempt's tokens; `meter` has read what the caller was told."""
        ...

    def total(self, meter: Meter) -> Usage:
        """The tokens of all attempts."""
        ...

    @property
    def lead_broke(self) -> bool:
        """Of a stream that broke: it was the first attempt's fault."""
        ...

    @property
    def lead_complete(self) -> bool:
        """Of a stream that its caller left: the first attempt had said all of its part."""
        ...

    def give_up(self) -> None:
        """Another deployment's stream began first: let go of the tickets beside the first."""
        ...


class Sole:
    """One attempt alone."""

    lead_broke = True
    lead_complete = False

    def settle(self, now: float) -> None:
        """Nobody is beside it."""

    def own(self, meter: Meter) -> Usage:
        """All of them."""
        return meter.usage()

    def total(self, meter: Meter) -> Usage:
        """Its own."""
        return meter.usage()

    def give_up(self) -> None:
        """Nobody is beside it."""


SOLE = Sole()
