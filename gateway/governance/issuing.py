"""Keys made, looked at, changed, rotated and revoked, by an administrator.

Law: a key's text is told once, to whoever made or rotated it, and is kept nowhere. A name is never given twice, not
even after a revocation, for it is the tenant: whoever had it again would read its predecessor's records. What is
committed is known in this process when the answer goes out, and in all others within a second (`keyring`).

The first key of the API needs an administrator with a key: otherwise nobody could administer from then on.
"""

from __future__ import annotations

import random
import secrets
import string
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct, structs

from dwa.strategies import STRATEGIES
from gateway.errors import BadRequest, Conflict, Invalid, NotFound
from gateway.governance.grants import Grants
from gateway.governance.keyring import Keyring, fingerprint
from gateway.governance.keys import PREFIX, Principal, Principals, digest_of
from gateway.identity import new_id
from gateway.settings.allowing import objectives_in, unknown_names
from gateway.settings.names import suggestion
from gateway.settings.routes import TENANTS
from gateway.settings.tree import Settings
from gateway.store import audit, keys
from gateway.store.audit import Act
from gateway.store.engine import Database
from gateway.store.keys import Former, NameTaken, StoredKey

#: 43 of 62 letters: 256 bits, and no sign at which a terminal ends its selection.
_LETTERS = string.ascii_letters + string.digits
_LENGTH = 43
#: Letters of the secret that are shown: enough to tell two keys apart, and 232 bits remain.
_SHOWN = len(PREFIX) + 4
#: Former texts of a key that may be open at once: whoever rotates it more often than that forgets which are.
_FORMER = 10


class Made(Struct, frozen=True):
    """A key, and its text, which is told this once."""

    stored: StoredKey
    key: str


