"""Who may use the ordinary routes: guards for Litestar's controllers, and the parts they work on.

Guards wait for nothing and are coroutines all the same: Litestar runs plain functions in another thread.
"""

from collections.abc import Callable
from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler

from gateway.api.crossing import require_name_of_here, require_own_page
from gateway.api.ingress import GUESSED
from gateway.api.offered import address_of, offered_key
from gateway.errors import Forbidden, GatewayError, TooManyWrongKeys, Unauthorized
from gateway.governance.audit import Act
from gateway.governance.keys import ANONYMOUS, Principal, require_admin, require_scope
from gateway.parts import Parts

#: How handlers ask for the parts.
Gateway = NamedDependency[Parts]
_LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})
Connection = ASGIConnection[Any, Any, Any, Any]


def parts(state: State) -> Parts:
    """The gateway's parts, for dependency injection."""
    return state["parts"]


def principal_of(connection: Connection, key: str | None = None) -> Principal:
    """Who asks, with that key or else the one of the headers; a guard has let them in.

    Raises `Unauthorized`, and `Forbidden` where a web page of another site may have asked.
    """
    gateway: Parts = connection.app.state["parts"]
    scope = connection.scope
    key = key or offered_key(dict(scope["headers"]), scope["path"], scope["query_string"])
    return _of_here(connection, gateway, gateway.entrance.find(key, address_of(scope)))


async def let_in(connection: Connection, key: str | None = None) -> Principal:
    """The same for those who stand at the door. Raises `TooManyWrongKeys` as well, which is then answered late."""
    gateway: Parts = connection.app.state["parts"]
    scope = connection.scope
    key = key or offered_key(dict(scope["headers"]), scope["path"], scope["query_string"])
    try:
        principal = await gateway.entrance.let_in(key, address_of(scope))
    except TooManyWrongKeys:
        scope["state"][GUESSED] = True
        raise
    return _of_here(connection, gateway, principal)


def staying(connection: Connection, by: Principal, key: str | None = None) -> Callable[[], bool]:
    """Tells whether `by`, who was let in with that key or else the one of the headers, still would be, as the same.

    For what lasts: a key may be revoked meanwhile, or be an administrator's no more.
    """
    gateway: Parts = connection.app.state["parts"]
    scope = connection.scope
    key = key or offered_key(dict(scope["headers"]), scope["path"], scope["query_string"])

    def stays() -> bool:
        try:
            now = gateway.entrance.known(key)
        except Unauthorized:
            return False
        except GatewayError:
            return True  # nobody can say for now
        return (now.name, now.admin) == (by.name, by.admin)

    return stays


def _of_here(connection: Connection, gateway: Parts, principal: Principal) -> Principal:
    scope = connection.scope
    # Nothing but a POST is sent without asking first and does anything.
    if principal.name == ANONYMOUS:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if gateway.local_only:
            require_name_of_here(headers)
        if scope["type"] == "http" and scope["method"] == "POST":
            require_own_page(headers)
    return principal


def acting(connection: Connection, action: str, target: str | None = None) -> Act:
    """An act of whoever asks, for the audit log."""
    gateway: Parts = connection.app.state["parts"]
    scope = connection.scope
    address = address_of(scope) or None
    request_id = scope["state"].get("request_id")
    return gateway.audit.act(principal_of(connection), action, target, request_id=request_id, address=address)


async def caller(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Guard: any valid key may look at what is its own; whoever does more needs the scope `use`."""
    principal = await let_in(connection)
    scope = connection.scope
    if scope["type"] == "http" and scope["method"] not in _LOOKING:
        require_scope(principal, "use")


async def user(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Guard: a key with the scope `use`, for what looks like reading and has something done."""
    require_scope(await let_in(connection), "use")


async def reader(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Guard: a key with the scope `read`, for records and statistics."""
    require_scope(await let_in(connection), "read")


async def admin(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Guard: the admin key."""
    require_admin(await let_in(connection))


async def named(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Guard: a name of one's own, for lists of what is one's own: whoever comes without a key is many."""
    principal = await let_in(connection)
    if principal.name == ANONYMOUS and not principal.admin:
        raise Forbidden("Callers without a key share one name, and so may not read what others of them have asked.")


async def records_reader(connection: Connection, handler: BaseRouteHandler) -> None:
    """Guard: the scope `read`, and a name of one's own."""
    await reader(connection, handler)
    await named(connection, handler)


async def metrics_reader(connection: Connection, handler: BaseRouteHandler) -> None:
    """Guard: a key with the scope `read`, unless the metrics are public."""
    gateway: Parts = connection.app.state["parts"]
    if not gateway.metrics_public:
        await reader(connection, handler)
