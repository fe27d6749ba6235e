"""Conversations that the gateway keeps: trimmed to the window, a tenant's own, refused when their past is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest
from front_door import Answered, Door
from gateway_world import Answer, Asked, World, deployment, finished, reply, said, streaming
from hypothesis import given
from hypothesis import strategies as st
from paused_time import run

from gateway import sessions as under_test
from gateway.api.orchestrate import ORCHESTRATE
from gateway.errors import BadRequest, Busy, NotFound
from gateway.failover import RetryPolicy
from gateway.governance.keys import ANONYMOUS
from gateway.sessions import Sessions
from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable
from gateway.store.record import Json
from gateway.store.sessions import Session
from providers.errors import Cut, Overloaded

NOW = 1_700_000_000.0


class Table:
    """The sessions table in memory, in the place of the store's functions; `away` makes it unreachable."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Session] = {}
        self.away = False
        self.keeps: list[int] = []

    def _there(self) -> None:
        if self.away:
            raise StoreUnavailable("db:5432 does not answer")

    async def load(self, _database: Database, tenant: str, identity: str) -> Session | None:
        self._there()
        return self.rows.get((tenant, identity))

    async def append(
        self, _database: Database, tenant: str, identity: str, messages: Sequence[Json], *, now: float, keep: int
    ) -> Session:
        self._there()
        self.keeps.append(keep)
        old = self.rows.get((tenant, identity)) or Session(identity, now, now, 0, [])
        made = Session(identity, old.created_at, now, old.turns + 1, [*old.messages, *messages][-keep:])
        self.rows[tenant, identity] = made
        return made

    async def list_sessions(
        self, _database: Database, tenant: str, *, after: Session | None = None, limit: int = 50
    ) -> list[Session]:
        self._there()
        mine = sorted((one for (owner, _), one in self.rows.items() if owner == tenant), key=lambda one: one.id)
        return [one for one in mine if after is None or one.id > after.id][:limit]

    async def delete_session(self, _database: Database, tenant: str, identity: str) -> bool:
        self._there()
        return self.rows.pop((tenant, identity), None) is not None


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    made = Table()
    for name in ("load", "append", "list_sessions", "delete_session"):
        monkeypatch.setattr(under_test.sessions, name, getattr(made, name))
    return made


@pytest.fixture
def sessions(table: Table) -> Sessions:
    return Sessions(cast("Database", table), wall=lambda: NOW)


def turn(role: str, text: str) -> Json:
    return {"role": role, "content": text}


def size(messages: Sequence[Json]) -> int:
    return sum(len(msgspec.json.encode(one)) for one in messages)


# ------------------------------------------------------------------------------------------------------------ trimming


async def test_a_conversation_that_fits_is_sent_whole_and_in_order(sessions: Sessions) -> None:
    talk = [turn("user", "1"), turn("assistant", "2"), turn("user", "3"), turn("assistant", "4")]
    await sessions.remember("me", "s", talk[:2])
    await sessions.remember("me", "s", talk[2:])
    assert await sessions.recall("me", "s", [1000]) == talk


async def test_the_oldest_go_first_and_the_rest_begins_with_a_question(sessions: Sessions) -> None:
    talk = [turn("user", "x" * 100), turn("assistant", "y" * 100), turn("user", "3"), turn("assistant", "4")]
    await sessions.remember("me", "s", talk)
    room = size(talk[1:])
    assert await sessions.recall("me", "s", [_window(room)]) == talk[2:]
    assert await sessions.recall("me", "s", [_window(size(talk))]) == talk


