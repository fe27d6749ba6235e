"""Workflows for the acceptance tests: gateways that are processes of their own, and a provider that counts questions.

The provider answers by what it is asked: it holds what it is told to hold until it is told to go on, and fails what it
is told to fail. So a test knows how often each question was paid for.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg

from gateway.store.engine import parse_url
from tests.acceptance.bad_days import PATIENCE
from tests.acceptance.bad_processes import Program, a_program
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, BOB_KEY, Answer
from tests.postgres import PostgresServer, a_server

Json = dict[str, Any]
#: What one answer of the oracle costs, by its prices and the tokens it says it took.
CALL_USD = 3 * 1e-6 + 3 * 4e-6
ENDED = ("completed", "failed", "cancelled")
#: The example of the design, but for its providers.
REVIEW: Json = {
    "slug": "plan-review",
    "name": "Plan review",
    "input_schema": {"type": "object", "required": ["topic"], "properties": {"topic": {"type": "string"}}},
    "nodes": {
        "draft": {"type": "prompt", "prompt": "Write a plan for {{ input.topic }}", "model": "auto"},
        "risks": {
            "type": "prompt",
            "prompt": "Name the risks of: {{ nodes.draft.output.text }}",
            "providers": ["oracle"],
        },
        "costs": {
            "type": "prompt",
            "prompt": "Estimate the cost of: {{ nodes.draft.output.text }}",
            "objective": "cheapest",
        },
        "verdict": {
            "type": "prompt",
            "prompt": "Judge it. Risks: {{ nodes.risks.output.text }} Costs: {{ nodes.costs.output.text }}",
        },
    },
    "edges": [
        {"source": "draft", "target": "risks"},
        {"source": "draft", "target": "costs"},
        {"source": "risks", "target": "verdict"},
        {"source": "costs", "target": "verdict"},
    ],
    "outputs": {"verdict": "{{ nodes.verdict.output.text }}"},
}


def prompts(slug: str, *texts: str, chain: bool = True, **more: Any) -> Json:
    """A workflow of prompts `n0`, `n1` …, one after the other or side by side. Nothing comes from the cache."""
    nodes = {f"n{at}": {"type": "prompt", "prompt": text, "cache": False} for at, text in enumerate(texts)}
    keys = list(nodes)
    edges = [{"source": a, "target": b} for a, b in pairwise(keys)] if chain else []
    return {"slug": slug, "name": slug, "nodes": nodes, "edges": edges, **more}


@dataclass(eq=False)
class Call:
    """One question as the provider had it: `asker` is who put it, by the address it was given."""

    question: str
    asker: str
    answered: bool = False


class _Listening(ThreadingHTTPServer):
    """Which says nothing of those who hang up, or are killed."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Oracle:
    """A provider that says `<question>`, and what it was asked how often."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        #: Everything it was asked, in the order in which it came.
        self.calls: list[Call] = []
        self.answered: Counter[str] = Counter()
        self.at_once, self.most_at_once = 0, 0
        #: Where it departs from its dialect.
        self.profile: Json = {}
        #: Of those who sent one, by question.
        self.idempotency_keys: dict[str, list[str]] = {}
        #: What it was told of a trace, by question.
        self.traceparents: dict[str, list[str]] = {}
        self.reply: Callable[[str], str] = lambda question: f"<{question}>"
        self._lock = threading.Lock()
        self._held: dict[str, threading.Event] = {}
        self._failing: set[str] = set()
        self._status = 400
        self.server = _Listening(("127.0.0.1", 0), self._handler())

    def hold(self, *words: str) -> None:
        """From now on questions with one of these words, or of an asker of this name, wait."""
        self._held |= {word: threading.Event() for word in words}

    def go_on(self, *words: str) -> None:
        """Answer what waits for these words, or all that waits, and hold it no more."""
        for word in words or list(self._held):
            self._held.pop(word).set()

    def fail(self, *words: str, status: int = 400) -> None:
        """Reject questions with these words from now on, and no others."""
        self._failing, self._status = set(words), status

    def times(self, word: str) -> int:
        """How often questions with this word came."""
        return sum(count for question, count in self.asked.items() if word in question)

    @property
    def configuration(self) -> Json:
        return self.configuration_of("v1")

    def configuration_of(self, asker: str) -> Json:
        """For a process whose questions are to be told from those of others."""
        models = [{"name": "sage", "price": {"input": 1, "output": 4}}]
        url = f"http://127.0.0.1:{self.server.server_port}/{asker}"
        return {
            "providers": {"oracle": {"dialect": "openai", "base_url": url, "models": models, "profile": self.profile}},
            "keys": [{"name": "alice", "key": ALICE_KEY}, {"name": "bob", "key": BOB_KEY}],
            "auth": {"admin_key": ADMIN_KEY},
        }

    def _answer(self, question: str, asker: str) -> tuple[int, Json]:
        call = Call(question, asker)
        with self._lock:
            self.calls.append(call)
            self.asked[question] += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        for word, event in list(self._held.items()):
            if word in question or word == asker:
                event.wait(PATIENCE)
        said = self.reply(question)
        with self._lock:
            self.at_once -= 1
            self.answered[question] += 1
            call.answered = True
        if any(word in question for word in self._failing):
            return self._status, {
                "error": {"message": "I will not say.", "type": "invalid_request_error", "code": "rude"}
            }
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": said},
            "finish_reason": "stop",
        }
        usage = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
        whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "sage"}
        return 200, {**whole, "choices": [choice], "usage": usage}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        oracle = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                question = body["messages"][-1]["content"]
                if "idempotency-key" in self.headers:
                    oracle.idempotency_keys.setdefault(question, []).append(self.headers["idempotency-key"])
                if "traceparent" in self.headers:
                    oracle.traceparents.setdefault(question, []).append(self.headers["traceparent"])
                status, said = oracle._answer(question, self.path.split("/")[1])
                data = json.dumps(said).encode()
                with suppress(OSError):  # whoever asked has gone
                    self.send_response(status)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def do_GET(self) -> None:
                """A picture, for requests that ask for one: `/picture/<size>`."""
                data = bytes(range(256)) * (int(self.path.rpartition("/")[2]) // 256)
                self.send_response(200)
                self.send_header("content-type", "image/png")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler


class Flows:
    """A gateway with workflows."""

    def __init__(self, program: Program, oracle: Oracle) -> None:
        self.program = program
        self.oracle = oracle

    def call(
        self, method: str, path: str, body: object = None, *, key: str | None = ALICE_KEY, **headers: str
    ) -> Answer:
        """One request; bytes go out as they are, anything else as JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("content-type", "application/json")
        with closing(HTTPConnection("127.0.0.1", self.program.port, timeout=PATIENCE)) as connection:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            return Answer(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())

    def save(self, definition: Json) -> Json:
        """Keep a definition, as the administrator."""
        answer = self.call("PUT", f"/api/workflows/{definition['slug']}", definition, key=ADMIN_KEY)
        assert answer.status == 200, answer.body
        return answer.json

    def begin(self, slug: str, inputs: Json | None = None, *, key: str = ALICE_KEY, **more: Any) -> str:
        """The id of an execution that was begun."""
        body = {"inputs": inputs or {}, **more}
        answer = self.call("POST", f"/api/workflows/{slug}/execute", body, key=key)
        assert answer.status == 202, answer.body
        return answer.json["execution_id"]

    def run(self, slug: str, inputs: Json | None = None, **more: Any) -> Json:
        """An execution that has ended."""
        return self.until(self.begin(slug, inputs, **more))

    def get(self, execution_id: str, key: str = ALICE_KEY) -> Json:
        answer = self.call("GET", f"/api/executions/{execution_id}", key=key)
        assert answer.status == 200, answer.body
        return answer.json

    def until(self, execution_id: str, *statuses: str) -> Json:
        """The execution as soon as it is in one of these states, or has ended. Fail when it never is."""
        wanted = statuses or ENDED
        return self.eventually(lambda: self.get(execution_id), lambda one: one["status"] in wanted)

    def eventually(self, look: Callable[[], Any], good: Callable[[Any], bool] = bool) -> Any:
        """Look until it is good; what was seen. Fail when it never is."""
        give_up = time.monotonic() + PATIENCE
        while not good(found := look()):
            assert time.monotonic() < give_up, f"it never happened: {found}\n{self.program.said.read_text()[-3000:]}"
            time.sleep(0.05)
        return found

    def events(self, execution_id: str, after: int = 0) -> list[Json]:
        return self.call("GET", f"/api/executions/{execution_id}/events?after={after}&limit=1000").json["events"]

    def steps(self, execution_id: str) -> list[Json]:
        return self.call("GET", f"/api/executions/{execution_id}/node-executions").json["steps"]

    def types(self, execution_id: str) -> list[str]:
        return [one["type"] for one in self.events(execution_id)]


