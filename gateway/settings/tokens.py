"""Tokens that are taken instead of keys: by what they are verified, and what their claims are called.

Law: whatever would let somebody in who was not meant is told at the start. Published keys are often everybody's (an
identity provider signs for all of its customers' applications with the same ones), so they need an audience; a short
secret can be guessed from a single token.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from gateway.settings.build import Builder
from gateway.settings.secrets import Secret, mask_url
from gateway.settings.sections import Seconds, option

#: Bytes of a secret: as many as the shortest of the digests has (RFC 7518, 3.2).
_LEAST_SECRET = 32
_LOCAL = ("localhost", "127.0.0.1", "::1")


class Jwt(Struct, frozen=True, kw_only=True):
    """Signed tokens (JWT) that are taken instead of keys, when a secret or published keys verify them."""

    secret: Annotated[
        Secret | None,
        option("STEELYARD_JWT_SECRET", "Secret of 32 bytes or more that verifies tokens signed by HS256, 384 or 512."),
    ] = None
    jwks: Annotated[
        str | None,
        option(
            "STEELYARD_JWT_JWKS",
            "Public keys (JWKS) that verify tokens signed by RS, PS, ES or EdDSA: an https:// address, or a file.",
        ),
    ] = None
    refresh: Annotated[
        Seconds,
        option("STEELYARD_JWT_REFRESH", "Between two reads of them; a token with an unknown key has them read sooner."),
    ] = 3600.0
    issuer: Annotated[str | None, option("STEELYARD_JWT_ISSUER", "What a token's `iss` must be.")] = None
    audience: Annotated[
        str | None,
        option(
            "STEELYARD_JWT_AUDIENCE",
            "What a token's `aud` must name, one of several with commas. Without it tokens must name none.",
        ),
    ] = None
    leeway: Annotated[
        float,
        Meta(ge=0, le=600, extra={"unit": "seconds"}),
        option("STEELYARD_JWT_LEEWAY", "By which clocks may differ at a token's end and beginning."),
    ] = 30.0
    name_claim: Annotated[
        str, Meta(min_length=1), option("STEELYARD_JWT_NAME_CLAIM", "Claim that names the caller; shown behind `jwt:`.")
    ] = "sub"
    scopes_claim: Annotated[
        str,
        Meta(min_length=1),
        option(
            "STEELYARD_JWT_SCOPES_CLAIM",
            "Claim of its scopes: `steelyard:use`, `steelyard:read`, `steelyard:admin`. Without any: use, read.",
        ),
    ] = "scope"
    tags_claim: Annotated[
        str, Meta(min_length=1), option("STEELYARD_JWT_TAGS_CLAIM", "Claim of its tags, by which limits are shared.")
    ] = "tags"
    models_claim: Annotated[
        str,
        Meta(min_length=1),
        option("STEELYARD_JWT_MODELS_CLAIM", "Claim of the models it may use. Without it: all."),
    ] = "models"

    @property
    def used(self) -> bool:
        """Tokens are taken at all."""
        return self.secret is not None or self.jwks is not None


def is_address(jwks: str) -> bool:
    """Whether the published keys are fetched, rather than read from a file."""
    return "://" in jwks


def check_tokens(jwt: Jwt, builder: Builder) -> None:
    """What would make tokens worth nothing, or somebody else's worth something."""
    if jwt.secret is not None and len(jwt.secret.reveal()) < _LEAST_SECRET:
        builder.blame(("jwt", "secret"), f"is shorter than {_LEAST_SECRET} characters, and could be guessed.")
    if jwt.jwks is None:
        return
    if not [one for one in (jwt.audience or "").split(",") if one.strip()]:
        builder.blame(
            ("jwt", "audience"),
            "is missing: whoever publishes keys signs tokens for others, too. Write what yours name in `aud`.",
        )
    if is_address(jwt.jwks):
        _check_address(jwt.jwks, builder)
        return
    try:
        fine = isinstance(json.loads(Path(jwt.jwks).read_bytes())["keys"], list)
    except OSError as exc:
        builder.blame(("jwt", "jwks"), f"the file {jwt.jwks} cannot be read: {exc.strerror}.")
    except (ValueError, KeyError, TypeError):
        builder.blame(("jwt", "jwks"), f"the file {jwt.jwks} is no set of keys: a JSON object with 'keys'.")
    else:
        if not fine:
            builder.blame(("jwt", "jwks"), f"'keys' of the file {jwt.jwks} is no list.")


def _check_address(address: str, builder: Builder) -> None:
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        builder.blame(("jwt", "jwks"), "is not a URL. Write https://host/path.")
        return
    plain = parts.scheme == "http" and host in _LOCAL
    if not (host and (parts.scheme == "https" or plain)) or "@" in parts.netloc:
        told = "it must begin with https:// and name a host; http:// only on this machine; no user."
        builder.blame(("jwt", "jwks"), f"{mask_url(address)} is not valid: {told}")
