"""The judge on a running gateway: a model grades a sample of the answers, behind the callers, at its own cost."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.quality.judge import CONCURRENCY, QUEUE
from gateway.settings import Settings
from gateway.settings.sections import Judge
from gateway.settings.tree import ModelSettings, Price, ProviderSettings, RouteSettings
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, ANTHROPIC, CHAT_MODELS, OPENAI, World, with_keys, world_in
from tests.serving import until

#: USD per grade: ten tokens in, five out.
COST = 0.015
GRADER = "grader/grader"


@dataclass
class Grader:
    """A provider of OpenAI's kind that answers what it is told to, and remembers what it was asked."""

    says: str | int = '{"score": 0.25}'
    """A text; or a status to fail with."""
    asked: list[Any] = field(default_factory=list[Any])
    go: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def answer(self, body: bytes) -> tuple[int, bytes]:
        self.asked.append(json.loads(body))
        self.go.wait(20)
        if isinstance(self.says, int):
            return self.says, b'{"error": {"message": "no", "type": "server_error"}}'
        message = {"role": "assistant", "content": self.says}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        told = {
            **{"id": "g", "object": "chat.completion", "created": 1, "model": "grader", "usage": usage},
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }
        return 200, json.dumps(told).encode()


@contextmanager
def grading() -> Generator[Grader]:
    grader = Grader()
    grader.go.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body = grader.answer(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    grader.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield grader
    finally:
        grader.go.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


@contextmanager
def judged(folder: Path, grader: Grader, **wanted: Any) -> Generator[World]:
    """A gateway whose judge is the grader: by default it sees every answer, and has money enough."""

    def change(settings: Settings) -> Settings:
        price = Price(input=0.001, output=0.001, cached_input=0.001)
        provider = ProviderSettings(
            name="grader",
            dialect="openai",
            base_url=f"http://127.0.0.1:{grader.port}/v1",
            api_key=None,
            models=(ModelSettings(name="grader", upstream="grader", price=price),),
        )
        usual: dict[str, Any] = {"model": GRADER, "sample": 1.0, "budget_usd": 1000.0}
        route = RouteSettings(name="private", targets=(OPENAI,), judge=False)
        return replace(
            settings,
            providers={**settings.providers, "grader": provider},
            routes={"private": route},
            judge=Judge(**(usual | wanted)),
            requests=replace(settings.requests, retries=0),
        )

    with world_in(folder, with_keys, change) as world:
        yield world


def outcomes(world: World) -> dict[str, int]:
    text = world.get("/metrics", ADMIN_KEY).body.decode()
    mark = 'steelyard_judge_total{outcome="'
    lines = [line.removeprefix(mark) for line in text.splitlines() if line.startswith(mark)]
    return {line.split('"')[0]: int(float(line.rsplit(" ", 1)[1])) for line in lines}


def count(world: World, outcome: str) -> int:
    return outcomes(world).get(outcome, 0)


def grades(world: World, request_id: str) -> list[dict[str, Any]]:
    found = world.get(f"/api/feedback?request_id={request_id}", ADMIN_KEY).json["feedback"]
    return [one for one in found if one["source"] == "judge"]


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with grading() as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, grader: Grader) -> Iterator[World]:
    with judged(tmp_path_factory.mktemp("judge"), grader) as made:
        yield made


@pytest.fixture
def world(shared: World, grader: Grader) -> World:
    """With a judge that grades 0.25, and has nothing left to do."""
    grader.says = '{"score": 0.25}'
    grader.asked.clear()
    return shared


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", CHAT_MODELS)
def test_an_answer_is_graded_and_the_dwa_learns_it(world: World, grader: Grader, model: str, stream: bool) -> None:
    answer = world.chat("What is a steelyard?", model, key=ALICE_KEY, stream=stream)
    request_id = answer.headers["x-steelyard-request-id"]
    # It is kept first, and then told to the DWA, which says what it weighs.
    until(lambda: [one for one in grades(world, request_id) if one["weight"] is not None])
    (grade,) = grades(world, request_id)
    facts = ("judge", "judge", 0.25, model, f"{grade['provider']}/{grade['model']}")
    assert (grade["source"], grade["metric"], grade["score"], grade["route"], model) == facts
    assert 0.0 < grade["weight"] <= 1.0
    shown = json.loads(grader.asked[-1]["messages"][-1]["content"])
    assert shown["conversation"] == [{"role": "user", "text": "What is a steelyard?"}]
    said = _text(answer.events) if stream else answer.json["choices"][0]["message"]["content"]
    assert shown["answer"] == said
    assert grader.asked[-1]["response_format"] == {"type": "json_object"}


def _text(events: list[tuple[str, Any]]) -> str:
    chunks = [data for _, data in events if data != "[DONE]"]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


@pytest.mark.parametrize("surface", ["/v1/messages", "/api/llm/orchestrate"])
def test_every_chat_surface_is_judged(world: World, surface: str) -> None:
    body: dict[str, Any] = {"model": ANTHROPIC, "messages": [{"role": "user", "content": f"by {surface}"}]}
    answer = world.post(surface, body | {"max_tokens": 50}, key=ALICE_KEY)
    assert answer.status == 200
    until(lambda: grades(world, answer.headers["x-steelyard-request-id"]))


