"""What its users do with every client, to providers of every wire format: one expectation for all of them.

`them.CLIENTS` says what each client can do; every test is run for those that can do what it is named after, and for
each provider. What came of it is compared with what the simulated model is known to answer, whatever the client and
whatever the formats between. Clients that are not installed have no tests, and what only such can do is skipped by
their name: `make test-clients` installs them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from providers.simulator.vectors import embed
from tests.clients.clients_world import CHAT_NAMES, EMBED_NAMES, Doing, Obeying, World, missing, obeying, serving
from tests.clients.them import CLIENTS, Client
from tests.serving import until

QUESTION = "What is a steelyard?"
#: Tokens of the question, of the answer to it, and of a picture, as the simulator counts.
ASKED, ANSWERED, PICTURE = 5, 40, 85


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test for the clients that can do what it is named after, with each provider if it asks for one."""
    scenario = metafunc.function.__name__.removeprefix("test_")
    able = [one for one in CLIENTS if scenario in one.does and not missing(one)]
    if not able:
        # Without a word pytest would skip it for its "empty parameter set", and name nobody.
        asked = ("client", "provider") if "provider" in metafunc.fixturenames else ("client",)
        metafunc.parametrize(asked, [nobody(scenario, len(asked))])
    elif "provider" in metafunc.fixturenames:
        pairs = [(one, provider) for one in able for provider in one.providers(scenario)]
        metafunc.parametrize(("client", "provider"), pairs, ids=[f"{one.name}-{at[4:]}" for one, at in pairs])
    else:
        metafunc.parametrize("client", able, ids=[one.name for one in able])


def nobody(scenario: str, values: int) -> Any:
    """In place of the clients that can do it, none of which is there: a skip that says whose they are."""
    homes = {one.home for one in CLIENTS if scenario in one.does}
    lacking = " and ".join(sorted("npm" if home == "node" else f"Python ({home})" for home in homes))
    mark = pytest.mark.skip(reason=f"only clients of {lacking} can do it, which make test-clients installs")
    return pytest.param(*[None] * values, marks=mark, id="nobody")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serving(tmp_path_factory.mktemp("clients"), [one.name for one in CLIENTS]) as made:
        yield made


@pytest.fixture(scope="session")
def started() -> Iterator[dict[str, Obeying]]:
    """The processes of the scripts, each kept from its first order on."""
    running: dict[str, Obeying] = {}
    yield running
    for one in running.values():
        one.stop()


@pytest.fixture
def do(client: Client, request: pytest.FixtureRequest) -> Doing:
    """The client, ready for orders."""
    world: World = request.getfixturevalue("world")
    running: dict[str, Obeying] = request.getfixturevalue("started")
    if client.script not in running:
        running[client.script] = obeying(client, world)
    return Doing(client, world.keys[client.name], running[client.script])


@pytest.fixture
def frail(do: Doing, request: pytest.FixtureRequest) -> Iterator[World]:
    """For what breaks providers: afterwards all is forgiven. No gateway is started for a client that is not there."""
    world: World = request.getfixturevalue("world")
    yield world
    world.forget()


def facts(answer: dict[str, Any]) -> dict[str, Any]:
    assert "raised" not in answer, answer["raised"]["stack"]
    return answer["facts"]


def told_by(do: Doing, scenario: str, model: str, said: str, *names: str) -> dict[str, Any]:
    """What came of it, with facts of these names but for those that the client is known to keep to itself."""
    told = facts(do(scenario, model, said))
    assert set(names) - told.keys() == do.client.untold.get(scenario, frozenset())
    return told


def raised(answer: dict[str, Any]) -> dict[str, Any]:
    assert "raised" in answer, answer
    return answer["raised"]


