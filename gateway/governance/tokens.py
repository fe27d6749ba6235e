"""Callers who bring a JSON Web Token instead of a key. The only file that imports PyJWT.

Law: the key decides by which algorithms a token may be signed, never the token. The secret verifies HS256, HS384 and
HS512 and nothing else; a published key only what its own type can sign (RS*, PS*, ES*, EdDSA), so that a public key is
never taken for a secret; a secret that is published is ignored, and `none` is no algorithm. A token must end (`exp`)
and name its caller; what is in it and is not understood refuses it.

What it says becomes the principal: the name behind `jwt:`, so that it is nobody's who has a key, the scopes among
`steelyard:use`, `steelyard:read` and `steelyard:admin` (without any of ours: use and read), tags and models. A token
that was verified is remembered until it ends, or the published keys change.

Limits: no encrypted tokens (JWE), no list of revoked ones: make them short-lived.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b
from typing import Any, cast

import jwt
import msgspec

from gateway.errors import Busy, Unauthorized
from gateway.governance.keys import Principal, Scope
from gateway.governance.published import Published
from gateway.settings.shared import TOKENS
from gateway.settings.tokens import Jwt

_log = logging.getLogger("steelyard.tokens")
_SHARED = ("HS256", "HS384", "HS512")
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA",)}
#: Bits; smaller ones are broken, or soon will be (NIST SP 800-131A).
_LEAST_RSA = 2_048
#: Of a published key. Whatever else is there, a private part above all, is left.
_PUBLIC = ("kty", "n", "e", "crv", "x", "y")
#: Characters of a token. Heads of requests are bounded by the server; this bounds what is decoded of one.
_LONGEST = 16_384
#: Characters of a name or a tag.
_LONGEST_NAME = 200
#: Verified tokens that are remembered: verifying costs 30 to 100 us, remembering one 1 kB.
_REMEMBERED = 4_096
_PREFIX = "steelyard:"
_SCOPES: tuple[Scope, ...] = ("admin", "use", "read")
#: The algorithms a key can verify, and what verifies.
Verifiers = Mapping[str, Any]


class Unfit(Unauthorized):
    """The token is signed as it should be, and cannot be taken."""

    code = "invalid_token"


class Tokens:
    """Knows callers by their tokens."""

    def __init__(
        self,
        settings: Jwt,
        read: Callable[[str], Awaitable[bytes]],
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        salt: bytes,
    ) -> None:
        """`read` fetches the published keys; `salt` of 16 to 64 bytes is mixed into what is remembered."""
        self._settings, self._wall = settings, wall
        self._secret = settings.secret.reveal().encode() if settings.secret else None
        self._audiences = [one.strip() for one in (settings.audience or "").split(",") if one.strip()]
        self._source = settings.jwks
        self._read = read
        self._keyed = blake2b(key=salt, digest_size=32)
        self._known: dict[bytes, tuple[Principal, float]] = {}
        self.published = Published[dict[str | None, Verifiers]](
            self._fetched, every=settings.refresh, monotonic=monotonic, nothing={}
        )

    async def ready(self, token: str) -> None:
        """Have the published keys read again where the token names one that is not there."""
        if self._source is None or self._digest(token) in self._known:
            return
        try:
            head = _head(token)
        except Unauthorized:
            return
        if head.get("alg") not in _SHARED and self._published_key(head) is None:
            await self.published.again()

    async def keep(self) -> None:
        """Read the published keys now and then, until cancelled."""
        if self._source is not None:
            await self.published.keep()

    def find(self, token: str) -> Principal:
        """Whom it names. Raises `Unauthorized`, and `Busy` while the published keys cannot be read."""
        digest = self._digest(token)
        principal, until = self._known.get(digest, (None, 0.0))
        if principal is not None:
            if self._wall() < until:
                return principal
            del self._known[digest]
        head = _head(token)
        claims = self._verified(token, head)
        principal = self._principal(claims)
        assert principal.expires is not None, "it was made with it"
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[digest] = (principal, principal.expires + self._settings.leeway)
        return principal

    def _verified(self, token: str, head: Mapping[str, Any]) -> dict[str, Any]:
        algorithm = str(head.get("alg"))
        key = self._key(head, algorithm)
        if key is None:
            raise Unauthorized(_UNKNOWN)
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audiences or None,
                issuer=self._settings.issuer,
                # By our clock, below.
                options={
                    "require": ["exp"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    # The name may be any claim, and `sub` anything.
                    "verify_sub": False,
                },
            )
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError, jwt.MissingRequiredClaimError) as exc:
            raise Unfit(f"The token cannot be taken: {exc}.") from None
        except jwt.PyJWTError:
            raise Unauthorized(_UNKNOWN) from None
        return claims

    def _key(self, head: Mapping[str, Any], algorithm: str) -> Any:
        if algorithm in _SHARED:
            return self._secret
        if self._source is None:
            return None
        verifiers = self._published_key(head)
        if verifiers is None and self.published.problem is not None:
            raise Busy("The keys that tokens are signed with cannot be read right now.", retry_after=5.0)
        return (verifiers or {}).get(algorithm)

    def _published_key(self, head: Mapping[str, Any]) -> Verifiers | None:
        known, name = self.published.known, head.get("kid")
        if name is None and len(known) == 1:
            return next(iter(known.values()))
        return known.get(name) if isinstance(name, str | None) else None

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        ours, now = self._settings, self._wall()
        ends, begins = _time(claims, "exp"), _time(claims, "nbf")
        assert ends is not None, "it is required"
        if now >= ends + ours.leeway:
            raise Unfit("The token has expired. Get a new one.", code="token_expired")
        if begins is not None and now < begins - ours.leeway:
            raise Unfit("The token is not valid yet.")
        name = claims.get(ours.name_claim)
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise Unfit(f"The token names nobody: its claim '{ours.name_claim}' must be text of one line.")
        scopes = _scopes(_words(claims, ours.scopes_claim, " "))
        models = _words(claims, ours.models_claim, ",")
        return Principal(
            TOKENS + name,
            admin="admin" in scopes,
            scopes=scopes,
            tags=tuple(one[:_LONGEST_NAME] for one in _words(claims, ours.tags_claim, ",") or ()),
            models=None if models is None else tuple(models),
            expires=ends,
        )

    async def _fetched(self) -> dict[str | None, Verifiers]:
        assert self._source is not None, "there would be nothing to read"
        found = verifiers_of(await self._read(self._source))
        if found != self.published.known:
            # One that is no longer there, or another one by its name, has signed them, perhaps.
            self._known.clear()
        return found

    def _digest(self, token: str) -> bytes:
        digest = self._keyed.copy()
        digest.update(token.encode("utf-8", "surrogateescape"))
        return digest.digest()


_UNKNOWN = "The token is not signed by anybody whom this gateway trusts. Check issuer and key."


class _Set(msgspec.Struct):
    """A JWK set (RFC 7517, 5), whose keys may be of kinds that nobody here knows."""

    keys: list[Any]


def verifiers_of(document: bytes) -> dict[str | None, Verifiers]:
    """The keys of a JWK set that can verify, by their names.

    Raises:
        ValueError: it is no such set, or none of its keys can.
    """
    try:
        published = msgspec.json.decode(document, type=_Set).keys
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ValueError("this is no set of keys (JWKS)") from exc
    entries = [cast("dict[str, Any]", one) for one in published if isinstance(one, dict)]
    named = {one.get("kid"): _verifiers(one) for one in entries if isinstance(one.get("kid"), str | None)}
    found = {name: made for name, made in named.items() if made is not None}
    if not found:
        raise ValueError("none of its keys can verify a token")
    return found


def _verifiers(entry: Mapping[str, Any]) -> Verifiers | None:
    """What one key can verify; None: nothing."""
    can = _RSA if entry.get("kty") == "RSA" else _CURVES.get(str(entry.get("crv")), ())
    if entry.get("alg") is not None:
        can = tuple(one for one in can if one == entry["alg"])
    if entry.get("use", "sig") != "sig" or not can or entry.get("kty") not in {"RSA", "EC", "OKP"}:
        return None
    public = {name: entry[name] for name in _PUBLIC if name in entry}
    try:
        made = {one: jwt.PyJWK(public, one).key for one in can}
    except jwt.PyJWTError as exc:
        _log.warning("a published key was left out", extra={"kid": entry.get("kid"), "error": str(exc)[:200]})
        return None
    if entry["kty"] == "RSA" and made[can[0]].key_size < _LEAST_RSA:
        _log.warning("a published key is too short", extra={"kid": entry.get("kid")})
        return None
    return made


def _head(token: str) -> Mapping[str, Any]:
    if len(token) > _LONGEST:
        raise Unauthorized(_UNKNOWN)
    try:
        return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, UnicodeEncodeError):
        raise Unauthorized("This is neither a key nor a token.") from None


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        # What is no finite number would be a time that never comes.
        raise Unfit(f"The token cannot be taken: its claim '{name}' is no time.")
    return float(value)


def _words(claims: Mapping[str, Any], name: str, between: str) -> list[str] | None:
    """A claim that is a list of texts, or one text of several; None when it is not there."""
    value = claims.get(name)
    if value is None:
        return None
    listed: Any = value.split(between) if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in cast("list[Any]", listed)):
        raise Unfit(f"The token cannot be taken: its claim '{name}' must be text, or a list of texts.")
    return [one.strip() for one in cast("list[str]", listed) if one.strip()]


def _scopes(words: list[str] | None) -> frozenset[Scope]:
    """Ours among them; a token that has none of ours says nothing about what its caller may do here."""
    ours = [one.removeprefix(_PREFIX) for one in words or () if one.startswith(_PREFIX)]
    if not ours:
        return frozenset({"use", "read"})
    return frozenset(one for one in _SCOPES if one in ours)
