"""What the cache's tests stand on: a clock set by hand, and a Redis that may be frozen, killed and restarted."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from cache import Store

#: Seconds after which a test gives up on what should have happened at once.
PATIENCE = 20.0


class Clock:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class World:
    """A store, and the passing of time as it sees it."""

    def __init__(self, store: Store, lapse: Callable[[], Awaitable[None]]) -> None:
        self.store = store
        #: Let a few milliseconds of the store's time pass.
        self.lapse = lapse

    async def until_gone(self, key: str) -> None:
        """Wait for the store to forget the key, or fail."""
        give_up = time.monotonic() + PATIENCE
        while await self.store.get(key) is not None:
            assert time.monotonic() < give_up, "it never expired"
            await self.lapse()


class Server:
    """A redis-server of the wheel, on a port that stays its own from one start to the next."""

    def __init__(self, binary: Path, folder: Path, *, password: str | None = None) -> None:
        self._command = [str(binary), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
        if password is not None:
            self._command += ["--requirepass", password]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.socket = folder / "redis.sock"
        self._command += ["--port", str(self.port), "--unixsocket", str(self.socket)]
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, password: str = "") -> str:
        return f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        give_up = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, "redis-server did not start"
            assert time.monotonic() < give_up, "redis-server did not answer"
            time.sleep(0.005)

    def kill(self) -> None:
        """As a crash would; safe to repeat."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(PATIENCE)

    def freeze(self) -> None:
        """It keeps its connections and says nothing any more. Returns once it has really stopped."""
        process = self._running()
        process.send_signal(signal.SIGSTOP)
        give_up = time.monotonic() + PATIENCE
        while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < give_up, "redis-server did not stop"
            time.sleep(0.001)

    def thaw(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def ask(self, *words: str) -> bytes:
        """One command of an operator, past the store; the answer's bytes."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            connection.sendall(" ".join(words).encode() + b"\r\n")
            return connection.recv(65536)

    def commands(self) -> int:
        """How many commands it has carried out, this question excepted."""
        lines = self.ask("INFO", "stats").split(b"\r\n")
        return next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"total_commands_processed"))

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "redis-server is not running"
        return self._process

    def _answers(self) -> bool:
        try:
            answer = self.ask("PING")
        except OSError:
            return False
        return answer.startswith((b"+PONG", b"-NOAUTH"))
