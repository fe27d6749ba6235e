"""Prompts: what is asked, what comes of it, what it costs, and which failures are worth another try."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any, cast

import msgspec
import pytest
from workflow_scene import execution

from gateway.failover import RetryPolicy
from gateway.governance.keys import Principal
from gateway.workflows.budget import Purse
from gateway.workflows.kept import Spent, StepExecution
from gateway.workflows.running import Context, Inner, Result, StepFailed
from gateway.workflows.spec import Prompt
from gateway.workflows.steps.prompt import SURFACE, Prompts, question
from providers.errors import ContextTooLong, Fault, Misconfigured, Overloaded, Rejected, Throttled
from tests.unit.gateway.gateway_world import COST, Answer, Asked, World, deployment, reply
from tests.unit.gateway.paused_time import paused, run

SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}


def node(**fields: Any) -> Prompt:
    return msgspec.convert({"type": "prompt", "prompt": "hi", "model": "m", **fields}, Prompt)


async def asked(
    world: World, made: Prompt, *, purse: Purse | None = None, whose: Mapping[str, Principal] | None = None
) -> Result:
    loop = asyncio.get_running_loop()
    prompts = Prompts(
        lambda: world.pipeline,
        lambda one: (whose or {}).get(one.key_name, Principal(one.key_name)),
        wall=lambda: 1_700_000_000.0,
        monotonic=loop.time,
        rng=random.Random(1),
    )
    step = StepExecution("stepexec_1", "wfexec_1", "draft", "prompt", tries=1)
    return await prompts(Context(execution(), step, purse, cast("Inner", None)), made, {})


def called(name: str, arguments: str) -> Answer:
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": None, "tool_calls": [call]},
        "finish_reason": "tool_calls",
    }
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return Answer(msgspec.json.encode(body))


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ({}, {}),
        ({"temperature": 0.0}, {"temperature": 0.0}),
        ({"top_p": 0.5, "max_tokens": 7, "seed": 0}, {"top_p": 0.5, "max_tokens": 7, "seed": 0}),
        ({"stop": ["a"], "reasoning_effort": "low"}, {"stop": ["a"], "reasoning_effort": "low"}),
        ({"tools": [{"x": 1}], "tool_choice": "auto"}, {"tools": [{"x": 1}], "tool_choice": "auto"}),
        (
            {"output_schema": SCHEMA},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "output", "schema": SCHEMA, "strict": False},
                }
            },
        ),
        ({"providers": ["a"], "mode": "race", "cache": False, "timeout": 3.0, "retries": 1, "strategy": "best"}, {}),
    ],
)
def test_what_is_asked(fields: dict[str, Any], more: dict[str, Any]) -> None:
    assert question(node(**fields)) == {"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}


def test_a_system_prompt_comes_first_and_messages_stay_as_they_are() -> None:
    system = {"role": "system", "content": "be brief"}
    assert question(node(system="be brief"))["messages"] == [system, {"role": "user", "content": "hi"}]
    many = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    assert question(node(prompt=None, messages=many))["messages"] == many
    assert question(node(prompt=None, messages=many, system="be brief"))["messages"] == [system, *many]


@paused
async def test_an_answer_is_told_with_who_gave_it_and_what_it_cost() -> None:
    world = World()
    world.upstreams.on("a", reply("hello"))
    result = await asked(world, node())
    assert result.output == {"text": "hello", "provider": "a", "model": "m", "finish_reason": "stop"}
    closed = world.only()
    assert (result.provider, result.model, result.request_ids) == ("a", "m", [closed.id])
    assert result.spent == Spent(closed.cost, 10, 5, 0)
    assert closed.cost == pytest.approx(COST)
    assert (closed.surface, closed.principal) == (SURFACE, "app")
    assert closed.tags == {"execution_id": "wfexec_1", "workflow": "s", "node": "draft"}


@paused
async def test_a_prompt_that_wishes_nothing_has_the_wishes_of_its_key() -> None:
    whose = {"app": Principal("app", strategy="priority", objective="cheapest")}
    for wishes, came in (({}, ("priority", "cheapest")), ({"objective": "fastest"}, ("priority", "fastest"))):
        world = World()
        world.upstreams.on("a", reply("hello"))
        await asked(world, node(**wishes), whose=whose)
        assert (world.only().strategy, world.only().objective) == came


@paused
async def test_an_answer_from_the_cache_costs_nothing() -> None:
    world = World()
    world.upstreams.on("a", reply("hello"))
    first = await asked(world, node(temperature=0.0))
    again = await asked(world, node(temperature=0.0))
    assert again.output == first.output
    assert again.spent == Spent(0.0, 0, 0, 1, first.spent.cost_usd)
    assert again.spent.saved_usd == pytest.approx(COST)
    assert len(world.upstreams.asked) == 1
    fresh = await asked(world, node(temperature=0.0, cache=False))
    assert (fresh.spent.cached_steps, fresh.spent.saved_usd) == (0, 0.0)
    assert len(world.upstreams.asked) == 2


@paused
async def test_of_two_that_ask_the_same_at_once_one_pays() -> None:
    async def slow(_asked: Asked) -> Answer:
        await asyncio.sleep(1.0)
        return reply("hello")

    world = World()
    world.upstreams.on("a", slow)
    both = await asyncio.gather(*(asked(world, node(temperature=0.0)) for _ in range(2)))
    assert len(world.upstreams.asked) == 1
    assert sorted(one.spent.input_tokens for one in both) == [0, 10]
    assert sum(one.spent.cost_usd for one in both) == pytest.approx(COST)
    assert sum(one.spent.cached_steps for one in both) == 1
    assert sum(one.spent.saved_usd for one in both) == pytest.approx(COST)


@paused
async def test_calls_of_tools_are_handed_on() -> None:
    world = World()
    world.upstreams.on("a", called("look", '{"at": 1}'))
    result = await asked(world, node())
    assert result.output["tool_calls"] == [{"id": "call_1", "name": "look", "arguments": '{"at": 1}'}]
    assert (result.output["text"], result.output["finish_reason"]) == ("", "tool_calls")


@paused
async def test_what_follows_the_schema_is_the_output_itself() -> None:
    world = World()
    world.upstreams.on("a", reply('{"n": 3}'))
    assert (await asked(world, node(output_schema=SCHEMA))).output == {"n": 3}


@pytest.mark.parametrize("said", ["not JSON", '{"n": "three"}', ""])
def test_what_does_not_is_worth_another_try_and_is_paid(said: str) -> None:
    @paused
    async def ask() -> None:
        world = World(policy=RetryPolicy(rounds=0))
        world.upstreams.on("a", reply(said))
        with pytest.raises(StepFailed) as caught:
            await asked(world, node(output_schema=SCHEMA))
        assert caught.value.transient
        assert caught.value.spent.cost_usd == pytest.approx(COST)

    ask()


@paused
async def test_a_call_of_a_tool_where_an_output_was_due_is_a_failure_that_is_paid() -> None:
    world = World(policy=RetryPolicy(rounds=0))
    world.upstreams.on("a", called("look", "{}"))
    with pytest.raises(StepFailed) as caught:
        await asked(world, node(output_schema=SCHEMA, tools=[{"type": "function", "function": {"name": "look"}}]))
    assert caught.value.transient
    assert caught.value.spent.cost_usd == pytest.approx(COST)


@pytest.mark.parametrize(
    ("fault", "transient"),
    [
        (Overloaded("busy", status=529), True),
        (Throttled("slow down"), True),
        (Misconfigured("no such key"), True),
        (Rejected("no", status=400), False),
        (ContextTooLong("too long", status=400), False),
    ],
)
def test_which_failures_are_worth_another_try(fault: Fault, transient: bool) -> None:
    @paused
    async def ask() -> None:
        world = World(policy=RetryPolicy(rounds=0))
        world.upstreams.on("a", fault)
        with pytest.raises(StepFailed) as caught:
            await asked(world, node())
        assert caught.value.transient is transient
        assert caught.value.spent == Spent()
        assert caught.value.failure.status is not None

    ask()


@pytest.mark.parametrize(
    ("fields", "code"), [({"model": "nothing"}, "model_not_found"), ({"strategy": "cleverest"}, None)]
)
def test_what_nobody_could_answer_is_not_tried_again(fields: dict[str, Any], code: str | None) -> None:
    @paused
    async def ask() -> None:
        world = World()
        with pytest.raises(StepFailed) as caught:
            await asked(world, node(**fields))
        assert not caught.value.transient
        assert code is None or caught.value.failure.code == code
        assert world.upstreams.asked == []

    ask()


# -------------------------------------------------------------------------------------------------------------- budgets


@paused
async def test_a_prompt_that_would_exceed_the_budget_is_not_sent() -> None:
    world = World()
    world.upstreams.on("a", reply())
    purse = Purse(limit=1e-9)
    with pytest.raises(StepFailed) as caught:
        await asked(world, node(), purse=purse)
    assert (caught.value.failure.type, caught.value.transient) == ("budget_exceeded", False)
    assert world.upstreams.asked == []
    assert (purse.spent, purse.held) == (0.0, 0.0)


@pytest.mark.parametrize(("many", "times"), [(2, 3.5), (5, 3.5), (20, 3.5), (5, 1.0), (20, 1.0), (20, 0.2)])
def test_prompts_side_by_side_are_expected_to_fit_together(many: int, times: float) -> None:
    async def ask() -> None:
        world = World([deployment("a/m")])
        purse = Purse(limit=1.0)
        most = 0.0

        async def slow(_asked: Asked) -> Answer:
            nonlocal most
            most = max(most, purse.spent + purse.held)
            await asyncio.sleep(1.0)
            return reply()

        world.upstreams.on("a", slow)
        await asked(world, node(cache=False), purse=purse)
        one, paid = most, purse.spent
        # By then the answer's length is known, and with it the cost.
        purse = Purse(limit=times * one, spent=0.0)
        most = 0.0
        ended = await asyncio.gather(
            *(asked(world, node(prompt=f"q{n}", cache=False), purse=purse) for n in range(many)), return_exceptions=True
        )
        assert most <= purse.limit + 1e-12
        done = [one for one in ended if isinstance(one, Result)]
        failed = [one for one in ended if isinstance(one, StepFailed)]
        assert len(done) + len(failed) == many
        # Who does not fit now waits for those under way, and fails only when there is no money left.
        assert bool(done) == (times >= 1.0)
        assert not failed or purse.spent + paid > purse.limit - one
        assert all(each.failure.code == "budget_exceeded" for each in failed)
        assert purse.held == pytest.approx(0.0, abs=1e-12)
        assert purse.spent == pytest.approx(sum(one.spent.cost_usd for one in ended if isinstance(one, Result)))

    run(ask())


@paused
async def test_who_asks_the_same_as_one_that_has_no_money_asks_for_itself() -> None:
    world = World()
    world.upstreams.on("a", reply("hello"))
    poor, rich = Purse(limit=1e-9), Purse(limit=1.0)
    same = node(temperature=0.0)
    ended = await asyncio.gather(*(asked(world, same, purse=one) for one in (poor, rich, None)), return_exceptions=True)
    assert isinstance(ended[0], StepFailed)
    assert [one.output["text"] for one in ended[1:] if isinstance(one, Result)] == ["hello", "hello"]
    assert (poor.spent, rich.held) == (0.0, 0.0)


@paused
async def test_what_failed_gives_back_what_was_held_for_it() -> None:
    world = World(policy=RetryPolicy(rounds=0))
    world.upstreams.on("a", Overloaded("busy"))
    purse = Purse(limit=1.0)
    with pytest.raises(StepFailed):
        await asked(world, node(), purse=purse)
    assert (purse.spent, purse.held) == (0.0, pytest.approx(0.0, abs=1e-12))


@paused
async def test_a_prompt_that_is_given_up_holds_nothing_any_more() -> None:
    async def never(_asked: Asked) -> Answer:
        await asyncio.sleep(3600.0)
        return reply()

    world = World()
    world.upstreams.on("a", never)
    purse = Purse(limit=1.0)
    running = asyncio.create_task(asked(world, node(), purse=purse))
    await asyncio.sleep(5.0)
    assert purse.held > 0.0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert purse.held == pytest.approx(0.0, abs=1e-12)
