"""Key → principal, without a database on the path.

Keys come from the configuration. They are kept as keyed BLAKE2b digests, with a key drawn at start: a lookup is one
digest and one dictionary access, its time says nothing about how much of a guess was right, and a memory dump holds no
key but those the configuration itself still holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Literal

from msgspec import Struct

from gateway.errors import Forbidden, Unauthorized
from gateway.settings.limits import Budget, Rates
from gateway.settings.sections import CacheWhen
from gateway.settings.shared import ADMIN, ANONYMOUS

#: `use` asks models and runs workflows, `read` looks at records, statistics and spend of its own; `admin` does all.
Scope = Literal["admin", "use", "read"]


class Principal(Struct, frozen=True):
    """Who asks. `name` is the tenant: caches and records are kept apart by it.

    `strategy` and `objective` choose providers where neither request nor route says; None: the gateway's own. `id` is
    that of a key that was made by the API. Of `models`, `providers`, `routes` and `mcp_tools` None means all.
    """

    name: str
    admin: bool = False
    strategy: str | None = None
    objective: str | None = None
    id: str | None = None
    scopes: frozenset[Scope] = frozenset({"use", "read"})
    tags: tuple[str, ...] = ()
    models: tuple[str, ...] | None = None
    providers: tuple[str, ...] | None = None
    routes: tuple[str, ...] | None = None
    mcp_tools: tuple[str, ...] | None = None
    rates: Rates = Rates()
    budget: Budget | None = None
    #: When its answers are cached; None: as for everyone.
    cache: CacheWhen | None = None
    #: Whether its bodies are kept in the records; None: as for everyone.
    log_bodies: bool | None = None
    #: Names of the guardrails that hold for it, beside those that always do.
    guardrails: tuple[str, ...] = ()
    #: Unix seconds from which on the key is no good.
    expires: float | None = None


class Principals:
    """Everyone who may ask."""

    def __init__(
        self,
        keys: Iterable[tuple[Principal, str]],
        admin_key: str | None,
        *,
        open_to_all: bool,
        salt: bytes,
        tokens: bool = False,
    ) -> None:
        """Accept `keys` and the admin key; with none at all, everyone.

        Args:
            keys: each caller and its key.
            admin_key: the key that also opens administrative routes; without any key at all they are open to all.
            open_to_all: answer callers without a key although there are keys.
            salt: 16 to 64 random bytes, drawn at start.
            tokens: others come by tokens, so that without any key it is not open to all either.
        """
        self._keyed = blake2b(key=salt, digest_size=32)
        self._known = {self._digest(key): principal for principal, key in keys}
        if admin_key is not None:
            self._known[self._digest(admin_key)] = Principal(ADMIN, admin=True)
        self._named = {principal.name: principal for principal in self._known.values()}
        # A caller with a key of its own is no administrator, so neither may one without be, once there are keys.
        keyless = not self._known and not tokens
        self._anonymous = Principal(ANONYMOUS, admin=keyless)
        self._open, self._keyless = open_to_all or keyless, keyless

    def find(self, key: str | None) -> Principal:
        """The principal of a key. Raises `Unauthorized`."""
        if key is None or self._keyless:
            if self._open:
                return self._anonymous
            raise Unauthorized
        found = self._known.get(self._digest(key))
        if found is None:
            raise Unauthorized("The API key is not valid. Check the key, or ask the gateway's operator for one.")
        return found

    def named(self, name: str) -> Principal | None:
        """Whose name that is, for work that was begun with its key; None: there is no such key any more."""
        return self._named.get(name)

    def _digest(self, key: str) -> bytes:
        digest = self._keyed.copy()
        digest.update(key.encode("utf-8", "surrogateescape"))
        return digest.digest()


def require_admin(principal: Principal) -> None:
    """Raise `Forbidden` unless this is the administrator."""
    if not principal.admin:
        raise Forbidden("This needs the admin key. If there is none yet, set STEELYARD_ADMIN_KEY and restart.")
