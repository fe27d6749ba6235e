"""How calls leave this machine: where to, through which proxy, trusting whom. Standard library only.

Law: the environment is read by the library whose convention it is: `urllib` for HTTP_PROXY, HTTPS_PROXY and NO_PROXY,
OpenSSL for SSL_CERT_FILE and SSL_CERT_DIR.

Limits: HTTP proxies only; ALL_PROXY, which mostly names a SOCKS one, is not read.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


class Proxies:
    """Which proxy a URL goes through, decided once per origin."""

    def __init__(self, *, trust_env: bool) -> None:
        """Read the environment now, or never."""
        self._by_scheme = getproxies() if trust_env else {}
        #: As many as there are endpoints.
        self._by_origin: dict[tuple[str, str], str | None] = {}

    def of(self, url: str) -> str | None:
        """The proxy for `url`; its password, if any, is in it."""
        if not self._by_scheme:
            return None
        scheme, netloc, *_ = urlsplit(url)
        if (scheme, netloc) not in self._by_origin:
            bypassed = bool(proxy_bypass(netloc.rpartition("@")[2]))
            self._by_origin[scheme, netloc] = None if bypassed else self._by_scheme.get(scheme)
        return self._by_origin[scheme, netloc]


def tls_context(*, verify: bool, ca_file: Path | None) -> ssl.SSLContext:
    """Trust the system's authorities, and besides them those of the PEM file `ca_file`; or anyone, without `verify`."""
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def host_and_port(url: str) -> str:
    """What an error may say of `url`: no user, no path, no query; "the provider" when it is malformed."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return "the provider"
    return f"{parts.hostname}:{port}"
