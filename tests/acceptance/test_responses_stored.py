"""Responses that are kept: read, deleted and gone on from by their tenant alone; and how broken ones end."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest
from msgspec.structs import replace

from gateway.settings import Settings
from gateway.settings.sections import Responses as ResponsesSettings
from tests.acceptance.driving import ALICE_KEY, ANTHROPIC, BOB_KEY, CHAT_MODELS, OPENAI, World, world_in
from tests.acceptance.test_responses import ask, both_ways, every_dialect
from tests.serving import until


def respond(world: World, said: Any, key: str | None = None, **more: Any) -> Any:
    answer = world.post("/v1/responses", {"model": OPENAI, "input": said, **more}, key=key)
    assert answer.status == 200, answer.body
    return answer.json


@every_dialect
@both_ways
def test_a_response_is_kept_as_it_was_answered(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    answer = ask(chatgpt, "Keep this.", model=model, streamed=streamed, metadata={"a": "b"}, temperature=0)
    kept = chatgpt.responses.retrieve(answer.id)
    assert kept.id == answer.id
    assert kept.output_text == answer.output_text
    assert kept.store is True  # pyright: ignore[reportAttributeAccessIssue] - not in the SDK's type
    assert kept.metadata == {"a": "b"}
    assert kept.usage == answer.usage
    assert kept.created_at == answer.created_at


@both_ways
def test_an_answer_is_never_another_one_from_the_cache(chatgpt: openai.OpenAI, streamed: bool) -> None:
    first, second = (ask(chatgpt, "Twice.", model=OPENAI, streamed=streamed, temperature=0) for _ in range(2))
    assert first.id != second.id
    chatgpt.responses.delete(first.id)
    assert chatgpt.responses.retrieve(second.id).output_text == second.output_text


@both_ways
def test_an_unwanted_response_is_not_kept(chatgpt: openai.OpenAI, streamed: bool) -> None:
    answer = ask(chatgpt, "Forget this.", model=OPENAI, streamed=streamed, store=False)
    with pytest.raises(openai.NotFoundError):
        chatgpt.responses.retrieve(answer.id)
    with pytest.raises(openai.BadRequestError) as caught:
        chatgpt.responses.create(model=OPENAI, input="More", previous_response_id=answer.id)
    assert caught.value.code == "previous_response_not_found"


def test_a_deleted_response_is_gone(chatgpt: openai.OpenAI) -> None:
    first = chatgpt.responses.create(model=OPENAI, input="One")
    second = chatgpt.responses.create(model=OPENAI, input="Two", previous_response_id=first.id)
    chatgpt.responses.delete(first.id)
    for again in (chatgpt.responses.retrieve, chatgpt.responses.delete, chatgpt.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            again(first.id)
    assert chatgpt.responses.retrieve(second.id).id == second.id
    with pytest.raises(openai.BadRequestError) as caught:
        chatgpt.responses.create(model=OPENAI, input="Three", previous_response_id=second.id)
    assert first.id in caught.value.message


def test_input_items_are_listed_in_pages(chatgpt: openai.OpenAI) -> None:
    turns: list[Any] = [{"role": "user", "content": f"item {number}"} for number in range(5)]
    answer = chatgpt.responses.create(model=OPENAI, input=turns)
    listed: list[Any] = list(chatgpt.responses.input_items.list(answer.id, limit=2))
    assert [item.content[0].text for item in listed] == [f"item {number}" for number in (4, 3, 2, 1, 0)]
    page = chatgpt.responses.input_items.list(answer.id, limit=3, order="asc")
    assert page.has_more
    assert [item.id for item in page.data] == [item.id for item in reversed(listed)][:3]


def texts(items: Any) -> list[str]:
    return [item.content[0].text for item in items]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_input_items_are_those_of_the_whole_conversation(chatgpt: openai.OpenAI, limit: int, order: Any) -> None:
    first = chatgpt.responses.create(model=OPENAI, input="One")
    turns: list[Any] = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Two"}]
    second = chatgpt.responses.create(model=OPENAI, input=turns, previous_response_id=first.id)
    # What is referred to has its place already: it is told once, or its id would not lead on to the next page.
    again: list[Any] = [{"type": "item_reference", "id": first.output[0].id}, {"role": "user", "content": "Three"}]
    third = chatgpt.responses.create(model=ANTHROPIC, input=again, instructions="Go on.")
    fourth = chatgpt.responses.create(model=OPENAI, input=again, previous_response_id=second.id)
    said = ["One", first.output_text, "Be brief.", "Two", second.output_text, "Three"]
    assert texts(chatgpt.responses.input_items.list(third.id, order="asc")) == [first.output_text, "Three"]
    listed = texts(chatgpt.responses.input_items.list(fourth.id, limit=limit, order=order))
    assert listed == (said if order == "asc" else said[::-1])
    page = chatgpt.responses.input_items.list(fourth.id, limit=2, order="asc", after=first.output[0].id or "")
    assert (texts(page.data), page.has_more) == (["Be brief.", "Two"], True)
    with pytest.raises(openai.BadRequestError) as caught:
        chatgpt.responses.input_items.list(second.id, after=second.output[0].id or "")
    assert caught.value.param == "after"


def test_input_items_go_back_as_far_as_they_are_there(chatgpt: openai.OpenAI) -> None:
    first = chatgpt.responses.create(model=OPENAI, input="One")
    second = chatgpt.responses.create(model=OPENAI, input="Two", previous_response_id=first.id)
    chatgpt.responses.delete(first.id)
    assert texts(chatgpt.responses.input_items.list(second.id)) == ["Two"]


def test_an_item_is_referred_to(chatgpt: openai.OpenAI) -> None:
    first = chatgpt.responses.create(model=OPENAI, input="The first words.")
    given = next(iter(chatgpt.responses.input_items.list(first.id)))
    turns: list[Any] = [
        {"type": "item_reference", "id": given.id},
        {"type": "item_reference", "id": first.output[0].id},
        {"role": "user", "content": "And now?"},
    ]
    second = chatgpt.responses.create(model=ANTHROPIC, input=turns)
    again = chatgpt.responses.create(model=ANTHROPIC, input="And now?", previous_response_id=first.id)
    assert second.usage is not None
    assert again.usage is not None
    assert second.usage.input_tokens == again.usage.input_tokens > len("And now?") / 4
    # What was referred to is kept with it, and outlives the response it came from.
    chatgpt.responses.delete(first.id)
    third = chatgpt.responses.create(model=OPENAI, input="Then?", previous_response_id=second.id)
    assert third.usage is not None
    assert third.usage.input_tokens > second.usage.input_tokens


def test_references_to_more_responses_than_a_conversation_has_are_refused(world: World) -> None:
    many = [{"type": "item_reference", "id": f"msg_{number:026}_0"} for number in range(1_001)]
    answer = world.post("/v1/responses", {"model": OPENAI, "input": many})
    assert (answer.status, answer.json["error"]["param"]) == (400, "input")
    assert "1001 responses" in answer.json["error"]["message"]
    some = world.post("/v1/responses", {"model": OPENAI, "input": many[1:]})
    assert (some.status, some.json["error"]["code"]) == (400, "item_not_found")


def test_a_long_id_is_not_repeated_at_length(world: World) -> None:
    for item in (
        {"type": "item_reference", "id": "x" * 10_000},
        {"type": "function_call_output", "call_id": "x" * 10_000, "output": "y"},
    ):
        answer = world.post("/v1/responses", {"model": OPENAI, "input": [item]})
        assert answer.status == 400
        assert len(answer.body) < 1_000


def test_another_tenants_response_is_not_there(keyed: World) -> None:
    answer = respond(keyed, "Alice's secret.", ALICE_KEY)
    item = keyed.get(f"/v1/responses/{answer['id']}/input_items", ALICE_KEY).json["data"][0]
    none = "resp_01M7ZGJM0KY4BDBZESW26J1SAA"
    for path in ("/v1/responses/{}", "/v1/responses/{}/input_items"):
        theirs, nobodys = (keyed.get(path.format(one), BOB_KEY) for one in (answer["id"], none))
        assert theirs.status == nobodys.status == 404
        assert theirs.json["error"]["message"].replace(answer["id"], none) == nobodys.json["error"]["message"]
    assert keyed.call("DELETE", f"/v1/responses/{answer['id']}", key=BOB_KEY).status == 404
    assert keyed.call("POST", f"/v1/responses/{answer['id']}/cancel", key=BOB_KEY).status == 404
    for body in (
        {"input": "More", "previous_response_id": answer["id"]},
        {"input": [{"type": "item_reference", "id": item["id"]}]},
    ):
        assert keyed.post("/v1/responses", {"model": OPENAI, **body}, key=BOB_KEY).status == 400
    assert keyed.get(f"/v1/responses/{answer['id']}", ALICE_KEY).json["output"] == answer["output"]
    assert keyed.get(f"/v1/responses/{answer['id']}").status == 401
    gone = keyed.call("DELETE", f"/v1/responses/{answer['id']}", key=ALICE_KEY)
    assert gone.json == {"id": answer["id"], "object": "response", "deleted": True}


def test_a_long_conversation_is_cut_when_the_caller_allows_it(world: World) -> None:
    # The window is 128,000 tokens; one turn takes some 90,000.
    first = respond(world, "x" * 360_000)
    body: dict[str, Any] = {"model": OPENAI, "input": "y" * 300_000, "previous_response_id": first["id"]}
    refused = world.post("/v1/responses", body)
    assert (refused.status, refused.json["error"]["code"]) == (400, "context_length_exceeded")
    second = respond(world, "y" * 300_000, previous_response_id=first["id"], truncation="auto")
    assert second["usage"]["input_tokens"] < 90_000
    assert second["truncation"] == "auto"


def test_a_stored_response_is_not_streamed_again(world: World) -> None:
    answer = respond(world, "Once.")
    refused = world.get(f"/v1/responses/{answer['id']}?stream=true")
    assert (refused.status, refused.json["error"]["param"]) == (400, "stream")


@every_dialect
def test_a_stream_that_breaks_ends_as_failed(frail: World, model: str) -> None:
    answer = frail.post("/v1/responses", {"model": model, "input": "#sim fail=cut", "stream": True})
    assert answer.status == 200
    events = [data for _, data in answer.events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] == "response.failed"
    response = events[-1]["response"]
    assert (response["status"], response["error"]["code"]) == ("failed", "server_error")
    said = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert response["output"][0]["content"][0]["text"] == said
    assert response["output"][0]["status"] == "incomplete"
    assert frail.get(f"/v1/responses/{response['id']}").status == 404


def test_a_stream_that_breaks_is_continued_when_asked(frail: World) -> None:
    frail.running.control("sim-openai", "cut")
    body = {"model": "sim-chat", "input": "Tell me of balances.", "stream": True}
    wishes = {"x_steelyard_continue": "true", "x_steelyard_strategy": "round_robin"}
    seams = 0
    for _ in range(6):
        events = [data for _, data in frail.post("/v1/responses", body, **wishes).events]
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["type"] == "response.completed"
        said = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        kept = frail.get(f"/v1/responses/{events[-1]['response']['id']}").json
        assert kept["output"][0]["content"][0]["text"] == said
        seams += sum("steelyard" in event for event in events)
    assert seams


def test_what_is_answered_cannot_be_cancelled(chatgpt: openai.OpenAI) -> None:
    answer = chatgpt.responses.create(model=OPENAI, input="Too late.")
    with pytest.raises(openai.BadRequestError):
        chatgpt.responses.cancel(answer.id)
    assert chatgpt.responses.retrieve(answer.id).status == "completed"
    chatgpt.responses.delete(answer.id)
    with pytest.raises(openai.NotFoundError) as caught:
        chatgpt.responses.cancel(answer.id)
    assert answer.id in caught.value.message


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_provider_that_fails_at_once_is_an_error_with_its_status(frail: World, streamed: bool) -> None:
    answer = frail.post("/v1/responses", {"model": OPENAI, "input": "#sim fail=down", "stream": streamed})
    assert answer.status == 503
    assert answer.json["error"]["attempts"]


def test_without_its_table_it_answers_and_says_that_nothing_is_kept(tmp_path: Path) -> None:
    with world_in(tmp_path) as own:
        kept = respond(own, "Kept.")
        with closing(sqlite3.connect(tmp_path / "steelyard.db")) as file:
            file.execute("ALTER TABLE responses RENAME TO away")
        for streamed in (False, True):
            answer = own.post("/v1/responses", {"model": OPENAI, "input": "Lost.", "stream": streamed})
            response = answer.events[-1][1]["response"] if streamed else answer.json
            assert (answer.status, response["status"], response["store"]) == (200, "completed", False)
        before = own.asked()
        more = own.post("/v1/responses", {"model": OPENAI, "input": "More", "previous_response_id": kept["id"]})
        assert (more.status, own.get(f"/v1/responses/{kept['id']}").status) == (503, 503)
        assert "retry-after" in more.headers
        assert own.asked() == before


def test_old_responses_are_forgotten_when_the_settings_say_so(tmp_path: Path) -> None:
    def forgetful(settings: Settings) -> Settings:
        return replace(settings, responses=ResponsesSettings(retention_days=30))

    with world_in(tmp_path) as own:
        old, young = respond(own, "Old."), respond(own, "Young.")
    with closing(sqlite3.connect(tmp_path / "steelyard.db")) as file:
        file.execute("UPDATE responses SET created_at = '2020-01-01 00:00:00.000000' WHERE id = ?", (old["id"],))
        file.commit()
    with world_in(tmp_path, forgetful) as own:
        until(lambda: own.get(f"/v1/responses/{old['id']}").status == 404)
        assert own.get(f"/v1/responses/{young['id']}").json == young


def test_every_request_is_recorded(world: World) -> None:
    for model in CHAT_MODELS:
        answer = world.post("/v1/responses", {"model": model, "input": "Recorded", "metadata": {"team": "a"}})
        record = world.record(answer.headers["x-steelyard-request-id"])
        assert (record["surface"], record["status"], record["tags"]) == ("responses", 200, {"team": "a"})
        assert record["output_tokens"] == answer.json["usage"]["output_tokens"]
        assert answer.json["id"] == answer.headers["x-steelyard-request-id"].replace("req_", "resp_")
