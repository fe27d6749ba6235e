"""`POST /api/llm/dwa/simulate` and `steelyard dwa replay`: what would have happened, over a log that was recorded."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from gateway.cli.dwa import dwa
from providers.simulator import Lengths, Model, Prices, Provider, Simulation, Speed
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, BOB_KEY, Answer, World, with_keys, world_in
from tests.acceptance.test_openapi import fits
from tests.serving import until

PATH = "/api/llm/dwa/simulate"
QUICK, SLOW = "quick/chat", "slow/chat"
ASKED = 90


def _provider(name: str, first_token_s: float, usd: float) -> Provider:
    speed = Speed(first_token_s=first_token_s, tokens_per_s=20_000.0, sigma=0.1)
    prices = Prices(input_usd_per_1m=usd, output_usd_per_1m=2 * usd)
    lengths = Lengths(median_tokens=40, sigma=0.3)
    return Provider(
        name=name, dialect="openai", models=(Model(name="chat", speed=speed, prices=prices, lengths=lengths),)
    )


#: One is quick and dear, the other slow and cheap.
CAST = Simulation(providers=(_provider("quick", 0.002, 40.0), _provider("slow", 0.02, 1.0)))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway whose log holds requests of alice under round_robin, and three of bob."""
    with world_in(tmp_path_factory.mktemp("replay"), with_keys, cast=CAST) as world:
        under = {"x_steelyard_strategy": "round_robin", "x_steelyard_objective": "fastest"}
        for n in range(ASKED):
            said = world.chat(f"number {n} " * (1 + n % 7), "chat", key=ALICE_KEY, headers=under)
            assert said.status == 200
        for n in range(3):
            assert world.chat(f"of bob {n}", QUICK, key=BOB_KEY).status == 200
        assert world.chat("what", "no-such-model", key=ALICE_KEY).status == 404
        _ENDS.append(datetime.now(UTC))
        # The command reads the database itself: what waits to be logged has to be there by then. A replay flushes.
        assert ask(world, ADMIN_KEY, strategy="cost", seeds=1).json["facts"]["requests"] == ASKED + 3
        yield world


#: When the log of the fixture was whole: what tests ask for themselves comes later.
_ENDS: list[datetime] = []


def ask(world: World, key: str = ALICE_KEY, **body: Any) -> Answer:
    """A replay of what the fixture recorded, unless the test names another end."""
    body.setdefault("until", _ENDS[-1].isoformat())
    answer = world.post(PATH, body, key=key)
    assert answer.status == 200, answer.body
    return answer


def test_a_full_answer_is_as_documented_and_tells_facts_from_models(recorded: World) -> None:
    answer = ask(recorded, strategy="cost", seeds=2).json
    document = recorded.get("/openapi.json", ALICE_KEY).json
    media = document["paths"][PATH]["post"]["responses"]["200"]["content"]["application/json"]
    assert fits(document, media["schema"], answer)
    facts, model, asked = answer["facts"], answer["recorded"], answer["asked"]
    assert facts["requests"] == model["requests"] == asked["requests"] == ASKED
    assert facts["shares"].keys() == {QUICK, SLOW}
    assert facts["error_share"] == 0.0
    assert (model["strategy"], model["objective"]["name"]) == ("round_robin", "fastest")
    assert (asked["strategy"], asked["objective"]["name"]) == ("cost", "fastest")
    assert model["shares"][SLOW]["mean"] == pytest.approx(0.5, abs=0.1)
    assert asked["shares"][SLOW]["mean"] > 0.9
    assert abs(answer["off"]["cost_usd"]) < 10.0
    assert answer["change"]["cost_usd"] < -50.0
    assert answer["change"]["mean_s"] > 0.0
    assert answer["left_out"] == {"cached": 0, "caller": 1, "left": 0, "unknown": 0}
    assert {one["key"] for one in answer["deployments"]} == {QUICK, SLOW}
    assert any("modelled" in one for one in answer["limits"])


def test_the_other_way_round_is_quicker_and_dearer(recorded: World) -> None:
    change = ask(recorded, strategy="latency", seeds=1).json["change"]
    assert change["mean_s"] < 0.0
    assert change["cost_usd"] > 0.0


