"""Key → principal, without a database on the path.

Keys come from the configuration and from the API (`governance.keyring` brings those here). They are kept as keyed
BLAKE2b digests, with a salt drawn at start or with the pepper that all processes share: a lookup is one digest and one
dictionary access, its time says nothing about how much of a guess was right, and a memory dump holds no key but those
the configuration itself still holds.

Law: a name belongs to one key, whichever way it was made, for it is the tenant. Where the configuration comes to name
one that was made by the API, the configuration's holds and the other opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import Busy, Forbidden, Unauthorized
from gateway.settings.limits import Budget, Rates
from gateway.settings.sections import CacheWhen
from gateway.settings.shared import ADMIN, ANONYMOUS, TOKENS

#: What every key of the API begins with, so that whoever finds one knows whose it is.
PREFIX = "sk-sy-"
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
    scopes: frozenset[Scope] = frozenset[Scope]({"use", "read"})
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


class Opening(Struct, frozen=True):
    """A digest that opens for a principal, up to a Unix time or for good."""

    digest: bytes
    until: float | None = None


class Principals:
    """Everyone who may ask."""

    def __init__(
        self,
        keys: Iterable[tuple[Principal, str]],
        admin_key: str | None,
        *,
        open_to_all: bool,
        salt: bytes,
        wall: Callable[[], float],
        tokens: bool = False,
    ) -> None:
        """Accept `keys` and the admin key; with none at all, everyone.

        Args:
            keys: each caller and its key.
            admin_key: the key that also opens administrative routes; without any key at all they are open to all.
            open_to_all: answer callers without a key although there are keys.
            salt: 16 to 64 random bytes.
            wall: tells Unix seconds, for keys that expire.
            tokens: others come by tokens, so that without any key it is not open to all either.
        """
        self._keyed = self._peppered = _keyed(salt)
        self._known = {_digest(self._keyed, key): principal for principal, key in keys}
        if admin_key is not None:
            self._known[_digest(self._keyed, admin_key)] = Principal(ADMIN, admin=True)
        self._named = {principal.name: principal for principal in self._known.values()}
        self._own = frozenset(self._named)
        self._wall = wall
        self._open_to_all = open_to_all
        #: Keys of the API may exist that are not here yet; `Keyring` says when all are.
        self.unread = False
        self._made: dict[str, tuple[Principal, tuple[Opening, ...]]] = {}
        #: Somebody may come in otherwise, or could once.
        self._others = self._tokens = tokens
        self._close()

    def find(self, key: str | None) -> Principal:
        """The principal of a key. Raises `Unauthorized`, and `Busy` while that cannot be known."""
        if key is None or not self._closed:
            if self._open:
                return self._anonymous
            raise Unauthorized
        ours = key.startswith(PREFIX)
        found = self._known.get(_digest(self._peppered if ours else self._keyed, key))
        if found is None and ours:
            # The configuration may have one that looks like those of the API.
            found = self._known.get(_digest(self._keyed, key))
        if found is None:
            if self.unread and ours:
                raise Busy("The keys could not be read from the database yet. Try again.", retry_after=1.0)
            raise Unauthorized("The API key is not valid. Check the key, or ask the gateway's operator for one.")
        if found.expires is not None and self._wall() >= found.expires:
            told = "The API key has expired. Ask the gateway's operator for another."
            raise Unauthorized(told, code="key_expired")
        return found

    def named(self, name: str) -> Principal | None:
        """Whose name that is, for work that was begun with its key; None: there is no such key, or no more."""
        if name == ANONYMOUS:
            return self._anonymous if self._open else None
        if name.startswith(TOKENS):
            # No more than its name was said of whoever began it: see `require_lasting`.
            return Principal(name) if self._tokens else None
        found = self._named.get(name)
        return None if found is None or (found.expires is not None and self._wall() >= found.expires) else found

    def everyone(self) -> list[Principal]:
        """All who have a key, and the administrator."""
        return [*self._named.values()]

    def configured(self, name: str) -> bool:
        """Whether the configuration has a key of that name."""
        return name in self._own

    @property
    def keyed(self) -> bool:
        """Somebody needs a key: without one there is no administrator."""
        return self._closed

    # Keys that were made by the API

    def begin(self, pepper: bytes) -> None:
        """From now on those of the API are told by digests with this pepper; none is known yet."""
        for identity in list(self._made):
            self.dismiss(identity)
        self._peppered = _keyed(pepper)

    def admit(self, identity: str, principal: Principal, openings: tuple[Opening, ...]) -> bool:
        """From now on this is the key of that id; False: the configuration has its name."""
        if principal.name in self._own:
            self.dismiss(identity)
            return False
        _, before = self._made.get(identity, (principal, ()))
        mine = {one.digest for one in before}
        # A key that is in the configuration as well is that one's.
        openings = tuple(one for one in openings if one.digest in mine or one.digest not in self._known)
        self._made[identity] = principal, openings
        self._named[principal.name] = principal
        for one in openings:
            self._known[one.digest] = principal if one.until is None else _until(principal, one.until)
        for digest in mine.difference(one.digest for one in openings):
            del self._known[digest]
        self._others = True
        self._close()
        return True

    def dismiss(self, identity: str) -> None:
        """The key of that id opens nothing any more. That there was one is remembered: nobody is let in without."""
        self._others = True
        self._close()
        if (made := self._made.pop(identity, None)) is not None:
            principal, openings = made
            self._named.pop(principal.name, None)
            for one in openings:
                self._known.pop(one.digest, None)

    def _close(self) -> None:
        self._closed = bool(self._known) or self._others
        # A caller with a key of its own is no administrator, so neither may one without be, once there are keys.
        self._anonymous = Principal(ANONYMOUS, admin=not self._closed)
        self._open = self._open_to_all or not self._closed


def digest_of(key: str, salt: bytes) -> bytes:
    """What a key is known by with this salt."""
    return _digest(_keyed(salt), key)


def _keyed(salt: bytes) -> blake2b:
    return blake2b(key=salt, digest_size=32)


def _digest(keyed: blake2b, key: str) -> bytes:
    digest = keyed.copy()
    digest.update(key.encode("utf-8", "surrogateescape"))
    return digest.digest()


def _until(principal: Principal, moment: float) -> Principal:
    """The same, until a Unix time at the latest."""
    soonest = moment if principal.expires is None else min(moment, principal.expires)
    return replace(principal, expires=soonest)


def require_admin(principal: Principal) -> None:
    """Raise `Forbidden` unless this is the administrator."""
    if not principal.admin:
        raise Forbidden("This needs the admin key. If there is none yet, set STEELYARD_ADMIN_KEY and restart.")


def require_lasting(principal: Principal, what: str) -> None:
    """Raise `Forbidden` for work that goes on without its caller, where only a token says what that may do.

    A key is looked up again whenever such work asks somebody; a token is gone by then, and with it what it said.
    """
    if principal.name.startswith(TOKENS) and (principal.tags or principal.models is not None):
        told = "a token with tags or models is not there any more to say so when it runs"
        raise Forbidden(
            f"{what} of a token may not begin: {told}. Use a key of the gateway's.", code="token_not_lasting"
        )


def require_scope(principal: Principal, scope: Scope) -> None:
    """Raise `Forbidden` unless the key has that scope; an administrator's has all."""
    if not (principal.admin or scope in principal.scopes):
        has = ", ".join(sorted(principal.scopes)) or "none"
        raise Forbidden(f"This needs a key with the scope '{scope}'; the key '{principal.name}' has: {has}.")
