"""Executions as `bench.workflows` asks for them: definitions, a caller, and what events tell of their time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from http.client import HTTPConnection
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from bench.gateway import authorized

ADMIN_KEY = "bench-admin-0123456789abcdef"
Json = dict[str, Any]
#: Seconds that an execution may take, whatever it does; and between two looks at many.
_PATIENCE, _LOOK_EVERY = 120.0, 0.25
_NOTHING = {"type": "template", "template": "nothing"}
_PROMPT = {"type": "prompt", "prompt": "How are you?", "model": "bench", "cache": False}
_ENDED = ("completed", "failed", "cancelled")


class NotDone(Exception):
    """The gateway refused, or an execution did not end as it should; says what it said."""


def chain(slug: str, steps: int, node: Json) -> Json:
    """So many nodes, one after the other."""
    keys = [f"n{number}" for number in range(steps)]
    edges = [{"source": source, "target": target} for source, target in pairwise(keys)]
    return {"slug": slug, "name": slug, "nodes": dict.fromkeys(keys, node), "edges": edges}


def fan_out(slug: str, steps: int) -> Json:
    """One node, then all others but one, of which five run at a time, then the last."""
    keys = [f"n{number}" for number in range(steps)]
    first, *middle, last = keys
    edges = [{"source": first, "target": key} for key in middle] + [{"source": key, "target": last} for key in middle]
    return {"slug": slug, "name": slug, "nodes": dict.fromkeys(keys, _NOTHING), "edges": edges}


def items(slug: str, steps: int) -> Json:
    """A node that does nothing for each item of a list; the node itself is a step, too."""
    over = json.dumps(list(range(steps - 1)))
    node = {"type": "map", "over": over, "max_items": steps, "parallel": 5, "node": _NOTHING}
    return {"slug": slug, "name": slug, "nodes": {"all": node}}


def gated(slug: str) -> Json:
    """A node, then somebody who decides, then another node."""
    made = chain(slug, 3, _NOTHING)
    made["nodes"] = {**made["nodes"], "n1": {"type": "approval", "message": "Go on?"}}
    return made


def definitions(steps: int) -> list[Json]:
    """All that is measured, by their slugs."""
    return [
        chain("chain", steps, _NOTHING),
        fan_out("fan-out", steps),
        items("map", steps),
        chain("prompts", steps, _PROMPT),
        gated("gated"),
    ]


class Caller:
    """The administrator. Each call has a connection of its own: between two of them a minute may pass."""

    def __init__(self, port: int) -> None:
        """Of the gateway at this port."""
        self._port = port
        self._headers = {**authorized(ADMIN_KEY), "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: object = None) -> Any:
        """What is answered. Raises `NotDone` when it is refused."""
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=_PATIENCE)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), self._headers)
            answer = connection.getresponse()
            said = answer.read()
        if answer.status >= 400:
            raise NotDone(f"{method} {path}: {answer.status} {said.decode(errors='replace')[:500]}")
        return json.loads(said)

    def save(self, steps: int) -> None:
        """Keep all definitions."""
        for one in definitions(steps):
            self.call("PUT", f"/api/workflows/{one['slug']}", one)

    def begin(self, slug: str) -> str:
        """The id of an execution that was begun."""
        return self.call("POST", f"/api/workflows/{slug}/execute", {})["execution_id"]

    def run(self, slug: str) -> Json:
        """An execution that has ended well."""
        done = self.call("POST", f"/api/workflows/{slug}/execute?wait={_PATIENCE:.0f}", {})
        if done["status"] != "completed":
            raise NotDone(json.dumps(done)[:500])
        return done

    def count(self, slug: str, status: str) -> int:
        """How many executions of a workflow are in that state."""
        return len(self.listed(slug, status))

    def listed(self, slug: str, status: str) -> list[Json]:
        """Executions of a workflow in that state."""
        found: list[Json] = []
        path = f"/api/executions?slug={slug}&status={status}&limit=500"
        page = self.call("GET", path)
        found += page["executions"]
        while page["next_cursor"]:
            page = self.call("GET", f"{path}&cursor={quote(page['next_cursor'])}")
            found += page["executions"]
        return found

    def until(self, done: Callable[[], bool], patience: float = _PATIENCE) -> None:
        """Look until it is so. Raises `NotDone` when it never is."""
        give_up = time.monotonic() + patience
        while not done():
            if time.monotonic() > give_up:
                raise NotDone("It did not happen in time.")
            time.sleep(_LOOK_EVERY)

    def events(self, execution_id: str) -> list[Json]:
        """All that befell it."""
        found: list[Json] = []
        while True:
            after = found[-1]["seq"] if found else 0
            page = self.call("GET", f"/api/executions/{execution_id}/events?after={after}&limit=1000")["events"]
            if not page:
                return found
            found += page

    def first(self, execution_id: str, kind: str, node: str) -> float:
        """When that first befell that node, in Unix seconds; waited for."""
        give_up = time.monotonic() + _PATIENCE
        while time.monotonic() < give_up:
            for one in self.events(execution_id):
                if one["type"] == kind and one["node_id"] == node:
                    return seconds(one["at"])
            time.sleep(0.02)
        raise NotDone(f"{execution_id}: no {kind} of {node}.")


def seconds(moment: str) -> float:
    """Unix seconds of a time that the gateway tells."""
    return datetime.fromisoformat(moment).timestamp()


def gaps(events: Sequence[Json]) -> list[float]:
    """Seconds from each step's end to the next one's."""
    ends = [seconds(one["at"]) for one in events if one["type"] == "step.succeeded"]
    return [after - before for before, after in pairwise(ends)]


def took(execution: Json) -> float:
    """Seconds that an execution took from its beginning to its end."""
    return seconds(execution["completed_at"]) - seconds(execution["started_at"])
