"""Where one is in a trace: the identity of a span, W3C `traceparent` in and out, and what the log says of it.

Source: https://www.w3.org/TR/trace-context/. What does not follow it to the letter is no context, and a new trace is
begun: a caller cannot put anything but two numbers and a flag into ours. `tracestate` is passed on as it came, up to
the length that everybody has to pass on.
"""

from __future__ import annotations

import random
import re
from contextvars import ContextVar
from hashlib import blake2b

from msgspec import Struct
from msgspec.structs import replace

_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?")
_STATE = re.compile(rb"[ -~]{1,512}")
_TOP = b"ff"


class Place(Struct):
    """A span in a trace. `sampled`: its trace is sent to the collector; `state` is the `tracestate` that came along."""

    trace: int
    span: int
    sampled: bool
    state: str = ""

    @property
    def trace_id(self) -> str:
        """As it is written."""
        return f"{self.trace:032x}"

    @property
    def span_id(self) -> str:
        """As it is written."""
        return f"{self.span:016x}"

    @property
    def traceparent(self) -> str:
        """As it is passed on."""
        return f"00-{self.trace:032x}-{self.span:016x}-{self.sampled:02x}"


class Trace(Place, kw_only=True):
    """The span of what is under way since `start`, in Unix seconds. What it is called is told when it has ended.

    `parent` is the span above it, 0 where there is none; `path` the address that was asked for, or empty within the
    gateway, where `name` says what is done. `told` are the providers that hear of the trace, or `*`. Of one that is
    `relayed` no span is ours: the gateway sends no traces, and this is the caller's own span.
    """

    rng: random.Random
    start: float = 0.0
    parent: int = 0
    path: str = ""
    name: str = ""
    told: frozenset[str] = frozenset()
    relayed: bool = False

    def below(self, name: str) -> Trace:
        """A span within this one."""
        if self.relayed:
            return self
        return replace(self, span=new_span(self.rng), parent=self.span, path="", name=name)

    def tells(self, provider: str) -> bool:
        """Whether a provider hears of it: none does, as a rule."""
        return provider in self.told or "*" in self.told

    def headers(self, span: int) -> tuple[tuple[str, str], ...]:
        """What is told of it to whoever is asked within that span."""
        parent = ("traceparent", replace(self, span=span).traceparent)
        return (parent, ("tracestate", self.state)) if self.state else (parent,)


class Here(Struct, frozen=True):
    """What is being done, for the lines of the log: ids of a request and of an execution, and the span."""

    request_id: str = ""
    execution_id: str = ""
    place: Place | None = None


_here: ContextVar[Here | None] = ContextVar("here", default=None)
#: Say what is being done from now on, in this task and those it makes; and what is.
enter, here = _here.set, _here.get


def new_trace(rng: random.Random) -> int:
    """The number of a new trace; never 0, which stands for none."""
    return rng.getrandbits(128) or 1


def new_span(rng: random.Random) -> int:
    """The number of a new span; never 0."""
    return rng.getrandbits(64) or 1


def read(parent: bytes, state: bytes | None) -> Place | None:
    """The caller's span, of these two headers; None when the first is none."""
    match = _PARENT.fullmatch(parent.strip())
    if match is None or match[1] == _TOP or (match[1] == b"00" and match[5]):
        return None
    trace, span = int(match[2], 16), int(match[3], 16)
    if not trace or not span:
        return None
    kept = state.strip() if state is not None else b""
    return Place(trace, span, bool(int(match[4], 16) & 1), kept.decode() if _STATE.fullmatch(kept) else "")


def read_text(parent: str) -> Place | None:
    """The same of a `traceparent` that was kept as text, and the `tracestate` behind a blank."""
    head, _, state = parent.partition(" ")
    return read(head.encode("ascii", "replace"), state.encode("ascii", "replace") or None)


def begun_in() -> str | None:
    """Where in a trace one is, as text for `read_text`, to be kept with what is begun here; None: in none."""
    now = _here.get()
    if now is None or now.place is None:
        return None
    return f"{now.place.traceparent} {now.place.state}" if now.place.state else now.place.traceparent


def derived(bits: int, *names: object) -> int:
    """The number that follows from these names, in every process alike: of a trace (128 bits) or a span (64)."""
    digest = blake2b("\0".join(map(str, names)).encode("utf-8", "replace"), digest_size=bits // 8).digest()
    return int.from_bytes(digest, "big") or 1


def below(name: str) -> Trace | None:
    """A span within what is being done; None where that is in no trace."""
    now = _here.get()
    return now.place.below(name) if now is not None and isinstance(now.place, Trace) else None
