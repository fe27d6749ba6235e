"""Executions followed as they go: server-sent events and WebSockets, with nothing missed and nothing twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Generator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import aiohttp
import pytest

from gateway.api import following
from tests.acceptance.bad_days import PATIENCE
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, BOB_KEY
from tests.acceptance.flows import ENDED, Flows, an_oracle, flows_in, prompts

AS_ALICE = {"authorization": f"Bearer {ALICE_KEY}"}


@pytest.fixture(scope="module")
def flows(tmp_path_factory: pytest.TempPathFactory) -> Generator[Flows]:
    with an_oracle() as oracle, flows_in(tmp_path_factory.mktemp("followed"), oracle) as made:
        made.save(prompts("three", "t-one", "t-two WAIT", "t-three"))
        yield made


@pytest.fixture(autouse=True)
def _calm(flows: Flows) -> Generator[None]:
    yield
    flows.oracle.go_on()


def read_event(answer: HTTPResponse) -> dict[str, str] | None:
    """The next event; None at the end. Comments are passed over."""
    fields: dict[str, str] = {}
    while line := answer.readline().decode():
        if line == "\n" and fields:
            return fields
        name, _, value = line.rstrip("\n").partition(": ")
        if name:
            fields[name] = value
    return None


def rest(answer: HTTPResponse) -> list[int]:
    """The ids of all further events."""
    found: list[int] = []
    while event := read_event(answer):
        found.append(int(event["id"]))
        assert json.loads(event["data"])["seq"] == found[-1]
    return found


# Server-sent events


def test_a_stream_tells_everything_and_ends(flows: Flows) -> None:
    answer = flows.call("POST", "/api/workflows/three/execute/stream", {"inputs": {}})
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    types = [name for name, _ in answer.events]
    assert types[:2] == ["execution.submitted", "execution.started"]
    assert types.count("step.succeeded") == 3
    assert types[-1] == "execution.completed"
    assert [data["seq"] for _, data in answer.events] == list(range(1, len(types) + 1))


def test_whoever_hangs_up_goes_on_with_the_last_id(flows: Flows) -> None:
    flows.oracle.hold("WAIT")
    headers = {
        "authorization": f"Bearer {ALICE_KEY}",
        "content-type": "application/json",
        "idempotency-key": "followed",
    }
    body, path = b'{"inputs": {}}', "/api/workflows/three/execute/stream"
    seen: list[int] = []
    with closing(HTTPConnection("127.0.0.1", flows.program.port, timeout=PATIENCE)) as connection:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        while (event := read_event(answer)) is not None:
            seen.append(int(event["id"]))
            if event["event"] == "step.started" and json.loads(event["data"])["node_id"] == "n1":
                break
    execution = json.loads(event["data"])["execution_id"] if event else ""
    flows.oracle.go_on()
    # By the same request, and by the address of the events: each goes on behind what was seen.
    tails: list[list[int]] = []
    for method, where, more in (
        ("POST", path, {}),
        ("GET", f"/api/executions/{execution}/events", {"accept": "text/event-stream"}),
    ):
        with closing(HTTPConnection("127.0.0.1", flows.program.port, timeout=PATIENCE)) as connection:
            connection.request(method, where, body, {**headers, **more, "last-event-id": str(seen[-1])})
            answer = connection.getresponse()
            assert answer.status == 200
            tails.append(rest(answer))
    assert tails[0] == tails[1]
    assert seen + tails[0] == [one["seq"] for one in flows.events(execution)]
    assert flows.types(execution)[-1] == "execution.completed"


def test_a_bad_last_id_and_an_execution_of_others_are_told_with_a_status(flows: Flows) -> None:
    done = flows.run("three")["execution_id"]
    path = f"/api/executions/{done}/events"
    assert flows.call("GET", path, accept="text/event-stream", last_event_id="x").status == 400
    assert flows.call("GET", path, accept="text/event-stream", key=BOB_KEY).status == 404
    assert flows.call("GET", f"{path}?after=-1").status == 400


def test_pages_of_events_have_no_gaps(flows: Flows) -> None:
    done = flows.run("three")["execution_id"]
    found: list[int] = []
    after = 0
    while page := flows.call("GET", f"/api/executions/{done}/events?after={after}&limit=3").json["events"]:
        found += [one["seq"] for one in page]
        after = found[-1]
    assert found == list(range(1, len(found) + 1))
    assert len(found) > 6


# WebSockets


async def watched(flows: Flows, path: str, **headers: str) -> tuple[list[int], int | None]:
    """The numbers of all events, and the code of the close."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{flows.program.url}{path}", headers=headers) as socket,
    ):
        seen = [json.loads(message.data)["seq"] async for message in socket]
        return seen, socket.close_code


async def test_a_socket_replays_what_was_missed_then_goes_on_live(flows: Flows) -> None:
    flows.oracle.hold("WAIT")
    begun = await asyncio.to_thread(flows.begin, "three")
    await asyncio.to_thread(flows.eventually, lambda: "step.succeeded" in flows.types(begun))
    before = len(await asyncio.to_thread(flows.events, begun))
    live = asyncio.create_task(watched(flows, f"/ws/workflow/{begun}", **AS_ALICE))
    behind = asyncio.create_task(watched(flows, f"/ws/workflow/{begun}?after={before - 1}", **AS_ALICE))
    await asyncio.sleep(0)
    flows.oracle.go_on()
    told = await asyncio.to_thread(lambda: (flows.until(begun), flows.events(begun))[1])
    everything = [one["seq"] for one in told]
    assert await live == (everything, 1000)
    assert await behind == (everything[before - 1 :], 1000)
    # Of one that has ended, too.
    assert await watched(flows, f"/ws/workflow/{begun}", **AS_ALICE) == (everything, 1000)


