"""`/v1/responses` passed on to a provider that has it: the laws of the translated form, and what only this one can."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from msgspec.structs import replace

from gateway.settings import Settings
from providers.simulator.openai_responses_ask import SEAL
from tests.acceptance import test_responses as ordinary
from tests.acceptance import test_responses_stored as stored
from tests.acceptance.driving import ANTHROPIC, OPENAI, World, impatient, with_keys, world_in
from tests.acceptance.test_openai_callers import tokens
from tests.acceptance.test_responses import WEATHER, ask, both_ways, calls

THINKING: dict[str, Any] = {"reasoning": {"effort": "low", "summary": "auto"}}
SEARCH: dict[str, Any] = {"tools": [{"type": "web_search"}]}


def having_the_api(settings: Settings) -> Settings:
    """Every provider of OpenAI's format has `/responses`, as OpenAI itself."""
    providers = {
        name: replace(one, profile=replace(one.profile, responses=True)) if one.dialect == "openai" else one
        for name, one in settings.providers.items()
    }
    return replace(settings, providers=providers)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("native"), having_the_api) as made:
        yield made


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("native-keyed"), having_the_api, with_keys) as made:
        yield made


@pytest.fixture(scope="module")
def frail_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("native-frail"), having_the_api, impatient) as made:
        yield made


@pytest.fixture(scope="module")
def chatgpt(world: World) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{world.url}/v1", api_key="any", max_retries=0) as client:
        yield client


# The same laws

test_text_arrives = ordinary.test_text_arrives
test_a_stream_has_every_event_in_order = ordinary.test_a_stream_has_every_event_in_order
test_a_stream_ends_as_the_whole_answer_is = ordinary.test_a_stream_ends_as_the_whole_answer_is
test_instructions_and_turns_reach_the_provider = ordinary.test_instructions_and_turns_reach_the_provider
test_a_tool_round_trip_by_the_previous_response = ordinary.test_a_tool_round_trip_by_the_previous_response
test_a_tool_round_trip_by_items = ordinary.test_a_tool_round_trip_by_items
test_a_conversation_goes_on_with_another_provider = ordinary.test_a_conversation_goes_on_with_another_provider
test_tool_choice_is_obeyed = ordinary.test_tool_choice_is_obeyed
test_an_answer_bound_to_a_schema_parses = ordinary.test_an_answer_bound_to_a_schema_parses
test_a_stream_bound_to_a_schema_parses = ordinary.test_a_stream_bound_to_a_schema_parses
test_a_json_object_is_one = ordinary.test_a_json_object_is_one
test_a_bound_makes_the_answer_incomplete = ordinary.test_a_bound_makes_the_answer_incomplete
test_a_filtered_answer_is_incomplete = ordinary.test_a_filtered_answer_is_incomplete
test_a_refusal_is_a_part_of_its_own = ordinary.test_a_refusal_is_a_part_of_its_own
test_effort_makes_the_model_think = ordinary.test_effort_makes_the_model_think
test_a_picture_reaches_the_provider = ordinary.test_a_picture_reaches_the_provider
test_log_probabilities_pass = ordinary.test_log_probabilities_pass
test_broken_text_is_the_callers_wherever_it_is = ordinary.test_broken_text_is_the_callers_wherever_it_is
test_a_response_is_kept_as_it_was_answered = stored.test_a_response_is_kept_as_it_was_answered
test_an_answer_is_never_another_one_from_the_cache = stored.test_an_answer_is_never_another_one_from_the_cache
test_an_unwanted_response_is_not_kept = stored.test_an_unwanted_response_is_not_kept
test_a_deleted_response_is_gone = stored.test_a_deleted_response_is_gone
test_an_item_is_referred_to = stored.test_an_item_is_referred_to
test_another_tenants_response_is_not_there = stored.test_another_tenants_response_is_not_there
test_a_stream_that_breaks_ends_as_failed = stored.test_a_stream_that_breaks_ends_as_failed
test_a_stream_that_breaks_is_continued_when_asked = stored.test_a_stream_that_breaks_is_continued_when_asked
test_every_request_is_recorded = stored.test_every_request_is_recorded
test_a_provider_that_fails_at_once_is_an_error_with_its_status = (
    stored.test_a_provider_that_fails_at_once_is_an_error_with_its_status
)


# What only this form can


