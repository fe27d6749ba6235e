"""The composition root: settings in, ASGI application out. Reads top to bottom; clocks and chance are made here.

The LLM surfaces are dispatched before Litestar sees the request: its routing costs as much as everything else the
gateway adds (22,000 against 11,000 to 15,000 bare requests per second), and a handful of addresses need no router.
Gemini's, which name the model, are looked at when the path is none of the others. Everything else is ordinary Litestar.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version as installed_version

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import Receive, Scope, Send

from gateway.api import access, errors, gemini, openapi
from gateway.api.administration import Administration
from gateway.api.artifacts import Artifacts
from gateway.api.asked import Asked
from gateway.api.audit import AuditLog
from gateway.api.chat import CHAT_COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, MESSAGES
from gateway.api.docs import Page, document
from gateway.api.executions import Executing, Executions
from gateway.api.feedback import Feedback
from gateway.api.health import Health
from gateway.api.ingress import Ingress, Surface
from gateway.api.keys import Keys
from gateway.api.mcp import McpServers, McpTools
from gateway.api.models import GeminiNames, Models
from gateway.api.orchestrate import ORCHESTRATE
from gateway.api.passing import BESIDE_CHAT
from gateway.api.records import Database
from gateway.api.replay import Replay
from gateway.api.responses import INPUT_TOKENS, RESPONSES
from gateway.api.routing import Catalog, Dwa
from gateway.api.schedules import Schedules
from gateway.api.sessions import Sessions
from gateway.api.spend import Spend
from gateway.api.step_executions import StepExecutions
from gateway.api.stored import StoredResponses
from gateway.api.watching import watch
from gateway.api.workflows import Workflows
from gateway.errors import GatewayError
from gateway.governance.configured import salt_of
from gateway.parts import Parts
from gateway.records import StoreUnavailable
from gateway.renewal import Reload
from gateway.settings.tree import Settings

VERSION = installed_version("steelyard")
SURFACES: dict[str, Surface] = {
    "/v1/chat/completions": CHAT_COMPLETIONS,
    "/v1/embeddings": EMBEDDINGS,
    "/v1/messages": MESSAGES,
    "/v1/messages/count_tokens": COUNT_TOKENS,
    "/v1/responses": RESPONSES,
    "/v1/responses/input_tokens": INPUT_TOKENS,
    **BESIDE_CHAT,
    "/api/llm/orchestrate": ORCHESTRATE,
}


class Application:
    """The ASGI application. `parts` is there for whoever embeds or tests it."""

    def __init__(self, parts: Parts, ingress: Ingress, rest: Litestar) -> None:
        """Serve the LLM surfaces by `ingress`, everything else by `rest`."""
        self.parts = parts
        self._ingress = ingress
        self._rest = rest
        self._crowd = parts.metrics.crowd

    def lifespan(self) -> AbstractAsyncContextManager[None]:
        """Its life, for whoever speaks no ASGI to start and stop it; in one and the same task."""
        return self._rest.lifespan()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            surface = SURFACES.get(scope["path"])
            if surface is None and scope["path"].startswith(gemini.BELOW):
                surface = gemini.surface_at(scope)
            if surface is not None:
                self._crowd.now += 1
                try:
                    await self._ingress.serve(surface, scope, receive, send)
                finally:
                    self._crowd.now -= 1
                return
            send = self._ingress.named(scope, send)
            if self.parts.entrance.tokens is not None:
                await self._ingress.ready(scope)
            try:
                await self._rest(scope, receive, send)
            finally:
                self._ingress.tracing.over(scope)
            return
        await self._rest(scope, receive, send)


def create_app(
    settings: Settings,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
    rng: random.Random | None = None,
    shared_dir: str | None = None,
    predecessor: Application | None = None,
    reload: Reload | None = None,
) -> Application:
    """The gateway for these settings.

    Args:
        settings: the whole configuration.
        monotonic: seconds, for durations.
        wall: Unix seconds, for dates.
        rng: chance, for choices and identifiers; seeded by the system when absent.
        shared_dir: the folder in which the workers of one machine share their metrics and what they learn.
        predecessor: the application in this process whose place it will take, and whose counts it goes on with.
        reload: puts the settings that are written now to work; whoever embeds it has none.
    """
    secret = settings.auth.secret_key
    parts = Parts(
        settings,
        monotonic=monotonic,
        wall=wall,
        rng=rng or random.Random(),
        salt=salt_of(secret) if secret else secrets.token_bytes(32),
        shared_dir=shared_dir,
        version=VERSION,
        metrics=predecessor.parts.metrics if predecessor else None,
        workflows=predecessor.parts.workflows if predecessor else None,
        counted=predecessor.parts.limits.backend if predecessor else None,
        reload=reload,
    )
    ingress = Ingress(
        parts.pipeline,
        parts.entrance,
        parts.sessions,
        parts.responses,
        body_limit=settings.server.max_body,
        request_id_header=settings.server.request_id_header,
        log_bodies=settings.request_log.bodies,
        debug=settings.server.debug,
        wall=wall,
        monotonic=monotonic,
        rng=parts.rng,
        local_only=parts.local_only,
        max_nesting=settings.server.max_nesting,
        tracer=parts.tracer,
        turned_away=lambda surface, status: parts.metrics.turned_away(surface, str(status)).inc(),
    )
    return Application(parts, ingress, _litestar(parts))


def _litestar(parts: Parts) -> Litestar:
    @asynccontextmanager
    async def life(_: Litestar) -> AsyncGenerator[None]:
        await parts.start()
        try:
            yield
        finally:
            await parts.stop()

    return Litestar(
        route_handlers=[
            Health,
            Models,
            GeminiNames,
            Catalog,
            Dwa,
            Replay,
            Sessions,
            StoredResponses,
            Database,
            Keys,
            AuditLog,
            Administration,
            Feedback,
            Spend,
            Workflows,
            Executing,
            Executions,
            Artifacts,
            StepExecutions,
            watch,
            Schedules,
            McpServers,
            McpTools,
            document,
        ],
        state=State({"parts": parts}),
        dependencies={"gateway": Provide(access.parts, sync_to_thread=False)},
        exception_handlers={
            GatewayError: errors.of_gateway,
            StoreUnavailable: errors.of_store,
            HTTPException: errors.of_http,
            Exception: errors.of_defect,
        },
        request_class=Asked,
        lifespan=[life],
        openapi_config=_openapi(),
        # Our own formatter and handlers are in place; Litestar's would replace them.
        logging_config=None,
    )


def _openapi() -> openapi.Config:
    schemes: dict[str, SecurityScheme] = {
        "bearer": SecurityScheme(type="http", scheme="bearer", description="A key, or the admin key.")
    }
    return openapi.Config(
        title="Steelyard",
        version=VERSION,
        description="A multi-LLM routing gateway that weighs its providers.",
        path="/docs",
        render_plugins=[Page()],
        components=Components(security_schemes=dict(schemes)),
        security=[{"bearer": []}],
    )
