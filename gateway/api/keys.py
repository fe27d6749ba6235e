"""`/api/keys`: the keys that are made here, for administrators. Those of the configuration are changed there."""

from datetime import UTC, datetime
from typing import Annotated, Any

from litestar import Controller, Request, delete, get, patch, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK
from msgspec import UNSET, Meta, Struct, UnsetType, convert

from gateway.api.access import Gateway, acting, admin, principal_of
from gateway.api.answers.keys import KeyAnswer, KeyPage, NewKeyAnswer
from gateway.api.times import unix
from gateway.errors import BadRequest
from gateway.governance.grants import FIELDS, Grants, Names, Scopes, Tag, Tags
from gateway.governance.issuing import Made, StoredKey
from gateway.parts import Parts
from gateway.settings.limits import Budget, Rates
from gateway.settings.sections import CacheWhen

_Request = Request[object, object, State]
#: No slash, which stands between a key and its end user where votes are told.
_Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@ -]{0,99}$")]
#: A month: who needs longer has two keys.
_Overlap = Annotated[float, Meta(ge=0, le=31 * 86_400)]


class KeyRequest(Grants, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made. `name` is the tenant: records, sessions and cached answers are kept apart by it.

    Of `models`, `providers`, `routes` and `mcp_tools` null means all; each list only takes away.
    """

    name: _Name
    expires_at: datetime | None = None


class KeyChange(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be different from now on; null takes a restriction away."""

    scopes: Scopes | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    models: Names | UnsetType | None = UNSET
    providers: Names | UnsetType | None = UNSET
    routes: Names | UnsetType | None = UNSET
    mcp_tools: Names | UnsetType | None = UNSET
    rates: Rates | UnsetType = UNSET
    budget: Budget | UnsetType | None = UNSET
    cache: CacheWhen | UnsetType | None = UNSET
    log_bodies: bool | UnsetType | None = UNSET
    guardrails: Names | UnsetType = UNSET
    strategy: str | UnsetType | None = UNSET
    objective: str | UnsetType | None = UNSET
    expires_at: datetime | UnsetType | None = UNSET


class RotateRequest(Struct, forbid_unknown_fields=True):
    """For how many seconds the former text opens beside the new one; 0: it and all before it end now."""

    overlap: _Overlap = 0.0


class Keys(Controller):
    """What others may do with this gateway."""

    path = "/api/keys"
    guards = [admin]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["Keys"]  # noqa: RUF012 - as above

    @post(summary="Make a key")
    async def create_key(self, gateway: Gateway, request: _Request, data: JSONBody[KeyRequest]) -> NewKeyAnswer:
        """Its text is told this once. 409 when the name is taken, 422 with every name in it that means nothing."""
        grants = Grants(**{field: getattr(data, field) for field in FIELDS})
        by, act = principal_of(request), acting(request, "key.create")
        return _new(gateway, await gateway.issuing.create(data.name, grants, _expiry(data.expires_at), by, act))

    @get(summary="List keys, newest first")
    async def list_keys(
        self,
        gateway: Gateway,
        tag: Annotated[Tag | None, QueryParameter()] = None,
        after: Annotated[str | None, QueryParameter()] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> KeyPage:
        """A page, revoked and expired ones among them; `next_after` leads to the next."""
        found, more = await gateway.issuing.listed(after=after, tag=tag, limit=limit)
        return KeyPage([_answer(gateway, one) for one in found], more)

    @get("/{key_id:str}", summary="One key")
    async def get_key(self, gateway: Gateway, key_id: FromPath[str]) -> KeyAnswer:
        """All but its text. Wherever a key's id is asked for, its name does as well."""
        return _answer(gateway, await gateway.issuing.get(key_id))

    @patch("/{key_id:str}", summary="Change what a key may do")
    async def change_key(
        self, gateway: Gateway, request: _Request, key_id: FromPath[str], data: JSONBody[KeyChange]
    ) -> KeyAnswer:
        """At once, also for requests with a budget that is spent. 409 when it is revoked."""
        given = {name: getattr(data, name) for name in data.__struct_fields__}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not UNSET}
        if not changes:
            raise BadRequest(f"Name what to change: {', '.join(data.__struct_fields__)}.")
        if "expires_at" in changes:
            changes["expires_at"] = _expiry(changes["expires_at"])
        return _answer(gateway, await gateway.issuing.change(key_id, changes, acting(request, "key.update")))

    @delete("/{key_id:str}", summary="Revoke a key", status_code=HTTP_200_OK)
    async def revoke_key(self, gateway: Gateway, request: _Request, key_id: FromPath[str]) -> KeyAnswer:
        """For good, and everywhere within a second. It stays in the list, and its name stays taken."""
        return _answer(gateway, await gateway.issuing.revoke(key_id, acting(request, "key.revoke")))

    @post("/{key_id:str}/rotate", summary="Give a key another text", status_code=HTTP_200_OK)
    async def rotate_key(
        self, gateway: Gateway, request: _Request, key_id: FromPath[str], data: JSONBody[RotateRequest | None] = None
    ) -> NewKeyAnswer:
        """The new text is told this once; the former one opens for `overlap` more seconds. 409 when it is revoked."""
        overlap = (data or RotateRequest()).overlap
        return _new(gateway, await gateway.issuing.rotate(key_id, overlap, acting(request, "key.rotate")))


def _expiry(moment: datetime | None) -> float | None:
    return None if moment is None else unix(moment, "expires_at")


def _new(gateway: Parts, made: Made) -> NewKeyAnswer:
    return convert({**_told(gateway, made.stored), "key": made.key}, NewKeyAnswer)


def _answer(gateway: Parts, row: StoredKey) -> KeyAnswer:
    return convert(_told(gateway, row), KeyAnswer)


def _told(gateway: Parts, row: StoredKey) -> dict[str, Any]:
    now = gateway.wall()
    expired = row.expires_at is not None and row.expires_at <= now
    state = "revoked" if row.revoked_at is not None else "expired" if expired else "active"
    former = max((one.until for one in row.former if one.until > now), default=None)
    return {
        **row.grants,
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "state": state,
        "created_at": _time(row.created_at),
        "created_by": row.created_by,
        "expires_at": _time(row.expires_at),
        "revoked_at": _time(row.revoked_at),
        "former_until": _time(former),
    }


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
