"""The callers that the configuration names."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from gateway.governance.keys import Principal, Principals
from gateway.settings.secrets import Secret
from gateway.settings.shared import Key
from gateway.settings.tree import Settings


def salt_of(secret: Secret) -> bytes:
    """What keys are hashed with, of SECRET_KEY: the same on every replica, however long that is."""
    return blake2b(secret.reveal().encode(), digest_size=32, person=b"steelyard keys").digest()


def principals_of(settings: Settings, salt: bytes, wall: Callable[[], float]) -> Principals:
    """Everyone who may ask, as far as the configuration says."""
    return Principals(
        [(_principal(key), key.key.reveal()) for key in settings.keys],
        settings.auth.admin_key.reveal() if settings.auth.admin_key else None,
        open_to_all=settings.auth.allow_anonymous,
        salt=salt,
        wall=wall,
        tokens=settings.jwt.used,
    )


def _principal(key: Key) -> Principal:
    return Principal(**{name: getattr(key, name) for name in Key.__struct_fields__ if name != "key"})