def test_an_objective_may_be_weights(recorded: World) -> None:
    asked = ask(recorded, strategy="load_balanced", objective={"cost": 1.0, "errors": 1.0}, seeds=1).json["asked"]
    assert asked["objective"] == {"name": "custom", "latency": 0.0, "cost": 1.0, "errors": 1.0, "quality": 0.0}
    assert asked["shares"][SLOW]["mean"] > 0.5


def test_a_caller_replays_his_own_requests_and_the_administrator_all(recorded: World) -> None:
    own = ask(recorded, BOB_KEY, strategy="cost", seeds=1).json
    assert own["facts"]["requests"] == 3
    assert own["facts"]["shares"] == {QUICK: 1.0}
    assert any("Only this key's own requests" in one for one in own["limits"])
    assert f"{QUICK} has 3 answers" in " ".join(own["limits"])
    everybody = ask(recorded, ADMIN_KEY, strategy="cost", seeds=1).json
    assert everybody["facts"]["requests"] == ASKED + 3


def test_a_model_and_a_limit_narrow(recorded: World) -> None:
    assert ask(recorded, ADMIN_KEY, strategy="cost", model=QUICK, seeds=1).json["facts"]["requests"] == 3
    few = ask(recorded, strategy="cost", limit=10, seeds=1).json
    assert few["facts"]["requests"] + few["left_out"]["caller"] == 10
    assert any(one.startswith("Only the newest 10 requests") for one in few["limits"])


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, None),
        ({"strategy": "nicest"}, "strategy"),
        ({"objective": "nicest"}, "objective"),
        ({"objective": {"latency": 0.0}}, "objective"),
        ({"strategy": "cost", "since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "since"),
        ({"strategy": "cost", "since": "2999-01-01T00:00:00Z"}, "since"),
        ({"strategy": "cost", "since": "1969-01-01T00:00:00Z"}, "since"),
        ({"strategy": "cost", "until": "0001-01-01T00:00:00Z"}, "until"),
        ({"strategy": "cost", "since": "yesterday"}, None),
        ({"strategy": "cost", "limit": 0}, None),
        ({"strategy": "cost", "limit": 50_001}, None),
        ({"strategy": "cost", "seeds": 0}, None),
        ({"strategy": "cost", "seeds": 21}, None),
        ({"strategy": "cost", "timeout": 0}, None),
        ({"strategy": "cost", "surprise": 1}, None),
        ({"objective": {"speed": 1.0}}, None),
        ([], None),
    ],
)
def test_bad_input_is_told_what_is_wrong(recorded: World, body: object, param: str | None) -> None:
    answer = recorded.post(PATH, body, key=ALICE_KEY)
    assert answer.status == 400, answer.body
    error = answer.json["error"]
    assert (error["type"], error["source"], error["param"]) == ("invalid_request_error", "caller", param)
    assert error["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"strategy": "cost", "since": "2001-01-01T00:00:00Z", "until": "2001-01-02T00:00:00"},
        {"strategy": "cost", "until": "1970-01-01T12:00:00Z"},
        {"strategy": "cost", "model": "no-such-model"},
        {"strategy": "cost", "model": "never asked for"},
    ],
)
def test_an_empty_period_is_not_found(recorded: World, body: dict[str, Any]) -> None:
    answer = recorded.post(PATH, body, key=ALICE_KEY)
    assert answer.status == 404, answer.body
    assert "Nothing that can be replayed" in answer.json["error"]["message"]


def test_a_year_that_no_database_knows_is_now(recorded: World) -> None:
    assert ask(recorded, strategy="cost", until="9999-12-31T23:59:59-12:00", seeds=1).json["facts"]["requests"] == ASKED


def test_a_key_is_asked_for(recorded: World) -> None:
    assert recorded.post(PATH, {"strategy": "cost"}).status == 401
    assert recorded.post(PATH, {"strategy": "cost"}, key="nobody-0123456789").status == 401


