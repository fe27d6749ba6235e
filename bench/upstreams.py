"""The upstream of a leg: nginx for whole answers where it can, the Python one for streams, waiting and failing."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import nginx
from bench.answers import ANSWERS


@dataclass(frozen=True)
class Upstream:
    """Where answers come from. `about` says by whom."""

    whole: int
    streams: int
    tls_whole: int
    tls_streams: int
    about: str
    #: Process ids of those that the soak watches.
    pids: tuple[int, ...]

    def port(self, answer: str, *, tls: bool = False) -> int:
        """The port that gives this answer."""
        streamed = len(ANSWERS[answer].pieces) > 1
        if tls:
            return self.tls_streams if streamed else self.tls_whole
        return self.streams if streamed else self.whole

    def url(self, answer: str, *, tls: bool) -> str:
        """The address below which a dialect's paths give this answer."""
        return f"{'https' if tls else 'http'}://127.0.0.1:{self.port(answer, tls=tls)}/{answer}"


@dataclass(frozen=True)
class Manner:
    """How the upstream is to answer: milliseconds, and shares of all requests."""

    delay_ms: float = 0.0
    event_ms: float = 0.0
    fail: float = 0.0
    cut: float = 0.0

    @property
    def for_nginx(self) -> bool:
        """Nginx answers like this: at once, and always."""
        return not (self.delay_ms or self.fail or self.cut)


def start(
    stack: ExitStack, folder: Path, certificate: tuple[str, str], manner: Manner, *, use_nginx: bool = True
) -> Upstream:
    """Start what gives answers in this manner; with TLS on a second port each."""
    process, (plain, tls) = _python(stack, certificate, manner)
    own = "an asyncio protocol in Python on uvloop"
    if not use_nginx:
        return Upstream(plain, plain, tls, tls, f"{own}, as asked.", (process.pid,))
    if not manner.for_nginx:
        return Upstream(plain, plain, tls, tls, f"{own}, since nginx can neither wait nor fail.", (process.pid,))
    found = nginx.start_upstream(stack, folder, *certificate)
    if isinstance(found, str):
        return Upstream(plain, plain, tls, tls, f"{own}, since {found}.", (process.pid,))
    about = f"nginx; for streams {own}, since nginx would send a stream as one chunk."
    return Upstream(found[0], plain, found[1], tls, about, (process.pid,))


def _python(
    stack: ExitStack, certificate: tuple[str, str], manner: Manner
) -> tuple[subprocess.Popen[bytes], tuple[int, int]]:
    command = [sys.executable, "-m", "bench.upstream", "--certificate", certificate[0], "--key", certificate[1]]
    command += ["--delay-ms", str(manner.delay_ms), "--event-ms", str(manner.event_ms)]
    command += ["--fail", str(manner.fail), "--cut", str(manner.cut)]
    process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
    stack.callback(process.kill)
    assert process.stdout is not None
    plain, tls = json.loads(process.stdout.readline())
    return process, (plain, tls)
