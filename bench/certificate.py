"""A throwaway TLS certificate for 127.0.0.1, by the `openssl` command: Python's library cannot make one."""

from __future__ import annotations

import subprocess
from pathlib import Path


def certificate_in(folder: Path) -> tuple[str, str]:
    """The PEM files of a self-signed certificate and its key, good for two days."""
    certificate, key = str(folder / "cert.pem"), str(folder / "key.pem")
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    name = ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    leaf = ["-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run([*made, *name, *leaf, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key
