"""What a key of the API may do: the same that the configuration may say of a key, as it is asked for and kept."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gateway.governance.keys import Principal, Scope
from gateway.settings.limits import Budget, Rates
from gateway.settings.sections import CacheWhen

#: Letters and signs that need no quoting wherever tags are named: in YAML, URLs and metrics.
Tag = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}$")]
Tags = Annotated[tuple[Tag, ...], Meta(max_length=32)]
Scopes = Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=3)]
#: As many as anybody has models; each is looked at when the key is made.
Names = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(max_length=1000)]


class Grants(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a key may do; see `Principal`. Of `models`, `providers`, `routes` and `mcp_tools` null means all.

    What a newer version may say beyond that is not overlooked: to this one such a key is not usable.
    """

    scopes: Scopes = ("use", "read")
    tags: Tags = ()
    models: Names | None = None
    providers: Names | None = None
    routes: Names | None = None
    mcp_tools: Names | None = None
    rates: Rates = Rates()
    budget: Budget | None = None
    cache: CacheWhen | None = None
    log_bodies: bool | None = None
    guardrails: Names = ()
    strategy: str | None = None
    objective: str | None = None


#: Its fields, which those who ask for a key or for changes of one have as well.
FIELDS = Grants.__struct_fields__


def principal_of(identity: str, name: str, grants: Grants, expires: float | None) -> Principal:
    """Whoever has the key of that id."""
    given = {field: getattr(grants, field) for field in FIELDS if field != "scopes"}
    scopes = frozenset(grants.scopes)
    return Principal(name=name, id=identity, admin="admin" in scopes, scopes=scopes, expires=expires, **given)
