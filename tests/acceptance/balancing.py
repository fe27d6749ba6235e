"""The nginx of the compose files before gateways of this machine, with its configuration but for paths and ports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from tests.acceptance.bad_days import PATIENCE
from tests.acceptance.bad_processes import ROOT, free_port

_FILES = ROOT / "deploy" / "nginx"
NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="there is no nginx on this machine (Debian: nginx-light)")
#: What only a container has: the names of gateways, and who tells their addresses.
_RESOLVER, _SERVER = "resolver 127.0.0.11 valid=2s ipv6=off;", "server gateway:8000 resolve max_fails=0;"


class Balancer:
    """An nginx in a folder, in front of gateways at these ports."""

    def __init__(self, folder: Path, gateways: Sequence[int], *, tls: Path | None = None) -> None:
        """With `tls`, a folder of `tls_certificate` and `tls_key`, it listens as in production."""
        self.port, self.tls_port, self._own_port = free_port(), free_port(), free_port()
        self._folder = folder
        (folder / "tmp").mkdir(parents=True)
        names = {"/tmp/": f"{folder}/tmp/", "/etc/nginx/": f"{folder}/", "/dev/stdout": f"{folder}/requests.log"}
        ports = {"8080": str(self.port), "8443": str(self.tls_port), "127.0.0.1:8081": f"127.0.0.1:{self._own_port}"}
        swapped = {
            **names,
            **{f"listen {before}": f"listen {after}" for before, after in ports.items()},
            "/run/secrets/": f"{tls}/",
            _RESOLVER: "",
            _SERVER: "\n    ".join(_SERVER.replace("gateway:8000 resolve", f"127.0.0.1:{one}") for one in gateways),
        }
        for name, source in (
            ("nginx.conf", "nginx.conf"),
            ("gateways.conf", "gateways.conf"),
            ("listen.conf", "tls.conf" if tls else "listen.conf"),
        ):
            text = (_FILES / source).read_text()
            for before, after in swapped.items():
                text = text.replace(before, after)
            (folder / name).write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        """Its log of errors."""
        return (self._folder / "errors.log").read_text()

    @property
    def requests(self) -> str:
        """Its line for each request."""
        return (self._folder / "requests.log").read_text()

    def _command(self, *more: str) -> list[str]:
        assert NGINX is not None
        # Its children would become nobody, who may not enter a folder of ours.
        said = "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
        return [NGINX, "-c", str(self._folder / "nginx.conf"), "-p", str(self._folder), "-g", said, *more]

    def checked(self) -> subprocess.CompletedProcess[str]:
        """What `nginx -t` says."""
        return subprocess.run(self._command("-t"), capture_output=True, text=True, check=False, timeout=PATIENCE)

    def start(self) -> None:
        """Start, and wait until it listens."""
        with (self._folder / "errors.log").open("ab") as said:
            self._process = subprocess.Popen(self._command(), stdout=said, stderr=said)
        give_up = time.monotonic() + PATIENCE
        while self._alive() != 204:
            assert self._process.poll() is None, self.said
            assert time.monotonic() < give_up, self.said
            time.sleep(0.01)

    def stop(self) -> None:
        """At once; safe to repeat."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(PATIENCE)

    def _alive(self) -> int:
        connection = HTTPConnection("127.0.0.1", self._own_port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status
        except (OSError, HTTPException):
            return 0
        finally:
            connection.close()


@contextmanager
def a_balancer(folder: Path, *gateways: int, tls: Path | None = None) -> Generator[Balancer]:
    """One that runs until the end of the block."""
    balancer = Balancer(folder, gateways, tls=tls)
    balancer.start()
    try:
        yield balancer
    finally:
        balancer.stop()
