"""The database: one object that knows the address, the pool and the two engines' manners.

Law: opening one never touches the network, so a gateway starts while its database is away; whoever uses it then gets
`StoreUnavailable`. No message of ours carries the password, and SQLAlchemy is told to keep statement values (prompts,
hashes) out of its own.

SQLite: write-ahead log (set once, by the migrations), `synchronous=NORMAL`: a power cut may take the last commits but
never the file's integrity, and a killed process loses nothing. Transactions are begun by us: the driver's habit of
beginning late lets two writers meet halfway, which no busy timeout heals. `write()` therefore takes the write lock at
once and `read()` never does.

Limits: an in-memory SQLite is refused, because the log, the queries and the migrations are separate connections.
"""

from __future__ import annotations

import asyncio
import sqlite3
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import asyncpg
import msgspec
from sqlalchemy import URL, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from gateway.store.errors import StoreUnavailable
from gateway.store.pooling import Pooled
from gateway.store.text import encoded

#: Query parameters of an address that are secrets as much as its password is.
_SECRET_QUERY = ("password",)
#: Query parameters the driver knows. libpq knows more, and a pasted address may bring them: better told at the start
#: than by a failure of every connection.
_POSTGRES_QUERY = {"host", "port", "ssl", "password", "passfile", "target_session_attrs"}
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
#: SQLSTATE classes that mean "not now": connection, resources, a lock, operator intervention, system error, and objects
#: or columns that are not there (yet): a database that still waits for its migrations.
_AWAY_STATES = ("08", "53", "55P03", "57", "58", "25006", "42P01", "42703", "3D", "28")
#: Seconds that PostgreSQL has to let go of the connections that are closed, all of them together. Doubled, a kind stop
#: beside a silent server takes as much longer; halved, a busy one may find connections cut that it was about to close.
_LEAVE_WITHIN = 2.0
_READ, _WRITE = "BEGIN", "BEGIN IMMEDIATE"
_BEGIN, _TOLD = "steelyard_begin", "steelyard_told"
#: Of what has changed by a transaction: the thing's id, and what befell it.
Notice = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """The pool of the queries (the request log keeps connections of its own). Times in seconds."""

    echo: bool = False
    pool_size: int = 5
    max_overflow: int = 10
    pool_timeout: float = 30.0
    pool_recycle: float = 1800.0
    connect_timeout: float = 5.0
    #: The longest a statement may take before its caller is told that the store is unavailable (PostgreSQL).
    statement_timeout: float = 30.0
    #: Silence within a transaction after which PostgreSQL ends it and frees its locks: of a process that is frozen, or
    #: whose machine is gone without a word. None: as the server is set.
    idle_transaction_timeout: float | None = None
    #: How long a connection waits for another's write lock (SQLite).
    busy_timeout: float = 5.0


def parse_url(address: str | URL) -> URL:
    """The address with the driver we use; `postgres://`, `sqlite:///` and libpq's `sslmode` are understood.

    Raises:
        ValueError: not an address, another database, an unknown parameter, or an in-memory SQLite. The message never
            quotes the address.
    """
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        # from None: the cause quotes the address, password included
        raise ValueError("not a database address; expected e.g. postgresql+asyncpg://user@host/name") from None
    driver = _DRIVERS.get(url.drivername)
    if driver is None:
        raise ValueError(f"{url.drivername} is not supported; use postgresql+asyncpg or sqlite+aiosqlite")
    url = url.set(drivername=driver)
    if driver.startswith("sqlite") and (url.database in (None, "", ":memory:") or "mode=memory" in str(url.database)):
        raise ValueError("an in-memory SQLite cannot be shared by the log and the queries; name a file")
    if driver.startswith("postgresql") and "sslmode" in url.query:
        mode = url.query["sslmode"]
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    if driver.startswith("postgresql") and (unknown := sorted(set(url.query) - _POSTGRES_QUERY)):
        raise ValueError(f"the database address has unknown parameters: {', '.join(unknown)}")
    return url