def states(execution: Json) -> dict[str, str]:
    """What each node has come to."""
    return {one["node_id"]: one["status"] for one in execution["node_states"]}


@contextmanager
def an_oracle() -> Generator[Oracle]:
    """A provider on a port of its own."""
    oracle = Oracle()
    thread = threading.Thread(target=oracle.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield oracle
    finally:
        oracle.go_on()
        oracle.server.shutdown()
        oracle.server.server_close()
        thread.join(PATIENCE)


@contextmanager
def flows_in(folder: Path, oracle: Oracle, *arguments: str, **environ: str) -> Generator[Flows]:
    """A gateway with this provider, started; its files in `folder`. A process that is silent for 3 s is dead."""
    environ = {"WORKER_LEASE_SECONDS": "3", **environ}
    with a_program(folder, oracle.configuration, *arguments, **environ) as program:
        program.start()
        program.until_migrated(ADMIN_KEY)
        yield Flows(program, oracle)


class Postgres:
    """A PostgreSQL; called, it gives the address of a new database by its name."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        #: Whoever is connected is cut off, and finds it again by the same address.
        self.stop, self.start = server.stop, server.start

    def __call__(self, name: str) -> str:
        return _created(self._server.get_uri(driver="asyncpg"), name)


@contextmanager
def a_postgres() -> Generator[Postgres]:
    """A PostgreSQL of the test's own."""
    with a_server() as server:
        yield Postgres(server)


def _created(address: str, name: str) -> str:
    where = parse_url(address)

    async def create() -> None:
        connection = await asyncpg.connect(
            host=where.query.get("host") or where.host,
            port=where.port,
            user=where.username,
            password=where.password or None,
            database=where.database,
        )
        try:
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()

    asyncio.run(create())
    return where.set(database=name).render_as_string(hide_password=False)
