"""The socket that a command listens on."""

from __future__ import annotations

import socket

import rich_click as click


def listen(host: str, port: int, advice: str = "--port or STEELYARD_PORT") -> socket.socket:
    """The listening socket, before anything else is opened. Raises `click.ClickException` when it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as exc:
        raise click.ClickException(
            f"Cannot listen on {host}:{port}: {exc.strerror}. Choose another with {advice}."
        ) from exc
    listening.set_inheritable(True)
    return listening
