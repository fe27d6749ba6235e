"""This machine: the port and who answers there, folders, files, the time zone."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.doctor.finding import Finding, ok, problem, size, warning
from gateway.settings.tree import Settings
from providers.errors import Fault
from providers.transport import Timeouts, Transport

#: Bytes that should be free where records wait for a database that is away: the spill's own bound, by default.
_LITTLE = 1024**3
#: Open files for a thousand callers, each with a connection to a provider, and some for ourselves.
_FILES = 4096
_CLOCKS = Timeouts(connect=2.0, first_byte=5.0, idle=5.0, total=6.0)


async def port(settings: Settings) -> list[Finding]:
    """Whether the port is free, or a gateway of ours answers on it, and how that is."""
    server = settings.server
    where = f"{server.host}:{server.port}"
    reason = _taken(server.host, server.port)
    if reason is None:
        return [ok("port", f"{where} is free: no gateway runs here")]
    if reason:
        return [problem("port", f"{where} cannot be had: {reason}", "Choose another: STEELYARD_HOST, STEELYARD_PORT.")]
    # Not by way of a proxy: it is this machine.
    transport = Transport(trust_env=False)
    try:
        return await _running(transport, settings, where)
    finally:
        await transport.close()


async def _running(transport: Transport, settings: Settings, where: str) -> list[Finding]:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "[::]": "[::1]"}.get(settings.server.host, settings.server.host)
    base = f"http://{host}:{settings.server.port}"
    key = settings.auth.admin_key or next((one.key for one in settings.keys), None)
    headers = [("authorization", f"Bearer {key.reveal()}")] if key else []
    taken = problem("port", f"{where} is taken by another program", "Stop it, or choose another port: STEELYARD_PORT.")
    try:
        async with transport.open("GET", f"{base}/api/health", headers, None, _CLOCKS, deadline=None) as answer:
            report: Any = json.loads(await answer.read())
            status = answer.status
    except (Fault, ValueError):
        return [taken]
    if status == 401:
        return [
            warning(
                "gateway",
                f"answers on {where}, and does not take this configuration's keys",
                "Was it started with other settings? kill -HUP has it read them again.",
            )
        ]
    if not isinstance(report, dict) or "services" not in report:
        return [taken]
    return [ok("port", f"a gateway answers on {where}"), *_health(report)]


def _health(report: Any) -> Iterator[Finding]:
    said = f"{report['status']}, version {report['version']}, up for {report['uptime_seconds'] / 3600:.1f} h"
    advice = "GET /api/health tells all of it."
    if report["status"] == "healthy":
        yield ok("gateway", said)
        return
    yield (problem if report["status"] == "unhealthy" else warning)("gateway", said, advice)
    for name, service in report["services"].items():
        if service["status"] != "healthy":
            why = service.get("error") or service.get("last_error") or service.get("because") or service.get("failed")
            yield warning("gateway", f"its {name} is {service['status']}" + (f": {why}" if why else ""), advice)


def _taken(host: str, number: int) -> str | None:
    """None: free; empty: somebody listens there; else why it cannot be listened on."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), number, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
    except OSError as exc:
        return "" if exc.errno == errno.EADDRINUSE else exc.strerror or type(exc).__name__
    return None


async def folders(settings: Settings) -> list[Finding]:
    """Where records wait, and where artifacts lie."""
    spill, artifacts = settings.request_log.spill_dir, settings.artifacts.dir
    found = [
        *_folder("the spill", spill, "STEELYARD_LOG_SPILL_DIR"),
        *_folder("artifacts", artifacts, "STEELYARD_ARTIFACTS_DIR"),
    ]
    damaged = list(spill.glob("*/*.damaged"))
    if damaged:
        found.append(
            warning(
                "folders",
                f"{len(damaged)} damaged files of records were set aside: {damaged[0]} …",
                "Keep them if you want the rows looked at, or delete them.",
            )
        )
    waiting = sum(one.stat().st_size for one in spill.glob("*/*.spill"))
    if waiting:
        found.append(
            warning(
                "folders",
                f"{size(waiting)} of records wait in {spill} for the database",
                "They are written when a gateway runs and the database answers: do not delete them.",
            )
        )
    return found


def _folder(what: str, place: Path, variable: str) -> Iterator[Finding]:
    there = next(one for one in (place.absolute(), *place.absolute().parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield problem(
            "folders",
            f"{there} may not be written to, and {what} would lie there",
            f"chown it to uid {os.getuid()}, or name another: {variable}",
        )
        return
    free = shutil.disk_usage(there).free
    if free < _LITTLE:
        yield warning(
            "folders", f"{size(free)} are free for {what} ({there})", f"Make room, or name another: {variable}"
        )
    else:
        yield ok("folders", f"{what}: {place}, {size(free)} free")


async def limits(settings: Settings) -> list[Finding]:
    """Open files, and the time zone of schedules."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    found: list[Finding] = []
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        found.append(
            warning(
                "machine",
                f"a process may open {soft} files, and each caller takes two",
                "ulimit -n 65536; of systemd: LimitNOFILE=65536",
            )
        )
    zone = settings.workflows.timezone
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        found.append(problem("time zone", f"there is no '{zone}'", "Set TZ to a name such as Europe/Berlin or UTC."))
    else:
        found.append(ok("time zone", f"{zone} for schedules that name none; this machine's is {time.tzname[0]}"))
    return found
