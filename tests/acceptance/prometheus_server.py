"""A real Prometheus, with our prometheus.yml and rules, that looks at a gateway of the tests every second.

`make prometheus` puts the programs into `.prometheus`, where Debian's package can be had; those on the path do, too.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.acceptance.bad_days import PATIENCE
from tests.acceptance.bad_processes import ROOT, free_port

CONFIGURATION = ROOT / "prometheus.yml"
_PRIVATE = ROOT / ".prometheus"
WITHOUT = "without Prometheus: `make prometheus` fetches it, where there is Debian's apt-get"


def found(program: str) -> str | None:
    """Where `prometheus` or `promtool` is; None: nowhere."""
    return shutil.which(program, path=_PRIVATE) or shutil.which(program)


def configuration(folder: Path, gateway: int, key: str, own: int) -> Path:
    """Ours, to look at a gateway on a port of this machine, and at itself, every second; else it is the same."""
    made: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
    secret = folder / "metrics_key"
    secret.write_text(key + "\n")  # as files end
    made["global"] = {**made["global"], "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    made["rule_files"] = [str(ROOT / "prometheus" / one) for one in made["rule_files"]]
    ports = {"steelyard": [gateway], "steelyard-worker": list[int](), "prometheus": [own]}
    for job in made["scrape_configs"]:
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ports[job["job_name"]]]}]
        if "authorization" in job:
            job["authorization"]["credentials_file"] = str(secret)
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(made))
    return path


class Prometheus:
    """A running one."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **query: str) -> Any:
        """The `data` of an answer of its API. Raises `LookupError` with what it says when it refuses."""
        try:
            with urlopen(f"{self._url}/api/v1/{path}?{urlencode(query)}", timeout=PATIENCE) as answer:
                return json.load(answer)["data"]
        except HTTPError as exc:
            raise LookupError(json.load(exc)["error"]) from None

    def values(self, expr: str) -> list[float]:
        """What an expression is now, of all series."""
        data = self.get("query", query=expr)
        if data["resultType"] == "scalar":
            return [float(data["result"][1])]
        return [float(one["value"][1]) for one in data["result"]]

    def targets(self) -> Mapping[str, tuple[str, str]]:
        """Job → the health of its target, and the last error."""
        active = self.get("targets")["activeTargets"]
        return {one["labels"]["job"]: (one["health"], one["lastError"]) for one in active}

    def ready(self) -> bool:
        try:
            with urlopen(f"{self._url}/-/ready", timeout=PATIENCE) as answer:
                return answer.status == 200
        except OSError:
            return False


@contextmanager
def a_prometheus(folder: Path, gateway: int, key: str) -> Generator[Prometheus]:
    """One that looks at the gateway on this port, with this key."""
    program = found("prometheus")
    assert program is not None, WITHOUT
    own = free_port()
    said = folder / "said.log"
    with said.open("wb") as out:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={configuration(folder, gateway, key, own)}",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{own}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        running = Prometheus(own)
        give_up = time.monotonic() + PATIENCE
        while not running.ready():
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < give_up, said.read_text()
            time.sleep(0.05)
        yield running
    finally:
        process.kill()
        process.wait(PATIENCE)
