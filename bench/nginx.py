"""nginx as an upstream outside Python, and as the bare proxy that peers are compared with.

One worker, fixed answers from its configuration or from files. What it cannot do is left to `bench.upstream`: wait
before it answers, and stream (a static file is one chunk of known length, which costs whoever relays it less than the
sixty that a provider sends).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

from bench.answers import ANSWERS
from bench.processes import free_port, until_listening

#: nginx takes no longer word in its configuration than this many bytes, quotes included.
_LONGEST_WORD = 4000


def find() -> str | None:
    """The program; Debian keeps it off the path of ordinary users."""
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def start_upstream(stack: ExitStack, folder: Path, certificate: str, key: str) -> tuple[int, int] | str:
    """Serve the whole answers on a plain and a TLS port; or say in a sentence why not."""
    plain, tls = free_port(), free_port()
    listen = (
        f"listen 127.0.0.1:{plain} backlog=1024;\n"
        f"listen 127.0.0.1:{tls} ssl backlog=1024;\nssl_certificate {certificate};\nssl_certificate_key {key};\n"
    )
    return _start(stack, folder, listen + locations(folder), "") or (plain, tls)


def start_proxy(stack: ExitStack, folder: Path, whole: int, streams: int) -> tuple[int, subprocess.Popen[bytes]] | str:
    """Pass everything on to the upstreams on these ports, and do nothing else; or say in a sentence why not."""
    port = free_port()
    pools = "".join(
        f"upstream {name} {{ server 127.0.0.1:{to}; keepalive 512; keepalive_requests 1000000000; }}\n"
        for name, to in (("whole", whole), ("streams", streams))
    )
    passing = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;'
    server = (
        f"listen 127.0.0.1:{port} backlog=1024;\n"
        f"location / {{ proxy_pass http://whole; {passing} }}\n"
        f"location ^~ /stream/ {{ proxy_pass http://streams; {passing} }}\n"
    )
    started: list[subprocess.Popen[bytes]] = []
    return _start(stack, folder, server, pools, started) or (port, started[0])


def _start(
    stack: ExitStack, folder: Path, server: str, before: str, started: list[subprocess.Popen[bytes]] | None = None
) -> str | None:
    program = find()
    if program is None:
        return "nginx is not installed (Debian: apt-get install nginx-light)"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nginx.conf"
    path.write_text(_configuration(folder, before, server))
    # One process: it is measured, pinned and ended as one.
    command = [program, "-c", str(path), "-p", str(folder), "-e", str(folder / "error.log")]
    tried = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"nginx does not take our configuration: {tried.stderr.strip()[-300:]}"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    if started is not None:
        started.append(process)
    until_listening(int(server.partition("127.0.0.1:")[2].split()[0]), process)
    return None


def _configuration(folder: Path, before: str, server: str) -> str:
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
    return (
        f"daemon off;\nmaster_process off;\n{user}pid {folder}/nginx.pid;\nevents {{ worker_connections 8192; }}\n"
        f"http {{\naccess_log off;\n{places}keepalive_requests 1000000000;\nclient_max_body_size 64m;\n"
        f"client_body_buffer_size 1m;\nopen_file_cache max=16;\n{before}server {{\n{server}}}\n}}\n"
    )


def locations(folder: Path) -> str:
    """One place for each whole answer: in the configuration when short, else in a file.

    A file is for GET only, so a POST is sent there as an error is sent to its page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[str] = []
    for name, answer in ANSWERS.items():
        if len(answer.pieces) > 1:
            continue
        text = answer.body.decode()
        if len(text) < _LONGEST_WORD and not set(text) & set("'$\\"):
            parts.append(f"location ^~ /{name}/ {{ default_type {answer.content_type}; return 200 '{text}'; }}\n")
            continue
        (folder / name).write_bytes(answer.body)
        parts.append(
            f"location ^~ /{name}/ {{ error_page 418 =200 /files/{name}; return 418; }}\n"
            f"location = /files/{name} {{ internal; default_type {answer.content_type}; alias {folder / name}; }}\n"
        )
    return "".join(parts)