def test_a_deadline_ends_a_replay(recorded: World) -> None:
    answer = recorded.post(PATH, {"strategy": "cost", "timeout": 0.001}, key=ALICE_KEY)
    assert answer.status == 408
    assert answer.json["error"]["code"] == "deadline_exceeded"
    assert ask(recorded, strategy="cost", seeds=1).json["facts"]["requests"] == ASKED


class Beside:
    """A replay under way in a thread."""

    def __init__(self, world: World, **body: Any) -> None:
        self._world = world
        self.answer: Answer | None = None
        self._thread = threading.Thread(target=self._run, args=({"strategy": "random", "seeds": 20, **body},))
        self._thread.start()

    def _run(self, body: dict[str, Any]) -> None:
        self.answer = self._world.post(PATH, body, key=ALICE_KEY)

    def end(self) -> Answer:
        self._thread.join(60)
        assert self.answer is not None
        return self.answer


def working() -> bool:
    """Whether a replay's process is there. To ask for another replay instead might take the place of the first."""
    return any("spawn_main" in " ".join(_command(one)) for one in psutil.Process().children())


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []  # it has just ended


def busy(world: World) -> bool:
    """Whether a second replay is turned away."""
    answer = world.post(PATH, {"strategy": "cost", "seeds": 1, "limit": 1}, key=BOB_KEY)
    if answer.status != 429:
        return False
    assert answer.json["error"]["code"] == "replay_running"
    assert int(answer.headers["retry-after"]) >= 1
    return True


def test_others_are_served_while_a_replay_is_worked_out_and_a_second_one_is_not(recorded: World) -> None:
    replay = Beside(recorded)
    until(working)
    assert busy(recorded)
    served = 0
    while replay.answer is None:
        assert recorded.get("/api/health", ALICE_KEY).status == 200
        assert recorded.chat(f"meanwhile {served}", QUICK, key=BOB_KEY).status == 200
        served += 1
    assert replay.end().status == 200
    # Starting the process alone takes longer than ten of these; a replay on the event loop would let through two.
    assert served >= 10


def test_a_caller_who_hangs_up_ends_his_replay(recorded: World) -> None:
    connection = HTTPConnection("127.0.0.1", recorded.serving.port, timeout=20)
    headers = {"authorization": f"Bearer {ALICE_KEY}"}
    connection.request("POST", PATH, json.dumps({"strategy": "random", "seeds": 20}), headers)
    until(working)
    assert busy(recorded)
    connection.close()
    until(lambda: not busy(recorded))


@pytest.fixture
def run(recorded: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    url = recorded.serving.settings.database.url.reveal()

    def run(*arguments: str, database: str = url) -> Any:
        return CliRunner().invoke(dwa, ["replay", *arguments], env={"DATABASE_URL": database})

    return run


def test_the_command_says_the_same_in_json(run: Any) -> None:
    result = run("--strategy", "cost", "--seeds", "2", "--json", "--model", "chat")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["facts"]["requests"] == ASKED
    assert answer["change"]["cost_usd"] < -50.0


def test_the_command_shows_a_table_and_the_limits(run: Any) -> None:
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    result = run("--objective", "cheapest", "--seeds", "1", "--since", since, "--limit", "50", "--model", "chat")
    assert result.exit_code == 0, result.output
    for part in ("50 requests", "p99 s", "cost USD", f"share % {SLOW}", "- Seconds, failures and costs", "newest 50"):
        assert part in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give --strategy, --objective or both"),
        (("--strategy", "nicest"), "nicest"),
        (("--objective", "nicest"), "Unknown objective 'nicest'"),
        (("--strategy", "cost", "--since", "yesterday"), "no time like"),
        (("--strategy", "cost", "--since", "2026-01-02", "--until", "2026-01-01"), "--since must be earlier"),
        (("--strategy", "cost", "--since", "2026-01-01", "--until", "2026-01-02"), "Nothing that can be replayed"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(run: Any, arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code != 0
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_the_command_says_that_the_database_is_away(run: Any, tmp_path: Path) -> None:
    result = run("--strategy", "cost", database=f"sqlite+aiosqlite:///{tmp_path}/none.db")
    assert result.exit_code == 1
    assert "Error" in result.stderr