class Issuing:
    """The administration of keys."""

    def __init__(
        self,
        database: Database,
        principals: Principals,
        keyring: Keyring,
        settings: Settings,
        *,
        wall: Callable[[], float],
        rng: random.Random,
        draw: Callable[[], str] = lambda: "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH)),
    ) -> None:
        """Keep them in `database`; `draw` makes secrets."""
        self._database = database
        self._principals = principals
        self._keyring = keyring
        self._settings = settings
        self._wall = wall
        self._rng = rng
        self._draw = draw

    async def create(
        self, name: str, grants: Grants, expires_at: float | None, by: Principal, act: Act | None = None
    ) -> Made:
        """A new key, and the act of making it. Raises `Invalid`, `BadRequest`, or `Conflict` when the name is taken."""
        if not self._principals.keyed:
            raise Conflict(
                "Set STEELYARD_ADMIN_KEY and restart first: once there is a key, everybody needs one, and nobody could "
                "administer this gateway."
            )
        self._check(grants)
        self._check_expiry(expires_at)
        if name in TENANTS or self._principals.configured(name):
            raise Conflict(f"The name '{name}' is taken. Choose another.", param="name", code="name_taken")
        text, pepper, now = PREFIX + self._draw(), self._keyring.pepper, self._wall()
        row = StoredKey(
            id=new_id("key", now, self._rng),
            name=name,
            prefix=text[:_SHOWN],
            hash=digest_of(text, pepper).hex(),
            pepper=fingerprint(pepper),
            created_at=now,
            created_by=by.name,
            expires_at=expires_at,
            grants=msgspec.to_builtins(grants),
        )
        try:
            async with self._database.write() as connection:
                row = await keys.put(connection, row)
                await audit.write(connection, _told(act, None, row))
        except NameTaken as exc:
            told = f"The name '{name}' belongs to another key, or did to one that was revoked. Choose another."
            raise Conflict(told, param="name", code="name_taken") from exc
        self._keyring.hear(row)
        return Made(row, text)

    async def listed(self, *, after: str | None, tag: str | None, limit: int) -> tuple[list[StoredKey], str | None]:
        """A page, newest first, and what leads to the next one."""
        found = await keys.listed(self._database, after=after, tag=tag, limit=limit + 1)
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def get(self, identity: str) -> StoredKey:
        """The key of that id or name, revoked or not. Raises `NotFound`."""
        return _there(await keys.get(self._database, identity), identity)

    async def change(self, identity: str, changes: Mapping[str, Any], act: Act | None = None) -> StoredKey:
        """With other grants, or another `expires_at`. Raises `NotFound`, `Conflict` when it is revoked, `Invalid`."""
        async with self._database.write() as connection:
            row = before = self._living(await keys.locked(connection, identity), identity)
            changes = dict(changes)
            expires_at = changes.pop("expires_at", row.expires_at)
            if expires_at != row.expires_at:
                self._check_expiry(expires_at)
            grants = structs.replace(msgspec.convert(row.grants, Grants, strict=False), **changes)
            self._check(grants)
            row = structs.replace(row, grants=msgspec.to_builtins(grants), expires_at=expires_at)
            row = await keys.change(connection, row)
            await audit.write(connection, _told(act, before, row))
        self._keyring.hear(row)
        return row

    async def rotate(self, identity: str, overlap: float, act: Act | None = None) -> Made:
        """Another text for the same key; the former one opens for `overlap` more seconds, older ones as long as before.

        Raises `NotFound`, or `Conflict` when it is revoked.
        """
        text, pepper = PREFIX + self._draw(), self._keyring.pepper
        async with self._database.write() as connection:
            row = before = self._living(await keys.locked(connection, identity), identity)
            now = self._wall()
            former = [one for one in row.former if one.until > now and overlap > 0]
            if overlap > 0 and row.pepper == fingerprint(pepper):
                former.append(Former(row.hash, now + overlap))
            if len(former) > _FORMER:
                raise Conflict(f"{_FORMER} former texts of this key are still open. Rotate it without 'overlap'.")
            row = structs.replace(
                row,
                prefix=text[:_SHOWN],
                hash=digest_of(text, pepper).hex(),
                pepper=fingerprint(pepper),
                former=tuple(former),
            )
            row = await keys.change(connection, row)
            await audit.write(connection, _told(act, before, row, overlap=overlap))
        self._keyring.hear(row)
        return Made(row, text)

    async def revoke(self, identity: str, act: Act | None = None) -> StoredKey:
        """It opens nothing any more, and neither do its former texts; its row stays. Raises `NotFound`."""
        async with self._database.write() as connection:
            row = before = _there(await keys.locked(connection, identity), identity)
            if row.revoked_at is None:
                row = await keys.change(connection, structs.replace(row, revoked_at=self._wall(), former=()))
                await audit.write(connection, _told(act, before, row))
        self._keyring.hear(row)
        return row

    def _living(self, row: StoredKey | None, identity: str) -> StoredKey:
        found = _there(row, identity)
        if found.revoked_at is not None:
            raise Conflict(f"The key '{identity}' is revoked, for good. Make another.", code="key_revoked")
        return found

    def _check_expiry(self, expires_at: float | None) -> None:
        if expires_at is not None and expires_at <= self._wall():
            raise BadRequest("'expires_at' has passed. To end a key now, revoke it.", param="expires_at")

    def _check(self, grants: Grants) -> None:
        """Raise `Invalid` for names that mean nothing here."""
        found = [("$." + _dotted(place), said) for place, said in unknown_names(grants, self._settings)]
        for field, known in (("strategy", sorted(STRATEGIES)), ("objective", objectives_in(self._settings))):
            name: str | None = getattr(grants, field)
            if name is not None and name not in known:
                found.append((f"$.{field}", f"there is no {field} '{name:.100}'. {suggestion(name, known)}"))
        known = self._settings.guardrails
        for index, name in enumerate(grants.guardrails):
            if name not in known:
                found.append(
                    (f"$.guardrails[{index}]", f"there is no guardrail '{name:.100}'. {suggestion(name, known)}")
                )
        if found:
            param = found[0][0].removeprefix("$.").partition("[")[0]
            raise Invalid("The key cannot be made so.", found, param=param, code="invalid_key")


def _told(act: Act | None, before: StoredKey | None, after: StoredKey, **more: float) -> Act | None:
    """The act with what it changes of a key: what it may do, until when, and how its text begins."""
    if act is None:
        return None
    was, now = None if before is None else _shown(before), {**_shown(after), **more}
    if was is not None:
        now = {name: value for name, value in now.items() if name not in was or was[name] != value}
        was = {name: value for name, value in was.items() if name in now}
    return structs.replace(act, target=after.id, before=was, after=now)


def _shown(row: StoredKey) -> dict[str, Any]:
    # As it is read back: lists for tuples, and a set in one order.
    grants = {**row.grants, "scopes": sorted(row.grants.get("scopes", ()))}
    ends = {"expires_at": row.expires_at, "revoked_at": row.revoked_at}
    told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(grants))
    return {**told, "name": row.name, "prefix": row.prefix, **ends}


def _there(row: StoredKey | None, identity: str) -> StoredKey:
    if row is None:
        raise NotFound(f"There is no key '{identity:.60}'. GET /api/keys lists those of the API.")
    return row


def _dotted(place: tuple[str | int, ...]) -> str:
    return f"{place[0]}[{place[1]}]"
