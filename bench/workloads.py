"""The kinds of request that are measured."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

#: In a body: replaced by a number that no other request has, so that no cache knows the question.
UNIQUE = "############"
_ASKED = "Weigh this, please. "
DONE = "data: [DONE]"


def _chat(size: int, model: str = "bench", **more: Any) -> dict[str, Any]:
    """An OpenAI request of about `size` bytes."""
    text = (_ASKED * (size // len(_ASKED) + 1))[: size - 59]
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


@dataclass(frozen=True)
class Workload:
    """One kind of request. `answer` names what the upstream says (`bench.answers`)."""

    name: str
    about: str
    body: dict[str, Any]
    answer: str = "chat"
    path: str = "/v1/chat/completions"
    #: How the body must end, blank lines apart; for streams, where an early end would look fast.
    ends: str = ""
    #: It is the cache that answers; in Redis when `redis`.
    cached: bool = False
    redis: bool = False
    #: Measured on every leg (TLS, delayed upstream), not only on the plain one.
    everywhere: bool = False
    encoded: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoded", json.dumps(self.body, separators=(",", ":")))

    @property
    def streamed(self) -> bool:
        """It has a first token worth a figure."""
        return bool(self.body.get("stream"))


def _unique() -> dict[str, Any]:
    return {"model": "bench", "messages": [{"role": "user", "content": _ASKED * 6 + UNIQUE}], "temperature": 0}


def chat(size: int) -> Workload:
    """A chat of about `size` bytes."""
    return Workload(f"chat-{size}", f"{size:,} bytes in", _chat(size))


def _streaming(model: str) -> dict[str, Any]:
    return _chat(200, model, stream=True)


WORKLOADS = (
    Workload("chat", "0.2 kB in, 0.7 kB out", _chat(200), everywhere=True),
    Workload("chat-4k", "4 kB in", _chat(4_000)),
    Workload("chat-400k", "400 kB in", _chat(400_000)),
    Workload("chat-unique", "new, at temperature 0: looked up, missed, kept", _unique()),
    Workload("stream", "60 events", _streaming("bench-stream"), "stream", ends=DONE, everywhere=True),
    Workload("anthropic", "OpenAI in, Anthropic out", _chat(200, "bench-anthropic"), "anthropic"),
    Workload(
        "anthropic-stream", "the same, 60 events", _streaming("bench-anthropic-stream"), "anthropic-stream", ends=DONE
    ),
    Workload("gemini", "OpenAI in, Gemini out", _chat(200, "bench-gemini"), "gemini"),
    Workload("gemini-stream", "the same, 60 events", _streaming("bench-gemini-stream"), "gemini-stream", ends=DONE),
    Workload("cache-memory", "hit, in process", _chat(200, temperature=0), cached=True),
    Workload("cache-redis", "hit, in Redis", _chat(200, temperature=0), cached=True, redis=True),
    Workload(
        "embeddings",
        "new each time: looked up, missed, kept",
        {"model": "bench-embeddings", "input": _ASKED + UNIQUE},
        "embeddings",
        "/v1/embeddings",
    ),
    Workload(
        "orchestrate",
        "the native surface",
        {"prompt": _ASKED, "model": "bench", "cache": False},
        path="/api/llm/orchestrate",
    ),
)
BY_NAME = {workload.name: workload for workload in WORKLOADS}