@both_ways
def test_a_built_in_tool_works(chatgpt: openai.OpenAI, streamed: bool) -> None:
    answer: Any = ask(chatgpt, "Search it.", model=OPENAI, streamed=streamed, **SEARCH)
    assert [item.type for item in answer.output] == ["web_search_call", "message"]
    assert answer.output[0].action.query == "Search it."
    assert answer.output[1].content[0].annotations[0].url == "https://example.org/steelyard"
    kept: Any = chatgpt.responses.retrieve(answer.id)
    assert [item.id for item in kept.output] == [item.id for item in answer.output]
    assert kept.output[0] == answer.output[0]
    assert kept.output[1].content[0].annotations == answer.output[1].content[0].annotations


def test_its_events_are_passed_on(chatgpt: openai.OpenAI) -> None:
    more: dict[str, Any] = {**SEARCH, "stream": True}
    events: list[Any] = list(chatgpt.responses.create(model=OPENAI, input="Search it.", **more))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events if "web_search" in event.type] == [
        f"response.web_search_call.{what}" for what in ("in_progress", "searching", "completed")
    ]
    final = events[-1].response
    assert {event.response.id for event in events if hasattr(event, "response")} == {final.id}
    assert {event.item_id for event in events if hasattr(event, "item_id")} == {item.id for item in final.output}


@both_ways
def test_a_searched_conversation_goes_on_where_its_items_are_understood(chatgpt: openai.OpenAI, streamed: bool) -> None:
    first = ask(chatgpt, "Search it.", model=OPENAI, streamed=streamed, **SEARCH)
    second: Any = ask(chatgpt, "And then?", model=OPENAI, streamed=streamed, previous_response_id=first.id)
    assert second.usage.input_tokens == tokens("Search it.", first.output_text, "And then?")
    assert second.previous_response_id == first.id
    with pytest.raises(openai.BadRequestError) as caught:
        chatgpt.responses.create(model=ANTHROPIC, input="And then?", previous_response_id=second.id)
    assert caught.value.param == "previous_response_id (web_search_call)"
    # Of several candidates, those that understand it are asked.
    for _ in range(4):
        raw = chatgpt.responses.with_raw_response.create(
            model="sim-chat", input="And then?", previous_response_id=second.id
        )
        assert raw.headers["x-steelyard-provider"] in {"sim-openai", "sim-local"}


@both_ways
@pytest.mark.parametrize("by", ["id", "items", "references", "stateless"])
def test_sealed_thoughts_come_home(chatgpt: openai.OpenAI, streamed: bool, by: str) -> None:
    more: dict[str, Any] = {"model": OPENAI, "streamed": streamed, "tools": [WEATHER], **THINKING}
    question = {"role": "user", "content": "#sim tool=weather"}
    if by == "stateless":
        more |= {"store": False, "include": ["reasoning.encrypted_content"]}
    first: Any = ask(chatgpt, [question], **more)
    thought, call = first.output
    assert thought.encrypted_content == f"steelyard:sim-openai:{SEAL}{thought.encrypted_content.rpartition(SEAL)[2]}"
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    called = {name: value for name, value in call.to_dict().items() if name != "parsed_arguments"}
    if by == "id":
        more["previous_response_id"] = first.id
        given: list[Any] = [output]
    elif by in ("items", "stateless"):
        given = [question, thought.to_dict(), called, output]
    else:
        given = [question, *({"type": "item_reference", "id": item.id} for item in first.output), output]
    # The simulated provider refuses references, and thoughts without their seal or with another's.
    answer: Any = ask(chatgpt, given, tool_choice="none", **more)
    assert "rain" in answer.output_text


def test_thoughts_are_shown_to_nobody_else(chatgpt: openai.OpenAI) -> None:
    first: Any = chatgpt.responses.create(model=OPENAI, input="Think.", **THINKING)
    for model in (ANTHROPIC, "sim-local/sim-chat", OPENAI):
        more: Any = chatgpt.responses.create(model=model, input="Go on.", previous_response_id=first.id)
        assert more.usage.input_tokens == tokens("Think.", first.output_text, "Go on.")


def test_thoughts_of_another_format_stay_away(chatgpt: openai.OpenAI) -> None:
    first: Any = chatgpt.responses.create(model=ANTHROPIC, input="Think.", **THINKING)
    assert first.output[0].encrypted_content.startswith("steelyard.")
    more: Any = chatgpt.responses.create(model=OPENAI, input="Go on.", previous_response_id=first.id)
    assert more.usage.input_tokens == tokens("Think.", first.output_text, "Go on.")


