"""Who comes in: by a key, or by a token that somebody trusted has signed.

Law: a key that is known is known at once, whatever else went on from its address; only what is neither a key nor a
token is held against the address (`guessing`).
"""

from __future__ import annotations

from typing import Protocol

from gateway.errors import Unauthorized
from gateway.governance.guessing import Guesses
from gateway.governance.keys import Principal


class Keys(Protocol):
    """Who has which key."""

    def find(self, key: str | None) -> Principal:
        """Raises `Unauthorized`."""
        ...


class Tokens(Protocol):
    """Who is named by a signed token."""

    async def ready(self, token: str) -> None:
        """Have what it is verified with at hand, if it can be had now; never raises."""
        ...

    async def keep(self) -> None:
        """Keep that at hand, until cancelled."""
        ...

    def find(self, token: str) -> Principal:
        """Raises `Unauthorized` for one that is not signed by somebody trusted, `GatewayError` for any other reason."""
        ...


class Entrance:
    """The one place where callers become principals."""

    def __init__(self, keys: Keys, tokens: Tokens | None, guesses: Guesses) -> None:
        """Know these; `tokens` is None where none are taken."""
        self._keys = keys
        self.tokens = tokens
        self.guesses = guesses

    async def ready(self, key: str | None) -> None:
        """To be awaited before `find` where tokens are taken: what verifies one may have to be fetched."""
        if self.tokens is not None and key is not None and is_token(key):
            await self.tokens.ready(key)

    async def let_in(self, key: str | None, address: str) -> Principal:
        """Whose key that is. Raises `Unauthorized`, and `TooManyWrongKeys` when others have been wrong before it."""
        try:
            return self.known(key)
        except Unauthorized as why:
            if _guessed(key, why):
                await self.guesses.heard(address)
            raise

    def find(self, key: str | None, address: str) -> Principal:
        """The same of one who was let in a moment ago, and without a wait."""
        try:
            return self.known(key)
        except Unauthorized as why:
            if _guessed(key, why):
                self.guesses.wrong(address)
            raise

    def known(self, key: str | None) -> Principal:
        """The same of one who was let in before, and has been here since: held against nobody."""
        try:
            return self._keys.find(key)
        except Unauthorized as exc:
            return self._named(key, exc)

    def _named(self, key: str | None, unknown: Unauthorized) -> Principal:
        """Whom the token names which that is, since it is no key."""
        if self.tokens is None or key is None or not is_token(key):
            raise unknown
        return self.tokens.find(key)


def _guessed(key: str | None, exc: Unauthorized) -> bool:
    # What was good once, and is no more, was never guessed.
    return key is not None and exc.code == Unauthorized.code


def is_token(key: str) -> bool:
    """Whether that has the form of a JSON Web Token: three parts, of which the first is a JSON object."""
    return key.startswith("eyJ") and key.count(".") == 2