def _window(size_in_bytes: int) -> int:
    """The smallest window whose three quarters, at four bytes a token, hold so many bytes."""
    tokens = -(-size_in_bytes // 4)
    return -(-tokens * 4 // 3) + 1


async def test_the_largest_window_counts_and_an_unknown_one_is_eight_thousand(sessions: Sessions) -> None:
    talk = [turn("user", "x" * 4000), turn("assistant", "y" * 4000)]
    await sessions.remember("me", "s", talk)
    assert await sessions.recall("me", "s", [100, 10_000]) == talk
    assert await sessions.recall("me", "s", [100]) == []
    assert await sessions.recall("me", "s", [None]) == talk
    assert await sessions.recall("me", "s", []) == talk
    await sessions.remember("me", "long", [turn("user", "x" * 40_000)])
    assert await sessions.recall("me", "long", [None]) == []


async def test_a_tools_answer_never_stands_without_its_call(sessions: Sessions) -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [{"id": "t", "function": {"arguments": "x" * 500}}]}
    talk = [turn("user", "1"), call, turn("tool", "result"), turn("assistant", "3"), turn("user", "4")]
    await sessions.remember("me", "s", talk)
    for window in range(10, _window(size(talk)) + 10):
        got = await sessions.recall("me", "s", [window])
        assert not got or got[0]["role"] == "user"


@given(
    roles=st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool", "system"]), st.text(max_size=60))),
    window=st.integers(1, 400),
)
def test_what_is_sent_is_the_newest_that_fits(roles: list[tuple[str, str]], window: int) -> None:
    talk = [turn(role, text) for role, text in roles]
    got = under_test._trimmed(talk, int(window * 0.75))
    assert got == talk[len(talk) - len(got) :]
    assert size(got) <= window * 3
    assert not got or got[0]["role"] in {"user", "system"}
    for number in range(len(got) + 1, len(talk) + 1):
        more = talk[-number:]
        assert size(more) > int(window * 0.75) * 4 or more[0]["role"] not in {"user", "system"}


async def test_four_hundred_messages_are_kept(sessions: Sessions, table: Table) -> None:
    await sessions.remember("me", "s", [turn("user", "1")])
    assert table.keeps == [400]


# ---------------------------------------------------------------------------------------------------- whose, and where


async def test_a_session_is_its_tenants_own(sessions: Sessions) -> None:
    await sessions.remember("me", "s", [turn("user", "secret")])
    assert await sessions.recall("you", "s", [1000]) == []
    with pytest.raises(NotFound):
        await sessions.get("you", "s")
    with pytest.raises(NotFound):
        await sessions.delete("you", "s")
    assert (await sessions.listed("you", after=None, limit=5))["sessions"] == []
    assert (await sessions.get("me", "s"))["messages"] == [turn("user", "secret")]


async def test_a_session_that_is_not_there_has_no_past(sessions: Sessions) -> None:
    assert await sessions.recall("me", "s", [1000]) == []


async def test_without_the_database_a_session_is_refused_to_be_tried_again(sessions: Sessions, table: Table) -> None:
    table.away = True
    with pytest.raises(Busy) as caught:
        await sessions.recall("me", "s", [1000])
    assert (caught.value.status, caught.value.retry_after) == (503, 5.0)
    with pytest.raises(Busy):
        await sessions.remember("me", "s", [])


async def test_pages_lead_through_all_sessions_once(sessions: Sessions) -> None:
    for name in "abcde":
        await sessions.remember("me", name, [turn("user", "1")])
    seen: list[str] = []
    after: str | None = None
    while True:
        page = await sessions.listed("me", after=after, limit=2)
        seen += [one["id"] for one in page["sessions"]]
        after = page["next_after"]
        if after is None:
            break
    assert seen == list("abcde")
    with pytest.raises(BadRequest, match="'nobody'"):
        await sessions.listed("me", after="nobody", limit=2)


async def test_a_session_is_shown_with_its_dates_in_utc(sessions: Sessions) -> None:
    await sessions.remember("me", "s", [turn("user", "1")])
    shown = await sessions.get("me", "s")
    assert shown["created_at"] == shown["updated_at"] == "2023-11-14T22:13:20Z"
    assert shown["turns"] == 1


async def test_a_forgotten_session_is_gone(sessions: Sessions) -> None:
    await sessions.remember("me", "s", [turn("user", "1")])
    await sessions.delete("me", "s")
    with pytest.raises(NotFound):
        await sessions.get("me", "s")


# ---------------------------------------------------------------------------------------------------- within a request


async def ask(world: World, sessions: Sessions, **fields: object) -> Answered:
    """One turn of the anonymous tenant's session `s`."""
    body: dict[str, object] = {"prompt": "now", "model": "m", "session_id": "s", **fields}
    return await Door(world.pipeline, sessions=sessions).post(body, surface=ORCHESTRATE)


@pytest.mark.parametrize("stream", [False, True])
def test_earlier_turns_are_sent_before_the_question_and_the_answer_is_kept(sessions: Sessions, stream: bool) -> None:
    async def scenario() -> None:
        world = World()
        await sessions.remember(ANONYMOUS, "s", [turn("user", "then"), turn("assistant", "so")])
        world.upstreams.on("a", streaming(said("hel"), said("lo"), finished()) if stream else reply("hello"))
        assert (await ask(world, sessions, stream=stream)).status == 200
        sent: Any = msgspec.json.decode(world.upstreams.asked[0].body)
        assert [one["content"] for one in sent["messages"]] == ["then", "so", "now"]
        kept = (await sessions.get(ANONYMOUS, "s"))["messages"]
        assert [one["content"] for one in kept] == ["then", "so", "now", "hello"]

    run(scenario())


@pytest.mark.parametrize("stream", [False, True])
def test_a_failed_request_adds_nothing(sessions: Sessions, stream: bool) -> None:
    async def scenario() -> None:
        world = World(policy=RetryPolicy(rounds=0))
        world.upstreams.on("a", streaming(said("hel"), Cut("gone")) if stream else Overloaded())
        answered = await ask(world, sessions, stream=stream)
        assert answered.status == (200 if stream else 503)
        assert b"error" in answered.body
        with pytest.raises(NotFound):
            await sessions.get(ANONYMOUS, "s")

    run(scenario())


def test_without_the_database_nobody_is_asked(sessions: Sessions, table: Table) -> None:
    async def scenario() -> None:
        world = World()
        table.away = True
        answered = await ask(world, sessions)
        assert (answered.status, answered.headers["retry-after"]) == (503, "5")
        assert world.upstreams.asked == []

    run(scenario())


def test_a_request_refused_for_its_session_is_recorded(sessions: Sessions, table: Table) -> None:
    async def scenario() -> None:
        world = World()
        table.away = True
        door = Door(world.pipeline, sessions=sessions)
        await door.post({"prompt": "now", "model": "m", "session_id": "s"}, surface=ORCHESTRATE)
        assert len(world.closed) + len(door.turned_away) == 1

    run(scenario())


@pytest.mark.parametrize("saved", [True, False])
def test_a_streams_last_event_says_whether_its_turn_was_kept(sessions: Sessions, table: Table, saved: bool) -> None:
    async def scenario() -> None:
        world = World()

        async def play(_asked: Asked) -> Answer:
            table.away = not saved
            return streaming(said("hel"), said("lo"), finished())

        world.upstreams.on("a", play)
        answered = await ask(world, sessions, stream=True)
        assert answered.status == 200
        last = answered.body.rstrip().rpartition(b"data: ")[2]
        assert msgspec.json.decode(last)["session_saved"] is saved

    run(scenario())


def test_what_is_recorded_is_what_the_caller_was_told(sessions: Sessions, table: Table) -> None:
    async def scenario() -> None:
        world = World()

        async def play(_asked: Asked) -> Answer:
            table.away = True
            return reply()

        world.upstreams.on("a", play)
        answered = await ask(world, sessions)
        assert world.only().status == answered.status == 200
        told: Any = msgspec.json.decode(answered.body)
        assert told["results"][0]["response"] == "hello"
        assert (told["metadata"]["session_saved"], world.only().session_saved) == (False, False)

    run(scenario())


def test_a_long_conversation_goes_to_a_window_that_holds_it(sessions: Sessions) -> None:
    async def scenario() -> None:
        world = World([deployment("a/m", context=1000), deployment("b/m", context=100_000, priority=1)])
        for name in "ab":
            world.upstreams.on(name, reply())
        await sessions.remember(ANONYMOUS, "s", [turn("user", "x" * 40_000), turn("assistant", "so")])
        await ask(world, sessions)
        assert world.upstreams.hosts() == ["b"]

    run(scenario())


def test_a_conversation_with_a_picture_goes_to_a_model_that_sees(sessions: Sessions) -> None:
    async def scenario() -> None:
        blind = deployment("a/m", capabilities=frozenset())
        world = World([blind, deployment("b/m", capabilities=frozenset({"vision"}), priority=1)])
        for name in "ab":
            world.upstreams.on(name, reply())
        picture = {"type": "image_url", "image_url": {"url": "http://x/y.png"}}
        await sessions.remember(ANONYMOUS, "s", [{"role": "user", "content": [picture]}, turn("assistant", "so")])
        await ask(world, sessions)
        assert world.upstreams.hosts() == ["b"]

    run(scenario())