def masked(url: URL) -> str:
    """The address as it may be shown."""
    hidden = {name: "***" for name in _SECRET_QUERY if name in url.query}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def is_away(exc: BaseException) -> bool:
    """Whether a driver's error means that the database is away rather than that the statement is wrong."""
    if isinstance(exc, DBAPIError):
        cause = exc.orig.__cause__ if exc.orig is not None and exc.orig.__cause__ is not None else exc.orig
        return exc.connection_invalidated or (cause is not None and is_away(cause))
    if isinstance(exc, asyncpg.PostgresError):
        return str(getattr(exc, "sqlstate", None) or "").startswith(_AWAY_STATES)
    if isinstance(exc, sqlite3.OperationalError):
        return True  # locked, full, unreadable, not migrated: SQLite has this one word for all of them
    if type(exc) is sqlite3.DatabaseError:
        return True  # damaged, or no file of SQLite's: the others of this name are kinds of it
    if isinstance(exc, asyncpg.ClientConfigurationError):
        return True  # no connection is begun: the file of authorities is not there, say
    if isinstance(exc, asyncpg.InterfaceError):
        return not isinstance(exc, ValueError)  # asyncpg's own DataError: a value it cannot encode
    return isinstance(exc, (OSError, TimeoutError, PoolTimeout, asyncpg.InternalClientError))


def _says_no(exc: BaseException) -> bool:
    """Whether the database has answered that it does not do it; a connection that is ended may have done it before."""
    if isinstance(exc, DBAPIError):
        cause = exc.orig.__cause__ if exc.orig is not None and exc.orig.__cause__ is not None else exc.orig
        return cause is not None and _says_no(cause)
    if isinstance(exc, asyncpg.PostgresError):
        return not str(getattr(exc, "sqlstate", None) or "08").startswith(("08", "57", "58"))
    return isinstance(exc, sqlite3.OperationalError)