@pytest.mark.parametrize("how", ["header", "protocol", "admin"])
async def test_who_follows_hears_no_more_once_its_key_is_revoked(flows: Flows, how: str) -> None:
    def manage(method: str, path: str, body: object = None) -> Any:
        answer = flows.call(method, path, body, key=ADMIN_KEY)
        assert answer.status < 300, answer.body
        return answer.json

    scopes = ["admin"] if how == "admin" else ["use", "read"]
    made = await asyncio.to_thread(manage, "POST", "/api/keys", {"name": f"leaving-{how}", "scopes": scopes})
    flows.oracle.hold("WAIT")
    begun = await asyncio.to_thread(flows.begin, "three", **({} if how == "admin" else {"key": made["key"]}))
    protocols = ("steelyard", f"steelyard-key.{made['key']}") if how == "protocol" else ()
    headers = {} if how == "protocol" else {"authorization": f"Bearer {made['key']}"}
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(
            f"{flows.program.url}/ws/workflow/{begun}", headers=headers, protocols=protocols
        )
        path = f"{flows.program.url}/api/executions/{begun}/events"
        sent = {"authorization": f"Bearer {made['key']}", "accept": "text/event-stream"}
        async with session.get(path, headers=sent) as stream:
            while b"step.succeeded" not in (told := await stream.content.readline()):
                assert told
            while (await socket.receive_json())["type"] != "step.succeeded":
                pass
            if how == "admin":  # who goes on having a key, and may look at nobody else's any more
                await asyncio.to_thread(manage, "PATCH", f"/api/keys/{made['id']}", {"scopes": ["use", "read"]})
            else:
                await asyncio.to_thread(manage, "DELETE", f"/api/keys/{made['id']}")
            flows.oracle.go_on()
            await asyncio.to_thread(flows.eventually, lambda: flows.get(begun, ADMIN_KEY)["status"] in ENDED)
            rest = await stream.content.read()
            assert b"completed" not in rest
            assert b"failed" not in rest
        told = [message.data async for message in socket]
        assert not [one for one in told if "completed" in one or "failed" in one]
        assert socket.close_code == 1008


async def test_a_key_is_looked_up_again_while_nothing_is_told() -> None:
    async def silence() -> AsyncGenerator[list[Any]]:
        while True:
            yield []

    answers = iter([True, True, False])
    assert [piece async for piece in following._pieces(silence(), lambda: next(answers))] == [b": waiting\n\n"] * 2


async def test_a_browser_gives_its_key_as_a_protocol(flows: Flows) -> None:
    done = (await asyncio.to_thread(flows.run, "three"))["execution_id"]
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"{flows.program.url}/ws/workflow/{done}", protocols=("steelyard", f"steelyard-key.{ALICE_KEY}")
        ) as socket,
    ):
        assert socket.protocol == "steelyard"
        first = await socket.receive_json()
    assert first["type"] == "execution.submitted"


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {}, 401),
        (f"?key={ALICE_KEY}", {}, 401),
        ("", {"authorization": "Bearer wrong"}, 401),
        ("", {"sec-websocket-protocol": "steelyard, steelyard-key.wrong"}, 401),
        ("", {"authorization": f"Bearer {BOB_KEY}"}, 404),
        ("?after=x", AS_ALICE, 400),
        ("", {**AS_ALICE, "origin": "https://elsewhere.example"}, 403),
    ],
)
async def test_who_may_not_follow_is_told_before_anything_opens(
    flows: Flows, query: str, headers: dict[str, str], status: int
) -> None:
    done = (await asyncio.to_thread(flows.run, "three"))["execution_id"]
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await watched(flows, f"/ws/workflow/{done}{query}", **headers)
    assert refused.value.status == status
    assert refused.value.headers is not None
    assert refused.value.headers["x-content-type-options"] == "nosniff"
    assert ALICE_KEY not in flows.program.said.read_text()


async def test_the_administrator_and_pages_of_here_may_follow(flows: Flows) -> None:
    done = (await asyncio.to_thread(flows.run, "three"))["execution_id"]
    headers: dict[str, Any] = {"authorization": f"Bearer {ADMIN_KEY}", "origin": flows.program.url}
    seen, code = await watched(flows, f"/ws/workflow/{done}", **headers)
    assert (seen[0], code) == (1, 1000)


async def test_a_caller_that_goes_leaves_the_gateway_at_work(flows: Flows) -> None:
    flows.oracle.hold("WAIT")
    begun = await asyncio.to_thread(flows.begin, "three")
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(f"{flows.program.url}/ws/workflow/{begun}", headers=AS_ALICE)
        await socket.receive_json()
        await socket.close()
    flows.oracle.go_on()
    assert (await asyncio.to_thread(flows.until, begun))["status"] == "completed"
    assert not [line for line in flows.program.lines() if line["level"] == "error"]
