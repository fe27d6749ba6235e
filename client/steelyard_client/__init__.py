"""The client of the Steelyard gateway: every call by name, sync and async, typed.

    with Steelyard("http://127.0.0.1:8000", api_key="…") as steelyard:
        answer = steelyard.orchestrate("Why is the sky blue?", objective="cheapest")
        print(answer.results[0].provider, answer.results[0].response)

`AsyncSteelyard` has the same methods, awaited. What they answer is in `steelyard_client.answers`.
"""

from steelyard_client.asking import Ask, Follow
from steelyard_client.client import DEFAULT_URL, AsyncSteelyard, Steelyard
from steelyard_client.errors import (
    ApiError,
    BadRequest,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    Invalid,
    NotFound,
    NotReached,
    QuotaExceeded,
    RateLimited,
    ServerError,
    SteelyardError,
    StreamCut,
    TimedOut,
    Unauthorized,
    Unavailable,
    Unreadable,
)
from steelyard_client.operation import AsyncEvents, Events
from steelyard_client.operations.routing import OrchestrateEvent
from steelyard_client.retrying import Retries

__all__ = [
    "DEFAULT_URL",
    "ApiError",
    "Ask",
    "AsyncEvents",
    "AsyncSteelyard",
    "BadRequest",
    "Conflict",
    "DeadlineExceeded",
    "Events",
    "Follow",
    "Forbidden",
    "Invalid",
    "NotFound",
    "NotReached",
    "OrchestrateEvent",
    "QuotaExceeded",
    "RateLimited",
    "Retries",
    "ServerError",
    "Steelyard",
    "SteelyardError",
    "StreamCut",
    "TimedOut",
    "Unauthorized",
    "Unavailable",
    "Unreadable",
]
