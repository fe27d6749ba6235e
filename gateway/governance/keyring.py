"""The keys of the database in the memory of this process, never more than a moment old.

    every half second: has the one version moved? → read what changed since → tell the `Principals`

So a revocation reaches every worker and replica within a second, over SQLite and PostgreSQL alike, and the process that
made it knows at once (`hear`). Looking costs one row; nothing else has to be there, neither Redis nor a listener.

Law: a database that is away takes nobody's key away: what is known stays valid until it expires, and `/api/health` says
how old that knowledge is. A process that has read no keys yet answers 503 to one that may be among them, never 401.

Hashes are keyed with a pepper: derived from SECRET_KEY, or else drawn by the first process that finds none, and kept in
the database. Each key tells by a fingerprint which one it was made with; those of another open nothing, and health
counts them.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from gateway.governance.grants import Grants, principal_of
from gateway.governance.keys import Opening, Principals
from gateway.store import keys
from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable
from gateway.store.keys import State, StoredKey

_log = logging.getLogger("steelyard.keys")
#: Seconds between two looks. Doubled, a revocation may take more than the second that is promised.
LOOK_EVERY = 0.5
#: Seconds that a look may take before it is given up for this time: a silent database must not hold up a stop.
_WITHIN = 5.0
#: Seconds that a stop waits for a look that is under way.
_LEAVE_WITHIN = 0.5
#: Keys that are read at once: so many fill a few hundred kilobytes, and the event loop for some milliseconds.
_CHUNK = 500
#: Bytes of a pepper that is drawn.
_PEPPER = 32
#: Seconds of silence of the database after which health calls the keys out of date: some looks, not one.
_STALE = 5.0


class Known(Struct, frozen=True):
    """How many keys open, how many cannot, and how many seconds ago the database was last seen; None: never."""

    status: str
    active: int
    unusable: int
    checked_seconds_ago: float | None
    error: str | None = None


class Keyring:
    """Brings the keys of the database to the principals."""

    def __init__(
        self,
        principals: Principals,
        database: Database,
        migrated: asyncio.Event,
        *,
        secret: bytes | None,
        monotonic: Callable[[], float],
    ) -> None:
        """Nothing is read before `read`; `migrated` is set once the tables are there.

        `secret` is the salt that was made of SECRET_KEY, and is the pepper then.
        """
        self._principals = principals
        self._database = database
        self._migrated = migrated
        self._secret = secret
        self._now = monotonic
        self._state: State | None = None
        self._pepper = secret
        #: By id, as read: to begin anew with after the settings were reloaded.
        self._rows: dict[str, StoredKey] = {}
        self._unusable = set[str]()
        self._checked: float | None = None
        self._problem: str | None = None
        principals.unread = True

    async def read(self) -> None:
        """Read all keys, once the tables are there."""
        await self._migrated.wait()
        await self.look()

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        await self._migrated.wait()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.look()

    async def look(self) -> None:
        """Bring what has changed since the last look. A database that is away changes nothing."""
        try:
            await _within(self._look())
        except StoreUnavailable as exc:
            if self._problem is None:
                _log.warning("keys cannot be looked after", extra={"error": str(exc)})
            self._problem = str(exc)
            return
        except Exception as exc:  # noqa: BLE001 - whatever it is: who looks no more hears of no revocation
            _log.exception("keys cannot be looked after")
            self._problem = type(exc).__name__
            return
        if self._problem is not None:
            _log.info("keys are looked after again")
        self._problem, self._checked = None, self._now()

    @property
    def pepper(self) -> bytes:
        """What new keys are hashed with. Raises `StoreUnavailable` while it is not known."""
        if self._pepper is None:
            raise StoreUnavailable(self._problem or "the keys were not read yet")
        return self._pepper

    def hear(self, row: StoredKey) -> None:
        """This process has changed a key itself: it does not wait for its next look."""
        if self._pepper is not None:
            self._take(row)

    def take_over(self, predecessor: Keyring) -> None:
        """Until the database was read, what the predecessor knows is known here, too."""
        if self._state is None and predecessor._state is not None:
            self._begin(predecessor._state)
            for row in predecessor._rows.values():
                self._take(row)
            self._checked = predecessor._checked
            self._principals.unread = predecessor._principals.unread

    def health(self) -> Known:
        """How many keys there are, and of when that is."""
        age = None if self._checked is None else max(0.0, self._now() - self._checked)
        behind = self._problem is not None or age is None or age > _STALE
        active = sum(row.revoked_at is None for row in self._rows.values()) - len(self._unusable)
        status = "degraded" if behind or self._unusable else "healthy"
        return Known(status, active, len(self._unusable), None if age is None else round(age, 3), self._problem)

    async def _look(self) -> None:
        seen = await keys.state(self._database)
        if seen is None:
            await keys.begin(self._database, secrets.token_hex(_PEPPER))
            seen = await keys.state(self._database)
            assert seen is not None
        if seen == self._state:
            return
        if self._state is None or seen.pepper != self._state.pepper or seen.version < self._state.version:
            # The first look, or another database in the place of the one that was here, or an older state of it.
            self._begin(State(0, seen.pepper))
        assert self._state is not None
        version = self._state.version
        while rows := await keys.changed(self._database, version, _CHUNK):
            for row in rows:
                self._take(row)
            version = rows[-1].version
            if len(rows) < _CHUNK:
                break
        self._state = State(max(version, seen.version), seen.pepper)
        self._principals.unread = False

    def _begin(self, state: State) -> None:
        self._state = state
        self._pepper = self._secret or bytes.fromhex(state.pepper)
        self._principals.begin(self._pepper)
        self._rows.clear()
        self._unusable.clear()
        self._principals.unread = True

    def _take(self, row: StoredKey) -> None:
        known = self._rows.get(row.id)
        if known is not None and known.version > row.version:
            return  # read before this process changed it itself
        self._rows[row.id] = row
        self._unusable.discard(row.id)
        if row.revoked_at is not None:
            self._principals.dismiss(row.id)
            return
        if not self._enter(row):
            self._principals.dismiss(row.id)
            self._unusable.add(row.id)

    def _enter(self, row: StoredKey) -> bool:
        """Let it open; False, and a line in the log, when it cannot."""
        told = {"key": row.id, "tenant": row.name}
        if row.pepper != fingerprint(self.pepper):
            _log.warning("a key was made with another SECRET_KEY; rotate it", extra=told)
            return False
        try:
            grants = msgspec.convert(row.grants, Grants, strict=False)
            openings = [Opening(bytes.fromhex(row.hash))]
            openings += [Opening(bytes.fromhex(one.hash), one.until) for one in row.former]
        except (msgspec.ValidationError, ValueError) as exc:
            # Of a newer version, perhaps: it may say of a key what is not known here, and must not be overlooked.
            _log.error("a key cannot be understood", extra=told | {"error": str(exc)})
            return False
        principal = principal_of(row.id, row.name, grants, row.expires_at)
        if not self._principals.admit(row.id, principal, tuple(openings)):
            _log.warning("a key of the API has the name of one in the configuration, which holds", extra=told)
            return False
        return True


def fingerprint(pepper: bytes) -> str:
    """Tells peppers apart, and nothing about them."""
    return blake2b(b"steelyard", key=pepper, digest_size=8).hexdigest()


async def _within(work: Coroutine[Any, Any, None]) -> None:
    """Do it, within some seconds. Raises `StoreUnavailable`."""
    task = asyncio.create_task(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=_WITHIN)
    except asyncio.CancelledError:
        # A stop: it is over in milliseconds, and a connection that is left amid a statement is never closed.
        await asyncio.wait({task}, timeout=_LEAVE_WITHIN)
        if not task.done():
            _leave(task)
        raise
    if not done:
        _leave(task)
        raise StoreUnavailable(f"no answer within {_WITHIN:g} s")
    task.result()


def _leave(task: asyncio.Task[None]) -> None:
    """Not awaited: the driver's own clean-up of a cancelled statement asks the same silent server."""
    task.cancel()
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
