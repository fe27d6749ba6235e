"""A closed-loop HTTP/1.1 load generator: so many connections, each sending its next request when it has its answer.

Written on asyncio protocols because a client library would cost more than the server that is measured. It reads just
enough of HTTP: a status, and a body by Content-Length or in chunks. Runs in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import cast

import uvloop


@dataclass
class Result:
    """What came of one run. Seconds; `errors` counts answers other than 200 and broken connections."""

    seconds: float = 0.0
    errors: int = 0
    latencies: list[float] = field(default_factory=list[float])
    first_bytes: list[float] = field(default_factory=list[float])

    def summary(self) -> dict[str, float]:
        """Requests per second and percentiles in milliseconds."""
        done = sorted(self.latencies)
        first = sorted(self.first_bytes)
        return {
            "requests": len(done),
            "errors": self.errors,
            "per_second": len(done) / self.seconds if self.seconds else 0.0,
            "p50_ms": _percentile(done, 0.50) * 1000,
            "p95_ms": _percentile(done, 0.95) * 1000,
            "p99_ms": _percentile(done, 0.99) * 1000,
            "p99_9_ms": _percentile(done, 0.999) * 1000,
            "first_byte_p50_ms": _percentile(first, 0.50) * 1000,
        }


def _percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


class Connection(asyncio.Protocol):
    """One caller."""

    def __init__(self, request: bytes, result: Result, until: float, done: asyncio.Future[None]) -> None:
        self._request = request
        self._result = result
        self._until = until
        self._done = done
        self._buffer = b""
        self._left = -1
        self._chunked = False
        self._sent = 0.0
        self._first = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        if not self._first:
            self._first = time.perf_counter()
        if self._left >= 0 and not self._chunked:
            self._left -= len(data)
        else:
            self._buffer += data
            if self._left < 0 and not self._head():
                return
        if self._chunked:
            if not self._buffer.endswith(b"0\r\n\r\n"):
                return
        elif self._left > 0:
            return
        self._answered()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._result.errors += 1
            self._done.set_result(None)

    def _head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self._buffer[:end].lower()
        if not head.startswith(b"http/1.1 200"):
            self._result.errors += 1
        body = self._buffer[end + 4 :]
        if b"transfer-encoding: chunked" in head:
            self._chunked, self._left = True, 0
            self._buffer = body
            return True
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        self._left = length - len(body)
        self._buffer = b""
        return True

    def _send(self) -> None:
        self._left, self._chunked, self._buffer, self._first = -1, False, b"", 0.0
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def _answered(self) -> None:
        now = time.perf_counter()
        self._result.latencies.append(now - self._sent)
        self._result.first_bytes.append(self._first - self._sent)
        if now >= self._until:
            self._done.set_result(None)
            self._transport.close()
        else:
            self._send()


async def closed_loop(port: int, request: bytes, concurrency: int, seconds: float) -> Result:
    """Drive 127.0.0.1:`port` with `concurrency` connections for `seconds`."""
    loop = asyncio.get_running_loop()
    result = Result()
    began = time.perf_counter()
    ends: list[asyncio.Future[None]] = []
    for _ in range(concurrency):
        end: asyncio.Future[None] = loop.create_future()
        ends.append(end)
        await loop.create_connection(
            lambda end=end: Connection(request, result, began + seconds, end), "127.0.0.1", port
        )
    await asyncio.gather(*ends)
    result.seconds = time.perf_counter() - began
    return result


def post(port: int, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """The bytes of one request."""
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def main() -> None:
    """Read one order as JSON from standard input, drive, write the summary as JSON."""
    order = json.load(sys.stdin)
    request = post(order["port"], order["path"], order["body"].encode(), order["headers"])
    result = uvloop.run(closed_loop(order["port"], request, order["concurrency"], order["seconds"]))
    json.dump({**result.summary(), "order": {name: order[name] for name in ("path", "concurrency")}}, sys.stdout)


if __name__ == "__main__":
    main()