class Database:
    """A database by its address.

    `dialect` says which engine it is; only the log's writers, the migrations and this module ask.
    """

    def __init__(self, url: str | URL, pool: PoolSettings | None = None) -> None:
        """Keep the address; nothing is opened yet.

        Raises:
            ValueError: as `parse_url`.
        """
        self.url = parse_url(url)
        self.pool = pool or PoolSettings()
        self.dialect: Literal["sqlite", "postgresql"] = (
            "sqlite" if self.url.drivername.startswith("sqlite") else "postgresql"
        )
        #: Told of what `tell` was, after the commit; never of what was rolled back. It must not raise.
        self.committed: Callable[[Sequence[Notice]], None] | None = None
        #: asyncpg's connections, those that are open among them.
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()
        self._engine = self._make_engine(
            pool_size=self.pool.pool_size,
            max_overflow=self.pool.max_overflow,
            pool_timeout=self.pool.pool_timeout,
            pool_recycle=self.pool.pool_recycle,
            pool_pre_ping=False,  # a second round trip per query; a stale connection costs one failed query instead
        )
        if self.dialect == "postgresql":
            event.listen(self._engine.sync_engine, "connect", self._opened)
        self.pooled = Pooled(self._engine, self.pool.pool_size + self.pool.max_overflow)
        self._unpooled: AsyncEngine | None = None
        self._writing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"Database({masked(self.url)!r})"

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A connection for queries.

        Raises:
            StoreUnavailable: away, hanging, or no connection free in time.
        """
        async with self._translated(), self.pooled.connection() as connection:
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[AsyncConnection]:
        """A connection whose queries all see the database as it was at the first of them.

        Raises:
            StoreUnavailable: as `read`.
        """
        async with self._translated(), self._engine.connect() as connection:
            if self.dialect == "postgresql":  # SQLite's readers never see otherwise
                asked: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
                connection = await connection.execution_options(**asked)
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """A connection in a transaction that commits at the end of the block, or rolls back.

        Raises:
            StoreUnavailable: as `read`; nothing was written.
        """
        told: list[Notice] = []
        async with self._translated(), self._turn(), self.pooled.connection() as connection:
            connection = await connection.execution_options(**{_BEGIN: _WRITE, _TOLD: told})
            async with connection.begin():
                yield connection
        if told and self.committed is not None:
            self.committed(told)

    async def dedicated(self) -> AsyncConnection:
        """A connection outside the pool, the caller's to close: the log and the queries never starve each other."""
        if self._unpooled is None:
            self._unpooled = self._make_engine(poolclass=NullPool)
        return await self._unpooled.connect()

    async def bare(self) -> Any:
        """A connection of the driver's own to PostgreSQL, which nobody else uses; the caller's to terminate.

        Raises:
            StoreUnavailable: away, or hanging.
        """
        _, where = self._engine.sync_engine.dialect.create_connect_args(self.url)
        clocks = {"timeout": self.pool.connect_timeout, "command_timeout": self.pool.statement_timeout}
        connect: Any = getattr(asyncpg, "connect")  # noqa: B009 - it ships no types, and has no known one
        async with self._translated():
            return await connect(**where, **clocks)

    async def ping(self, within: float = 2.0) -> None:
        """Return when the database answers.

        Raises:
            StoreUnavailable: not `within` that many seconds.
        """
        task = asyncio.create_task(self._select_one())
        done, _ = await asyncio.wait({task}, timeout=within)
        if not done:
            # Not awaited: the driver's own clean-up of a cancelled statement asks the same silent server.
            task.cancel()
            task.add_done_callback(_forget)
            raise StoreUnavailable(f"no answer from {masked(self.url)} within {within:g} s")
        task.result()

    async def dispose(self) -> None:
        """Close every pooled connection; what a silent server will not let go of is cut."""
        # Side by side and first: the pool closes one after the other, each for as long as a statement may take.
        closing = [asyncio.create_task(one.close()) for one in self._open]
        if closing:
            _, late = await asyncio.wait(closing, timeout=_LEAVE_WITHIN)
            for one in late:
                one.cancel()  # the driver then cuts the connection
            await asyncio.gather(*closing, return_exceptions=True)
        await self._engine.dispose()
        if self._unpooled is not None:
            await self._unpooled.dispose()

    def describe(self, exc: BaseException) -> str:
        """One line about an error, without the password and without a statement's values."""
        cause = exc.orig if isinstance(exc, DBAPIError) and exc.orig is not None else exc
        line = f"{type(cause).__name__}: {cause}".partition("\n")[0][:300]
        for secret in self._secrets():
            line = line.replace(secret, "***")
        return line

    def _opened(self, connection: Any, _record: object) -> None:
        self._open.add(connection.driver_connection)

    def _secrets(self) -> list[str]:
        found = [self.url.password, *(self.url.query.get(name) for name in _SECRET_QUERY)]
        return [secret for secret in found if isinstance(secret, str) and secret]

    async def _select_one(self) -> None:
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        """One's turn to write: on SQLite one after the other, in the order in which they came.

        Left to SQLite, those who wait for its one write lock sleep and look again, in no order: some for seconds.
        """
        if self.dialect == "postgresql":
            yield
            return
        try:
            async with asyncio.timeout(self.pool.busy_timeout):
                await self._writing.acquire()
        except TimeoutError as exc:
            waited = f"{self.pool.busy_timeout:g} s"
            raise StoreUnavailable(f"{masked(self.url)}: database is locked, and was for {waited}") from exc
        try:
            yield
        finally:
            self._writing.release()

    @asynccontextmanager
    async def _translated(self) -> AsyncGenerator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeout, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
            if not is_away(exc):
                raise
            told = StoreUnavailable(f"{masked(self.url)}: {self.describe(exc)}")
            told.refused = _says_no(exc)
            raise told from exc

    def _make_engine(self, **options: Any) -> AsyncEngine:
        connect: dict[str, Any] = {}
        if self.dialect == "sqlite":
            Path(str(self.url.database)).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            connect["timeout"] = self.pool.busy_timeout
        else:
            connect["timeout"] = self.pool.connect_timeout
            connect["command_timeout"] = self.pool.statement_timeout
        engine = create_async_engine(
            self.url,
            echo=self.pool.echo,
            hide_parameters=True,
            json_serializer=encoded,
            json_deserializer=msgspec.json.decode,
            connect_args=connect,
            **options,
        )
        if self.dialect == "sqlite":
            event.listen(engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(engine.sync_engine, "begin", _begin_sqlite)
        elif self.pool.idle_transaction_timeout is not None:
            event.listen(engine.sync_engine, "connect", _impatient(self.pool.idle_transaction_timeout))
        return engine


def tell(connection: AsyncConnection, notice: Notice) -> None:
    """Have it known that this has befallen something, once the transaction of `Database.write` is committed."""
    sync = connection.sync_connection
    told = None if sync is None else sync.get_execution_options().get(_TOLD)
    if told is not None:
        told.append(notice)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`
    cursor = connection.cursor()
    for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _impatient(seconds: float) -> Callable[[Any, object], None]:
    """Not as a parameter of the connection's start: poolers in between refuse those that they do not know."""
    statement = f"SET idle_in_transaction_session_timeout = {int(seconds * 1000)}"

    def execute(driver: Any) -> Coroutine[Any, Any, Any]:
        return driver.execute(statement)

    def prepare(connection: Any, _record: object) -> None:
        connection.run_async(execute)

    return prepare


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, _READ))


def _forget(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
