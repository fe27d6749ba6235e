"""Where the durable engine keeps its own tables, beside ours."""

from __future__ import annotations

import socket
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import event, make_url


def engine_url(database_url: str) -> str:
    """Where the engine keeps its tables, for the address of the gateway's database.

    On PostgreSQL in the same database, in a schema of their own; beside SQLite's file in another, as two writers of one
    would wait for each other.
    """
    if database_url.startswith("sqlite"):
        path = Path(database_url.partition(":///")[2])
        return f"sqlite:///{path.with_name(path.stem + '-workflows' + path.suffix)}"
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    query = {{"ssl": "sslmode"}.get(name, name): value for name, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=False)


class Cut:
    """Ends what the engine's threads wait for: a silent server would hold them, and the process, for minutes."""

    def __init__(self, engine: Any) -> None:
        """Of SQLAlchemy's engine over psycopg, from now on."""
        self._taken: weakref.WeakSet[Any] = weakref.WeakSet()
        self._made = False
        event.listen(engine, "checkout", self._take)
        event.listen(engine, "do_connect", self._connect)

    def make(self) -> None:
        """Let every connection break, and no other be opened."""
        self._made = True
        for connection in list(self._taken):
            # The socket, not the connection: the thread that waits for it holds that one's lock.
            with (
                suppress(OSError, connection.Error),
                socket.socket(fileno=socket.dup(connection.fileno())) as ours,
            ):
                ours.shutdown(socket.SHUT_RDWR)

    def _take(self, connection: Any, _record: object, _proxy: object) -> None:
        self._taken.add(connection)

    def _connect(self, *_facts: object) -> None:
        if self._made:
            raise RuntimeError("this process stops: no connection is opened any more")