def test_its_own_requests_are_on_record_and_never_judged(world: World, grader: Grader) -> None:
    request_id = world.chat("on record", key=ALICE_KEY).headers["x-steelyard-request-id"]
    until(lambda: grades(world, request_id))

    def own() -> list[dict[str, Any]]:
        found = world.get("/api/db/requests/recent?key=judge&limit=500", ADMIN_KEY).json["requests"]
        return [one for one in found if one["tags"] == {"judged": request_id}]

    until(own)
    (record,) = own()
    assert (record["surface"], record["tenant"], record["requested_model"]) == ("judge", "judge", GRADER)
    assert record["cost_usd"] == pytest.approx(COST)
    assert len([one for one in grader.asked if "on record" in one["messages"][-1]["content"]]) == 1
    assert grades(world, record["id"]) == []


@pytest.mark.parametrize(
    "says",
    [
        "0.9",
        "I would say 0.9",
        '```json\n{"score": 0.9}\n```',
        '{"score": 9}',
        '{"score": -1}',
        '{"score": "0.9"}',
        '{"score": true}',
        '{"score": 0.9, "because": "x"}',
        '{"grade": 0.9}',
        '{"score": NaN}',
        "",
    ],
)
def test_what_is_no_grade_is_counted_and_never_guessed(world: World, grader: Grader, says: str) -> None:
    grader.says = says
    before = count(world, "unreadable")
    request_id = world.chat(f"unreadable {says}", key=ALICE_KEY).headers["x-steelyard-request-id"]
    until(lambda: count(world, "unreadable") == before + 1)
    assert grades(world, request_id) == []


def test_a_judge_that_fails_is_nobodys_trouble_but_counted(world: World, grader: Grader) -> None:
    grader.says = 400
    before = count(world, "failed")
    assert world.chat("fail quietly", key=ALICE_KEY).status == 200
    until(lambda: count(world, "failed") == before + 1)


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
        {"messages": [{"role": "user", "content": "x" * 300_000}]},
    ],
)
def test_what_is_not_all_text_or_too_long_is_not_graded(world: World, grader: Grader, more: dict[str, Any]) -> None:
    before = count(world, "unfit")
    if "tools" in more:
        more["tool_choice"] = "required"
    answer = world.chat("call it", key=ALICE_KEY, **more)
    assert answer.status == 200
    until(lambda: count(world, "unfit") == before + 1)
    assert grader.asked == []


def test_a_cached_answer_and_an_embedding_and_an_error_are_not_judged(world: World, grader: Grader) -> None:
    body = {"model": OPENAI, "prompt": "cached"}
    first, second = (world.post("/api/llm/orchestrate", body, key=ALICE_KEY) for _ in range(2))
    assert second.headers["x-steelyard-cache"] == "hit"
    assert world.post("/v1/embeddings", {"model": "sim-embed", "input": "x"}, key=ALICE_KEY).status == 200
    assert world.chat("who?", "nobody", key=ALICE_KEY).status == 404
    last = world.chat("the last", key=ALICE_KEY).headers["x-steelyard-request-id"]
    until(lambda: grades(world, last) and grades(world, first.headers["x-steelyard-request-id"]))
    assert len(grader.asked) == 2


def test_a_route_may_keep_its_answers_from_the_judge(world: World, grader: Grader) -> None:
    assert world.chat("between us", "private", key=ALICE_KEY).status == 200
    last = world.chat("not between us", key=ALICE_KEY).headers["x-steelyard-request-id"]
    until(lambda: grades(world, last))
    assert len(grader.asked) == 1


def test_when_the_days_budget_is_spent_it_asks_no_more_not_even_after_a_restart(tmp_path: Path) -> None:
    with grading() as grader:
        with judged(tmp_path, grader, budget_usd=2.5 * COST) as world:
            for number in range(6):
                assert world.chat(f"number {number}", key=ALICE_KEY).status == 200
                # One after the other: those that are asked for at once may overspend together.
                until(lambda wanted=number + 1: sum(outcomes(world).values()) == wanted)
            assert outcomes(world) == {"graded": 3, "over_budget": 3}
        with judged(tmp_path, grader, budget_usd=2.5 * COST) as world:
            assert world.chat("again", key=ALICE_KEY).status == 200
            until(lambda: count(world, "over_budget") == 1)
        assert len(grader.asked) == 3


def test_a_slow_judge_keeps_nobody_waiting_and_drops_what_it_cannot_take(tmp_path: Path) -> None:
    with grading() as grader:
        grader.go.clear()
        with judged(tmp_path, grader) as world:
            for number in range(QUEUE + CONCURRENCY + 3):
                assert world.chat(f"number {number}", key=ALICE_KEY).status == 200
            until(lambda: len(grader.asked) == CONCURRENCY)
            until(lambda: count(world, "dropped") == 3)
            grader.go.set()
            until(lambda: count(world, "graded") == QUEUE + CONCURRENCY, within=30)


def test_the_gateway_stops_with_a_grade_under_way(tmp_path: Path) -> None:
    """`Serving` fails when it does not; what the judge had asked is on record as cancelled."""
    with grading() as grader:
        grader.go.clear()
        with judged(tmp_path, grader) as world:
            request_id = world.chat("goodbye", key=ALICE_KEY).headers["x-steelyard-request-id"]
            until(lambda: len(grader.asked) == 1)
        grader.go.set()
        with judged(tmp_path, grader) as world:
            found = world.get("/api/db/requests/recent?key=judge", ADMIN_KEY).json["requests"]
            assert [(one["outcome"], one["tags"]) for one in found] == [("cancelled", {"judged": request_id})]
            assert grades(world, request_id) == []


def test_a_share_of_nothing_draws_nothing(tmp_path: Path) -> None:
    with grading() as grader, judged(tmp_path, grader, sample=0.0) as world:
        for number in range(5):
            assert world.chat(f"number {number}", key=ALICE_KEY).status == 200
        assert outcomes(world) == {}