def test_unknown_fields_are_the_providers_to_judge(world: World) -> None:
    body = {"input": "Hi", "surprise": 1, "text": {"verbosity": "low"}}
    refused = world.post("/v1/responses", {"model": OPENAI, **body})
    assert (refused.status, refused.json["error"]["param"]) == (400, "surprise")
    assert refused.json["error"]["source"] == "provider"
    assert world.post("/v1/responses", {"model": "sim-local/sim-chat", **body}).status == 200


@pytest.mark.parametrize("field", [{"background": True}, {"conversation": "conv_1"}], ids=str)
def test_state_that_would_live_elsewhere_is_refused_by_name(world: World, field: dict[str, Any]) -> None:
    (name,) = field
    before = world.asked()
    refused = world.post("/v1/responses", {"model": OPENAI, "input": "Hi", **field})
    assert (refused.status, refused.json["error"]["param"]) == (400, name)
    assert world.asked() == before
    dropped = world.post("/v1/responses", {"model": OPENAI, "input": "Hi", **field}, x_steelyard_drop_params="true")
    assert (dropped.status, dropped.headers["x-steelyard-dropped-params"]) == (200, name)


@both_ways
def test_tokens_and_money_are_right(world: World, streamed: bool) -> None:
    body = {"model": OPENAI, "input": "#sim tokens=40", "stream": streamed, **THINKING}
    answer = world.post("/v1/responses", body)
    usage = (answer.events[-1][1]["response"] if streamed else answer.json)["usage"]
    thought = usage["output_tokens_details"]["reasoning_tokens"]
    assert usage["output_tokens"] == 40 + thought
    record = world.record(answer.headers["x-steelyard-request-id"])
    price = next(one for one in world.serving.settings.providers["sim-openai"].models if one.name == "sim-chat").price
    cost = usage["input_tokens"] * price.input + usage["output_tokens"] * price.output
    assert record["cost_usd"] == pytest.approx(cost)
    assert (record["input_tokens"], record["output_tokens"], record["reasoning_tokens"]) == (
        usage["input_tokens"],
        usage["output_tokens"],
        thought,
    )
    assert (record["surface"], record["finish_reason"], record["provider"]) == ("responses", "stop", "sim-openai")


@pytest.mark.parametrize(
    ("trouble", "streamed"),
    [("cut", False), *itertools.product(("down", "throttled", "garbled", "truncated", "first_event_error"), (0, 1))],
)
def test_whoever_fails_before_the_first_word_is_replaced(frail: World, trouble: Any, streamed: bool) -> None:
    frail.running.control("sim-openai", trouble)
    for _ in range(4):
        answer = frail.post("/v1/responses", {"model": "sim-chat", "input": "Hi", "stream": bool(streamed)})
        assert answer.status == 200, answer.body
        assert answer.headers["x-steelyard-provider"] != "sim-openai"


def test_what_is_said_of_a_broken_stream_is_what_came(frail: World) -> None:
    frail.running.control("sim-openai", "cut")
    answer = frail.post("/v1/responses", {"model": OPENAI, "input": "Tell me of balances.", "stream": True})
    events = [data for _, data in answer.events]
    said = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    response = events[-1]["response"]
    assert (events[-1]["type"], response["status"], response["error"]["code"]) == (
        "response.failed",
        "failed",
        "server_error",
    )
    assert response["output"][0]["content"][0]["text"] == said != ""
    record = frail.record(answer.headers["x-steelyard-request-id"])
    assert (record["outcome"], record["output_tokens"]) == ("error", tokens(said))


def test_what_is_asked_of_the_gateway_is_told(world: World) -> None:
    asked = {"metadata": {"team": "a"}, "store": True}
    told = world.post("/v1/responses", {"model": OPENAI, "input": "Hi", **asked}).json
    assert {name: told[name] for name in asked} == asked


def test_a_call_is_named_as_the_api_names_it(chatgpt: openai.OpenAI) -> None:
    first: Any = chatgpt.responses.create(model=OPENAI, input="#sim tool=weather", tools=[WEATHER])  # pyright: ignore[reportArgumentType] - plain dicts
    (call,) = calls(first)
    assert call.id.startswith("fc_")
    assert call.call_id.startswith("call_sim")
