"""What a request costs, counted instead of timed: decodes, copies, store trips, tasks, turns of the event loop.

A clock on a shared machine tells about the machine. These counts are the same everywhere, and each ceiling says what
it stands for: whoever raises one states in the commit what the request path gained for it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Generator
from types import ModuleType
from typing import Any

import msgspec
import pytest

from cache import Claim, Leases
from gateway import catalog
from gateway.api.chat import CHAT_COMPLETIONS, MESSAGES
from gateway.api.ingress import Surface
from gateway.api.orchestrate import ORCHESTRATE
from tests.unit.gateway.front_door import Answered, Door
from tests.unit.gateway.gateway_world import World, deployment, finished, reply, said, streaming
from tests.unit.gateway.paused_time import run

#: One typed decode that every request pays, one of the top-level fields where they are the cache's key or are edited.
DECODES_OF_A_REQUEST = 2
#: A translated one is taken apart a third time, for the fields that have no name in the neutral form.
DECODES_OF_A_TRANSLATED_REQUEST = 3
#: The glance at an answer that is passed on untouched.
DECODES_OF_AN_ANSWER = 1
#: A cacheable request: one look, one write.
TRIPS_OF_A_CACHEABLE_REQUEST = 2
#: With others who may be asked the same: whose it is to ask.
CLAIMS_OF_A_CACHEABLE_REQUEST = 1
#: A plain request: nothing of ours runs beside it.
TASKS = 0
#: A cacheable one runs in a task of its own, so that its first asker may leave without taking it from the others.
TASKS_OF_A_CACHEABLE_REQUEST = 1
#: The timer after which somebody listens for a hang-up, for all requests together.
TIMERS = 1

CHAT: dict[str, object] = {"model": "m", "messages": [{"role": "user", "content": "How many?" * 50}], "temperature": 1}
SAME = {**CHAT, "temperature": 0}
ANTHROPIC_CHAT: dict[str, object] = {**CHAT, "max_tokens": 50}
NATIVE: dict[str, object] = {"model": "m", "prompt": "How many?", "cache": False}


class Decodes:
    """Stands in for every JSON decoder that a module of ours holds, and writes down what it is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given: list[bytes] = []
        for module in [
            one for name, one in sys.modules.items() if name.split(".")[0] in {"gateway", "providers", "cache"}
        ]:
            self._watch(module, monkeypatch)
        self._functions(monkeypatch)

    def of(self, body: bytes) -> int:
        """How often this body was decoded, whole."""
        return sum(one == body for one in self.given)

    def _watch(self, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in list(vars(module).items()):
            if isinstance(value, msgspec.json.Decoder):
                monkeypatch.setattr(module, name, _Watched(value, self.given))

    def _functions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        decode = msgspec.json.decode

        def watched(data: Any, **options: Any) -> Any:
            self.given.append(bytes(data))
            return decode(data, **options)

        monkeypatch.setattr(msgspec.json, "decode", watched)


class _Watched:
    def __init__(self, decoder: msgspec.json.Decoder[Any], given: list[bytes]) -> None:
        self._decoder = decoder
        self._given = given

    def decode(self, data: Any) -> Any:
        self._given.append(bytes(data))
        return self._decoder.decode(data)


class Turns:
    """Awaits the work, and counts how often it gave the event loop back instead of going on."""

    def __init__(self, work: Coroutine[Any, Any, Answered]) -> None:
        self._work = work
        self.count = 0

    def __await__(self) -> Generator[Any, Any, Answered]:
        steps = self._work.__await__()
        try:
            waited = next(steps)
            while True:
                self.count += 1
                waited = steps.send((yield waited))
        except StopIteration as done:
            return done.value


class Tasks:
    """Counts the tasks and timers that are begun on the running loop."""

    def __init__(self) -> None:
        self.begun = self.timers = 0
        loop = asyncio.get_running_loop()
        call_at = loop.call_at

        def count(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
            self.begun += 1
            return asyncio.Task(work, loop=loop, **options)

        def timer(*args: Any, **options: Any) -> asyncio.TimerHandle:
            self.timers += 1
            return call_at(*args, **options)

        loop.set_task_factory(count)
        setattr(loop, "call_at", timer)  # noqa: B010 - an assignment to a method is what type checkers refuse


def scene(*, upstream: str = "m", leases: Leases | None = None) -> tuple[World, Door]:
    one = deployment("a/m")
    target = msgspec.structs.replace(one.target, upstream=upstream)
    world = World([msgspec.structs.replace(one, target=target)], leases=leases)
    world.upstreams.on("a", reply())
    return world, Door(world.pipeline)


async def asked(door: Door, surface: Surface, fields: dict[str, object]) -> Answered:
    answered = await door.post(fields, surface=surface)
    assert answered.status == 200, answered.body
    return answered


SURFACES = [(CHAT_COMPLETIONS, CHAT), (CHAT_COMPLETIONS, SAME), (ORCHESTRATE, NATIVE), (MESSAGES, ANTHROPIC_CHAT)]
NAMES = ["chat", "chat-cacheable", "orchestrate", "messages"]
surfaces = pytest.mark.parametrize(("surface", "fields"), SURFACES, ids=NAMES)


def on_a_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run(work())


# ------------------------------------------------------------------------------------------------------------- decodes


def decodes(
    monkeypatch: pytest.MonkeyPatch, surface: Surface, fields: dict[str, object], *, upstream: str = "m"
) -> tuple[int, int]:
    """How often the request's body and the answer's were decoded."""
    counted: list[int] = []

    async def work() -> None:
        world, door = scene(upstream=upstream)
        body = msgspec.json.encode(fields)
        seen = Decodes(monkeypatch)
        answered = await door.post(body, surface=surface)
        assert answered.status == 200
        counted.extend((seen.of(body), seen.of(world.upstreams.answers[0].body)))

    on_a_loop(work)
    return counted[0], counted[1]


@pytest.mark.parametrize(("surface", "fields"), SURFACES[:3], ids=NAMES[:3])
def test_a_callers_body_is_decoded_at_most_twice(
    monkeypatch: pytest.MonkeyPatch, surface: Surface, fields: dict[str, object]
) -> None:
    request, answer = decodes(monkeypatch, surface, fields)
    assert 1 <= request <= DECODES_OF_A_REQUEST
    assert answer == DECODES_OF_AN_ANSWER


def test_a_translated_body_is_decoded_at_most_thrice(monkeypatch: pytest.MonkeyPatch) -> None:
    request, answer = decodes(monkeypatch, MESSAGES, ANTHROPIC_CHAT)
    assert request <= DECODES_OF_A_TRANSLATED_REQUEST
    assert answer == DECODES_OF_AN_ANSWER


def test_a_plain_chat_request_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decodes(monkeypatch, CHAT_COMPLETIONS, CHAT) == (1, 1)


def test_renaming_the_model_costs_one_decode_of_the_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decodes(monkeypatch, CHAT_COMPLETIONS, CHAT, upstream="other") == (2, 1)


def test_cacheable_and_renamed_costs_one_more_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decodes(monkeypatch, CHAT_COMPLETIONS, SAME, upstream="other") == (3, 1)


def test_a_hit_decodes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        world, door = scene()
        await asked(door, CHAT_COMPLETIONS, SAME)
        seen = Decodes(monkeypatch)
        await asked(door, CHAT_COMPLETIONS, SAME)
        assert seen.of(world.upstreams.answers[0].body) == 0
        assert seen.of(msgspec.json.encode(SAME)) <= DECODES_OF_A_REQUEST

    on_a_loop(work)


# -------------------------------------------------------------------------------------------------------------- copies


def test_bytes_that_need_no_change_are_passed_on_uncopied() -> None:
    async def work() -> None:
        world, door = scene()
        body = msgspec.json.encode(CHAT)
        answered = await door.post(body)
        assert world.upstreams.asked[0].body is body
        assert answered.pieces[0] is world.upstreams.answers[0].body

    on_a_loop(work)


def test_a_stream_of_the_callers_dialect_is_passed_on_as_it_came() -> None:
    async def work() -> None:
        world, door = scene()
        chunks = [said(f"word {number}") for number in range(20)]
        world.upstreams.on("a", streaming(*chunks, finished()))
        fields = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
        answered = await asked(door, CHAT_COMPLETIONS, fields)
        # One write per read of the upstream, and the end.
        assert answered.pieces == [*chunks, finished(), b""]

    on_a_loop(work)


def test_events_that_came_together_are_sent_together() -> None:
    async def work() -> None:
        world, door = scene()
        world.upstreams.on("a", streaming(b"".join(said(f"word {number}") for number in range(50)) + finished()))
        answered = await asked(door, CHAT_COMPLETIONS, {**CHAT, "stream": True})
        assert len(answered.pieces) == 2

    on_a_loop(work)


# --------------------------------------------------------------------------------------------------------------- trips


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("fields", "trips"), [(CHAT, 0), (SAME, TRIPS_OF_A_CACHEABLE_REQUEST)])
def test_the_store_is_asked_only_when_there_is_something_to_ask(
    fields: dict[str, object], trips: int, stream: bool
) -> None:
    async def work() -> None:
        world, door = scene()
        world.upstreams.on("a", streaming(said("hi"), finished()) if stream else reply())
        await asked(door, CHAT_COMPLETIONS, {**fields, "stream": stream})
        assert world.store.gets + world.store.sets + world.store.others == trips

    on_a_loop(work)


def test_a_hit_is_one_trip() -> None:
    async def work() -> None:
        world, door = scene()
        await asked(door, CHAT_COMPLETIONS, SAME)
        world.store.gets = world.store.sets = 0
        await asked(door, CHAT_COMPLETIONS, SAME)
        assert (world.store.gets, world.store.sets, world.store.others) == (1, 0, 0)
        assert len(world.upstreams.asked) == 1

    on_a_loop(work)


class CountingLeases:
    """Others may be asked the same: says what it is told to, and counts."""

    def __init__(self, says: Claim | bytes) -> None:
        self._says = says
        self.claims = self.releases = 0

    async def claim(self, key: str) -> Claim | bytes:
        self.claims += 1
        return self._says

    async def release(self, key: str) -> None:
        self.releases += 1


@pytest.mark.parametrize("claim", [Claim.OURS, Claim.UNKNOWN])
@pytest.mark.parametrize(("fields", "claims"), [(CHAT, 0), (SAME, CLAIMS_OF_A_CACHEABLE_REQUEST)])
def test_only_a_cacheable_miss_claims_its_question_from_the_others_and_once(
    fields: dict[str, object], claims: int, claim: Claim
) -> None:
    async def work() -> None:
        leases = CountingLeases(claim)
        world, door = scene(leases=leases)
        await asked(door, CHAT_COMPLETIONS, fields)
        assert leases.claims == claims
        await asked(door, CHAT_COMPLETIONS, fields)
        # By now it is a hit; what was ours went back with the answer, or goes once more for nothing.
        assert leases.claims == claims
        assert leases.releases == claims
        assert world.store.gets + world.store.sets == (3 if claims else 0)

    on_a_loop(work)


# --------------------------------------------------------------------------------------------------- tasks and turns


@pytest.mark.parametrize(
    ("surface", "fields", "ceiling"),
    [
        (CHAT_COMPLETIONS, CHAT, TASKS),
        (MESSAGES, ANTHROPIC_CHAT, TASKS),
        (ORCHESTRATE, NATIVE, TASKS),
        (CHAT_COMPLETIONS, SAME, TASKS_OF_A_CACHEABLE_REQUEST),
        (ORCHESTRATE, {**NATIVE, "cache": True}, TASKS_OF_A_CACHEABLE_REQUEST),
    ],
)
def test_a_quick_request_begins_no_task(surface: Surface, fields: dict[str, object], ceiling: int) -> None:
    async def work() -> None:
        _, door = scene()
        counted = Tasks()
        await asked(door, surface, fields)
        assert counted.begun <= ceiling
        assert counted.timers <= TIMERS + ceiling

    on_a_loop(work)


def test_many_requests_share_the_timer_after_which_somebody_listens() -> None:
    """One that is cancelled makes the loop go round once more; see `Patience`."""

    async def work() -> None:
        _, door = scene()
        counted = Tasks()
        for _ in range(20):
            await asked(door, CHAT_COMPLETIONS, CHAT)
        assert counted.timers <= TIMERS

    on_a_loop(work)


def test_a_stream_that_cannot_be_shared_begins_no_task() -> None:
    async def work() -> None:
        world, door = scene()
        world.upstreams.on("a", streaming(*[said("hi")] * 20, finished()))
        counted = Tasks()
        await asked(door, CHAT_COMPLETIONS, {**CHAT, "stream": True})
        assert counted.begun <= TASKS

    on_a_loop(work)


def test_a_hit_begins_no_task() -> None:
    async def work() -> None:
        _, door = scene()
        await asked(door, CHAT_COMPLETIONS, SAME)
        counted = Tasks()
        await asked(door, CHAT_COMPLETIONS, SAME)
        assert counted.begun == 0

    on_a_loop(work)


@surfaces
def test_no_task_outlives_its_request(surface: Surface, fields: dict[str, object]) -> None:
    async def work() -> None:
        _, door = scene()
        await asked(door, surface, fields)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    on_a_loop(work)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_gateway_waits_for_nothing_of_its_own(stream: bool) -> None:
    """With an upstream that answers at once, a request goes through without giving up the event loop once."""

    async def work() -> None:
        world, door = scene()
        world.upstreams.on("a", streaming(said("hi"), finished()) if stream else reply())
        turns = Turns(door.post({**CHAT, "stream": stream}))
        answered = await turns
        assert answered.status == 200
        assert turns.count == 0

    on_a_loop(work)


def test_a_request_asks_one_provider_one_ranking_and_feeds_the_sinks_once() -> None:
    async def work() -> None:
        world, door = scene()
        await asked(door, CHAT_COMPLETIONS, CHAT)
        assert len(world.upstreams.asked) == len(world.balancer.tickets) == len(world.closed) == 1

    on_a_loop(work)


@pytest.mark.parametrize("fields", [CHAT, SAME], ids=["chat", "chat-cacheable"])
def test_within_what_all_behind_a_name_can_none_of_them_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, object]
) -> None:
    looked: list[object] = []
    obstacle = catalog._obstacle  # pyright: ignore[reportPrivateUsage] - there is no other place where each is looked at

    def watched(*given: Any) -> str:
        looked.append(given)
        return obstacle(*given)

    async def work() -> None:
        _, door = scene()
        monkeypatch.setattr(catalog, "_obstacle", watched)
        await asked(door, CHAT_COMPLETIONS, fields)
        assert looked == []
        limited = {**fields, "tools": [{"type": "function", "function": {"name": "f"}}]}
        one = deployment("a/m", capabilities=frozenset())
        assert (await Door(World([one]).pipeline).post(limited)).status == 400
        assert looked

    on_a_loop(work)


def test_a_refused_request_reaches_nothing() -> None:
    async def work() -> None:
        world, _ = scene()
        door = Door(world.pipeline, keys=[("me", "sk-mine")])
        turns = Turns(door.post(CHAT))
        assert (await turns).status == 401
        assert (world.closed, world.upstreams.asked, world.store.gets, turns.count) == ([], [], 0, 0)

    on_a_loop(work)
