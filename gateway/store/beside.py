"""What lies beside the gateway's database: the durable engine's own tables, and the name that sets its files apart."""

from __future__ import annotations

import hashlib
import socket
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import event, make_url, text

from gateway.store.engine import Database


def name_of(database_url: str) -> str:
    """A short name of the database, the same in every process that has this address for it.

    Two databases must not tidy up each other's files in one folder. Who asks, and by which driver, is no part of it.
    """
    url = make_url(database_url)
    where = [url.get_backend_name(), url.host or url.query.get("host"), url.port, url.database]
    if database_url.startswith("sqlite"):
        where = ["sqlite", str(Path(database_url.partition(":///")[2]).resolve())]
    return hashlib.sha256("\n".join(map(str, where)).encode()).hexdigest()[:12]


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


async def forget_attempts(database: Database) -> None:
    """Forget what the engine has of attempts: all of it. No process may be running it.

    Raises:
        StoreUnavailable: the database is away.
    """
    if database.dialect == "sqlite":
        path = Path(engine_url(str(database.url)).removeprefix("sqlite:///"))
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return
    async with database.write() as connection:
        if await connection.scalar(text("SELECT to_regclass('dbos.workflow_status')")) is not None:
            await connection.execute(text("DELETE FROM dbos.workflow_status WHERE name = 'attempt'"))


def leave_the_disk_alone(engine: Any) -> None:
    """Let SQLAlchemy's engine over psycopg commit without waiting for PostgreSQL's disk.

    For what the durable engine notes of attempts: ours says the same, and waits. When the server crashes, the last of
    it may be lost (three times its `wal_writer_delay`): an attempt is then run again, and finds all its steps done.
    """
    told: weakref.WeakSet[Any] = weakref.WeakSet()

    def tell(connection: Any, _record: object, _proxy: object) -> None:
        if connection not in told:
            told.add(connection)
            connection.execute("SET synchronous_commit = off")
            # The pool rolls back what it is given back, and a bare SET with it.
            connection.commit()

    event.listen(engine, "checkout", tell)


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
