"""Which scope a route needs: of every route there is, so that a new one cannot forget to say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from gateway.api import access, openapi
from gateway.app import SURFACES
from tests.acceptance.driving import ADMIN_KEY, World

#: Answered to everybody, and why that is all right.
PUBLIC = {
    "/health": "a probe has no key",
    "/health/live": "as above",
    "/health/ready": "as above",
    "/openapi.json": "it describes the program, not this installation",
    "/docs": "as above",
}
#: Not of Litestar's guards: it is answered over HTTP when its key is wrong, before the socket opens.
BY_ITSELF = {"/ws/workflow/{execution_id}"}
GUARDS = {access.caller, access.reader, access.records_reader, access.metrics_reader, access.admin}
#: POST, but nothing is done: it asks what is recorded.
LOOKING = {"/api/llm/dwa/simulate"}


def handlers(app: Any) -> Iterator[tuple[str, BaseRouteHandler]]:
    litestar: Litestar = app._rest
    for route in litestar.routes:
        several: Any = route
        for handler in getattr(route, "route_handlers", None) or [several.route_handler]:
            yield route.path_format, handler


def guards_of(handler: BaseRouteHandler) -> set[Any]:
    return set(handler.resolve_guards())


def test_every_route_says_who_may(keyed: World) -> None:
    unguarded = {
        path
        for path, handler in handlers(keyed.serving.app)
        if not guards_of(handler) & GUARDS and "OPTIONS" not in getattr(handler, "http_methods", ())
    }
    assert {path for path in unguarded if not path.startswith("/docs")} == {*PUBLIC, *BY_ITSELF} - {"/docs"}


def test_whatever_does_something_needs_more_than_to_read(keyed: World) -> None:
    for path, handler in handlers(keyed.serving.app):
        if isinstance(handler, HTTPRouteHandler) and handler.http_methods - {"GET", "HEAD", "OPTIONS"}:
            assert guards_of(handler) & {access.caller, access.admin} or path in LOOKING, path


@pytest.fixture(scope="module")
def only(keyed: World) -> dict[str, str]:
    """A key for each scope alone."""
    found: dict[str, str] = {}
    for scope in ("use", "read"):
        made = keyed.post("/api/keys", {"name": f"only-{scope}", "scopes": [scope]}, key=ADMIN_KEY)
        found[scope] = made.json["key"]
    return found


@pytest.mark.parametrize("path", [*SURFACES, "/v1beta/models/sim-chat:generateContent"])
def test_a_key_that_may_only_read_asks_no_model(keyed: World, only: dict[str, str], path: str) -> None:
    before = keyed.asked()
    answer = keyed.post(path, {"model": "sim-chat"}, key=only["read"])
    assert answer.status == 403
    assert "use" in answer.body.decode()
    assert keyed.asked() == before


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/chat/completions", ("permission_error", "permission_denied")),
        ("/v1/messages", ("permission_error", "permission_denied")),
        ("/v1beta/models/sim-chat:generateContent", (None, 403)),
    ],
)
def test_it_is_told_in_every_dialect(keyed: World, only: dict[str, str], path: str, shape: tuple[Any, Any]) -> None:
    error = keyed.post(path, {}, key=only["read"]).json["error"]
    assert (error.get("type"), error.get("code")) == shape


@pytest.mark.parametrize(
    ("path", "use", "read"),
    [
        ("/v1/models", 200, 200),
        ("/api/llm/models", 200, 200),
        ("/api/sessions", 200, 200),
        ("/api/executions", 200, 200),
        ("/api/health", 200, 200),
        ("/api/mcp-servers", 200, 200),
        ("/api/mcp-servers/status", 200, 200),
        ("/api/mcp-servers/none/tools", 404, 403),
        ("/metrics", 403, 200),
        ("/api/db/stats", 403, 200),
        ("/api/db/requests/recent", 403, 200),
        ("/api/db/requests/req_none", 403, 404),
        ("/api/llm/dwa/stats", 403, 200),
        ("/api/llm/dwa/history", 403, 200),
        ("/api/llm/dwa/best-provider", 403, 200),
        ("/api/llm/dwa/explain/req_none", 403, 404),
        ("/api/feedback", 403, 200),
        ("/api/db/cache/stats", 403, 403),
        ("/api/keys", 403, 403),
    ],
)
def test_what_each_scope_may_look_at(keyed: World, only: dict[str, str], path: str, use: int, read: int) -> None:
    assert (keyed.get(path, only["use"]).status, keyed.get(path, only["read"]).status) == (use, read)


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("DELETE", "/api/sessions/none"),
        ("DELETE", "/v1/responses/resp_none"),
        ("POST", "/api/feedback"),
        ("POST", "/api/workflows/none/execute"),
        ("POST", "/api/executions/none/cancel"),
        ("POST", "/api/schedules"),
        ("POST", "/api/mcp-tools/none/none"),
    ],
)
def test_a_key_that_may_only_read_changes_nothing(keyed: World, only: dict[str, str], verb: str, path: str) -> None:
    assert keyed.call(verb, path, {}, key=only["read"]).status == 403
    assert keyed.call(verb, path, {}, key=only["use"]).status != 403


def test_the_scopes_of_the_document_are_those_of_the_guards(keyed: World) -> None:
    """Nothing is public that says it is not."""
    paths = keyed.get("/openapi.json").json["paths"]
    for path, item in paths.items():
        for verb, operation in item.items():
            public = path.startswith(openapi._PUBLIC)
            assert verb == "head" or public or "401" in operation["responses"], f"{verb} {path}"
