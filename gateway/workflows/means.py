"""What executions are run with: a leaf that costs nothing to load, for the door."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Struct, field

from gateway.governance.keys import Principals
from gateway.mcp.servers import Servers
from gateway.pipeline import Pipeline
from gateway.quality.feedback import Feedback
from gateway.settings.tree import Settings
from gateway.tracing.tracer import Tracer
from providers.transport import Transport


class Means(Struct):
    """After a reload of the settings there are other ones. `users` are steps under way by these.

    `outward` reaches whatever a definition names, as far as the settings let it; `transport` reaches providers.
    """

    settings: Settings
    pipeline: Pipeline
    transport: Transport
    outward: Transport
    mcp: Servers
    feedback: Feedback
    principals: Principals
    tracer: Tracer | None = None
    users: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])
