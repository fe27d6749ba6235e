"""`steelyard cache warm`: what a caller has asked is asked again with its own key, and answers from the cache after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from gateway.cli import main
from gateway.settings import Settings
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, BOB_KEY, World, with_keys, world_in
from tests.serving import until


def logging_bodies(settings: Settings) -> Settings:
    return replace(settings, request_log=replace(settings.request_log, bodies=True))


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("warm"), with_keys, logging_bodies) as made:
        yield made


def warm(world: World, *words: str, key: str = ALICE_KEY, said: str | None = None) -> Result:
    return CliRunner().invoke(main, ["cache", "warm", *words, "--url", world.url, "--key", key], input=said)


def ask(world: World, said: str, key: str = ALICE_KEY, temperature: float = 0) -> str:
    """How the cache answered; its record is there."""
    answer = world.chat(said, key=key, temperature=temperature)
    assert answer.status == 200, answer.body
    record(world, answer.headers["x-steelyard-request-id"])
    return answer.headers["x-steelyard-cache"]


def record(world: World, request_id: str) -> None:
    until(lambda: world.get(f"/api/db/requests/{request_id}", ADMIN_KEY).status == 200)


def empty(world: World) -> None:
    assert world.call("DELETE", "/api/db/cache/clear", key=ADMIN_KEY).status == 200


def test_a_callers_questions_are_answered_from_the_cache_again_and_nobody_elses(logged: World) -> None:
    for _ in range(3):
        ask(logged, "Asked three times")
    ask(logged, "Asked once")
    assert ask(logged, "Never the same twice", temperature=1) == "bypass"
    ask(logged, "Asked three times", BOB_KEY)
    empty(logged)
    before = logged.asked()
    told = warm(logged, "--dry-run", "--limit", "1")
    assert told.exit_code == 0, told.output
    assert "1 questions of 'alice', which cost 0.0" in told.output
    assert warm(logged, said="n\n").exit_code == 1
    assert logged.asked() == before
    done = warm(logged, "--yes", "--limit", "1")
    assert done.exit_code == 0, done.output
    assert "1 asked and kept, 0 there already, 0 failed" in done.output
    assert logged.asked() == before + 1
    assert ask(logged, "Asked three times") == "hit"
    assert ask(logged, "Asked once") == "miss"
    assert ask(logged, "Asked three times", BOB_KEY) == "miss"
    all_of_them = json.loads(warm(logged, "--yes", "--json").stdout)
    assert all_of_them["there"] >= 2
    again = json.loads(warm(logged, "--yes", "--json").stdout)
    assert (again["kept"], again["failed"]) == (0, 0)
    fresh = json.loads(warm(logged, "--yes", "--json", "--refresh").stdout)
    assert (fresh["kept"], fresh["there"]) == (again["there"], 0)


def test_streams_and_the_other_surfaces_are_warmed_as_they_were_asked(tmp_path: Path) -> None:
    with world_in(tmp_path, with_keys, logging_bodies) as world:
        contents = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": {"temperature": 0}}
        messages = [{"role": "user", "content": "Hi"}]
        claude = {"model": "sim-anthropic/sim-chat", "max_tokens": 9, "temperature": 0, "messages": messages}
        calls = (
            ("/v1/chat/completions", {"model": "sim-chat", "temperature": 0, "stream": True, "messages": messages}),
            ("/v1/messages", claude),
            ("/v1beta/models/sim-chat:generateContent", contents),
            ("/api/llm/orchestrate", {"prompt": "Hi"}),
        )
        for path, body in calls:
            answer = world.post(path, body, key=ALICE_KEY)
            assert answer.status == 200, answer.body
            record(world, answer.headers["x-steelyard-request-id"])
        # What a session was asked is no question by itself, and to ask it again would lengthen the session.
        assert world.orchestrate(ALICE_KEY, prompt="Hi", session_id="held").status == 200
        empty(world)
        done = warm(world, "--yes", "--json", "--concurrency", "1")
        assert json.loads(done.stdout) == {"kept": len(calls), "there": 0, "failed": 0, "error": None}, done.output
        for path, body in calls:
            assert world.post(path, body, key=ALICE_KEY).headers["x-steelyard-cache"] == "hit", path
        assert world.get("/api/sessions/held", ALICE_KEY).json["turns"] == 1


def test_a_key_that_reads_others_requests_asks_for_nobody_else(logged: World) -> None:
    ask(logged, "Of alice")
    ask(logged, "Of bob", BOB_KEY)
    empty(logged)
    both = warm(logged, "--yes", key=ADMIN_KEY)
    assert both.exit_code == 1
    assert "2 callers" in both.output
    before = logged.asked()
    other = warm(logged, "--yes", "--of", "alice", key=ADMIN_KEY)
    assert other.exit_code == 1
    assert "use the key of 'alice'" in other.output
    assert logged.asked() == before + 1
    assert ask(logged, "Of alice") == "miss"
    others = warm(logged, "--of", "bob", "--yes")
    assert others.exit_code == 1
    assert "leave --of out" in others.output


def test_whose_they_are_is_known_before_many_are_asked_even_if_the_first_fails(tmp_path: Path) -> None:
    fails, other = "sim-openai/sim-chat", "sim-anthropic/sim-chat"
    with world_in(tmp_path, with_keys, logging_bodies) as world:
        for model, said, times in ((fails, "Fails", 3), (other, "First answered", 2), (other, "Never asked", 1)):
            for _ in range(times):
                body = {"model": model, "temperature": 0, "messages": [{"role": "user", "content": said}]}
                answer = world.post("/v1/chat/completions", body, key=BOB_KEY)
                record(world, answer.headers["x-steelyard-request-id"])
        empty(world)
        world.running.control("sim-openai", "down")
        told = warm(world, "--yes", "--of", "bob", key=ADMIN_KEY)
    assert told.exit_code == 1
    assert "use the key of 'bob'" in told.output


def test_a_record_that_another_worker_still_has_is_waited_for(logged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(logged, "Written down later")
    empty(logged)
    # As where one worker is asked for what another has: nothing is brought forward.
    monkeypatch.setattr("gateway.records._FLUSH_WITHIN", 0.0)
    done = warm(logged, "--yes", "--limit", "500")
    assert done.exit_code == 0, done.output


def test_what_the_log_has_masked_is_not_asked(logged: World) -> None:
    ask(logged, "Write to someone@example.com", BOB_KEY)
    ask(logged, "Write to someone", BOB_KEY)
    told = warm(logged, "--dry-run", "--since", "1d", key=BOB_KEY)
    assert "1 requests are in the log with something masked in them" in told.output


def test_without_bodies_in_the_log_it_says_what_to_do(keyed: World) -> None:
    ask(keyed, "Not kept")
    told = warm(keyed, "--yes")
    assert told.exit_code == 1
    assert "STEELYARD_LOG_BODIES=true" in told.output


def test_what_fails_is_told(logged: World) -> None:
    ask(logged, "Will fail")
    empty(logged)
    for provider in logged.running.state():
        logged.running.control(provider, "down")
    try:
        told = warm(logged, "--yes", "--limit", "500")
    finally:
        for provider in logged.running.state():
            logged.running.control(provider)
        assert logged.post("/api/llm/dwa/reset", {}, key=ADMIN_KEY).status == 200
    assert told.exit_code == 1
    assert "Of those that failed the first: 50" in told.output


def test_without_a_key_it_says_how_to_give_one(keyed: World) -> None:
    done = CliRunner().invoke(main, ["cache", "warm", "--url", keyed.url])
    assert done.exit_code == 1
    assert "--key or STEELYARD_KEY" in done.output


@pytest.mark.parametrize("since", ["soon", "12", "h", "²d", "-5h", "99999999999d"])
def test_a_time_that_is_none_is_told(since: str) -> None:
    done = CliRunner().invoke(main, ["cache", "warm", "--since", since])
    assert done.exit_code == 2
    assert "24h" in done.output