def check_answer(told: dict[str, Any], beside: int = 0) -> None:
    """It is the whole answer to the question, and its tokens are counted where the client counts."""
    assert f"read: {QUESTION}" in told["text"]
    assert -(-len(told["text"]) // 4) == ANSWERED
    assert told.get("input", ASKED + beside) == ASKED + beside
    assert told.get("output", ANSWERED) == ANSWERED


def check_tools(told: dict[str, Any]) -> None:
    """Both tools were called, each with what its schema asks for, and the answer quotes what they said."""
    arguments = {"weather": {"city": "simulated"}, "clock": {"zone": "simulated"}}
    if "called" in told:
        assert len(told["called"]) == 2
        assert dict(map(tuple, told["called"])) == arguments
    assert "The tool said: " in told["text"]
    assert "rain in simul" in told["text"] or "noon in simul" in told["text"]


def test_chat(do: Doing, client: Client, provider: str) -> None:
    told = told_by(do, "chat", f"{provider}/sim-chat", QUESTION, "input", "output")
    check_answer(told, client.beside.get(provider, 0))


def test_stream(do: Doing, provider: str) -> None:
    told = told_by(do, "stream", f"{provider}/sim-chat", QUESTION, "input", "output", "pieces")
    check_answer(told)
    if "pieces" in told:
        assert len(told["pieces"]) > 2
        assert "".join(told["pieces"]) == told["text"]


def test_tools(do: Doing, provider: str) -> None:
    check_tools(told_by(do, "tools", f"{provider}/sim-chat", "#sim tools=weather,clock", "called"))


def test_tools_streamed(do: Doing, provider: str) -> None:
    check_tools(told_by(do, "tools_streamed", f"{provider}/sim-chat", "#sim tools=weather,clock", "called"))


def test_one_tool(do: Doing, provider: str) -> None:
    told = facts(do("one_tool", f"{provider}/sim-chat", "#sim tools=weather,clock"))
    assert told["called"] == [["weather", {"city": "simulated"}]]
    assert "rain in simul" in told["text"]


def check_parcel(value: dict[str, Any]) -> None:
    assert value["sender"] == "simulated"
    assert float(value["kilograms"]) == 1
    assert value.get("stamps", ["simulated"]) == ["simulated"]


def test_structured(do: Doing, provider: str) -> None:
    check_parcel(facts(do("structured", f"{provider}/sim-chat", "A parcel."))["value"])


def test_structured_by_tool(do: Doing, provider: str) -> None:
    check_parcel(facts(do("structured_by_tool", f"{provider}/sim-chat", "A parcel."))["value"])


def test_structured_streamed(do: Doing, provider: str) -> None:
    check_parcel(facts(do("structured_streamed", f"{provider}/sim-chat", "A parcel."))["value"])


def test_vision(do: Doing, client: Client, provider: str) -> None:
    told = facts(do("vision", f"{provider}/sim-chat", QUESTION))
    assert told["input"] == ASKED + PICTURE + client.beside.get(provider, 0)


def test_thinking(do: Doing, provider: str) -> None:
    told = facts(do("thinking", f"{provider}/sim-chat", "#sim tool=weather think"))
    assert "I weigh what I was told" in told["thought"]
    assert "rain in simul" in told["text"]


def test_embed(do: Doing, provider: str) -> None:
    told = facts(do("embed", f"{provider}/sim-embed", QUESTION))
    assert told["vectors"] == [pytest.approx(embed(text, 256), abs=1e-6) for text in (QUESTION, "salt")]


def test_count(do: Doing) -> None:
    assert facts(do("count", "sim-anthropic/sim-chat", QUESTION))["input"] == ASKED


def test_kept(do: Doing, provider: str) -> None:
    told = facts(do("kept", f"{provider}/sim-chat", QUESTION))
    assert told["input"] > ASKED + ANSWERED


def test_models(do: Doing) -> None:
    assert {*CHAT_NAMES, *EMBED_NAMES, "auto"} <= set(facts(do("models", "", ""))["names"])


def test_wrong_key(do: Doing, client: Client) -> None:
    told = raised(do("chat", "sim-openai/sim-chat", QUESTION, key="nobody's"))
    assert told["name"] == client.raises[0]
    assert "The API key is not valid" in told["message"]


def test_unknown_model(do: Doing, client: Client) -> None:
    told = raised(do("chat", "nonsense", QUESTION))
    assert told["name"] == client.raises[1]
    assert "The model 'nonsense' does not exist" in told["message"]


def test_throttled(do: Doing, client: Client, provider: str, frail: World) -> None:
    told = raised(do("chat", f"{provider}/sim-chat", "#sim fail=throttled"))
    assert told["name"] == client.raises[2]


def test_retried(do: Doing, client: Client, provider: str, frail: World) -> None:
    # Until the second is over the gateway asks that provider nothing, and answers 429: only who waits is answered.
    frail.running.control(provider, "throttled", seconds=1, requests=1)
    told = facts(do("chat", f"{provider}/sim-chat", QUESTION, retries=1))
    check_answer(told, client.beside.get(provider, 0))


def test_broken(do: Doing, provider: str, frail: World) -> None:
    assert "broke off" in raised(do("stream", f"{provider}/sim-chat", "#sim fail=cut"))["message"]


def test_abort(do: Doing, client: Client, provider: str, frail: World) -> None:
    def cancelled() -> int:
        # Of what was asked before, errors may still be on their way to the log; cancelled ones were waited for.
        return [one["outcome"] for one in frail.records(client.name)].count("cancelled")

    told, seen = cancelled(), frail.count(provider, "aborted")
    frail.running.control(provider, "drip", seconds=0.05)
    assert facts(do("abort", f"{provider}/sim-chat", QUESTION))["aborted"]
    until(lambda: cancelled() == told + 1)
    until(lambda: frail.count(provider, "aborted") == seen + 1)
