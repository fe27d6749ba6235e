"""The node `vote`: whose answers it rates, what is no answer, and which scores it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from gateway.errors import Conflict, GatewayError, NotFound
from gateway.governance.keys import Principal
from gateway.quality.feedback import Feedback
from gateway.workflows.check import checked
from gateway.workflows.kept import WHOLE, Execution, Failure, StepExecution
from gateway.workflows.problems import BadDefinition
from gateway.workflows.running import Context, StepFailed
from gateway.workflows.spec import Vote
from gateway.workflows.steps.vote import Voting
from tests.unit.workflows.plan_world import Tree, tree

Given = tuple[str, str, float, str, str | None]


class Ears:
    """A feedback that only listens, or says what is wrong."""

    def __init__(self, fault: GatewayError | None = None) -> None:
        self.heard: list[Given] = []
        self._fault = fault

    async def vote(
        self, principal: Principal, request_id: str, score: float, *, metric: str, comment: str | None = None
    ) -> None:
        if self._fault is not None:
            raise self._fault
        self.heard.append((principal.name, request_id, score, metric, comment))


def prompt(text: str) -> Tree:
    return {"type": "prompt", "prompt": text}


def step(item: int = WHOLE, kind: str = "prompt", status: Any = "succeeded", **facts: Any) -> StepExecution:
    asked = [f"req_{item}"] if kind == "prompt" else []
    values: dict[str, Any] = {"request_ids": asked, "status": status} | facts
    return StepExecution(f"stepexec_{item}", "wfexec_1", "a", kind, item, **values)


async def voted(*steps: StepExecution, ears: Ears | None = None, items: list[Any] | None = None, **node: Any) -> Any:
    ears = ears or Ears()
    given: Any = {"of": "a", **node}

    async def kept(execution_id: str) -> list[StepExecution]:
        assert execution_id == "wfexec_1"
        return [*steps, StepExecution("stepexec_b", "wfexec_1", "b", "prompt", request_ids=["req_b"])]

    execution = Execution("wfexec_1", "s", 1, "running", 1, {}, "alice", 0.0)
    context = Context(execution, StepExecution("stepexec_v", "wfexec_1", "v", "vote"), None, cast("Any", None))
    known: Mapping[str, Any] = {"input": {}, "nodes": {"a": {"output": {"items": items or []}, "error": None}}}
    result = await Voting(lambda: cast("Feedback", ears), kept)(context, Vote(**given), dict(known))
    assert result.output == {"votes": len(ears.heard)}
    return ears.heard


async def test_an_answer_is_rated_in_the_name_of_the_executions_key() -> None:
    assert await voted(step(), score=0.25, comment="dull") == [("alice", "req_-1", 0.25, "workflow", "dull")]


async def test_of_several_tries_the_one_that_succeeded_is_rated() -> None:
    assert (await voted(step(request_ids=["req_1", "req_2"]), score=1))[0][1] == "req_2"


@pytest.mark.parametrize(
    "rated",
    [
        step(status="failed"),
        step(status="skipped", request_ids=[]),
        step(error=Failure("x", "a default stands in")),
        step(request_ids=[]),
    ],
)
async def test_what_no_model_answered_is_not_rated(rated: StepExecution) -> None:
    assert await voted(rated, score=1) == []


async def test_null_is_no_vote() -> None:
    assert await voted(step(), score=None) == []


async def test_of_a_loop_the_last_round_is_rated() -> None:
    rounds = [step(WHOLE, "loop"), step(1), step(0), step(2, status="failed")]
    assert [one[1:3] for one in await voted(*rounds, score=1)] == [("req_1", 1.0)]


async def test_of_a_map_each_item_has_its_score() -> None:
    steps = [step(WHOLE, "map"), step(2), step(0), step(1)]
    heard = await voted(*steps, items=["x", "y", "z"], score=[1, None, 0])
    assert [one[1:3] for one in heard] == [("req_0", 1.0), ("req_2", 0.0)]


async def test_items_that_failed_have_a_place_unless_they_were_dropped() -> None:
    steps = [step(WHOLE, "map"), step(0), step(1, status="failed"), step(2)]
    nulled = await voted(*steps, items=["x", None, "z"], score=[1, 1, 0])
    dropped = await voted(*steps, items=["x", "z"], score=[1, 0])
    assert nulled == dropped
    assert [one[1:3] for one in dropped] == [("req_0", 1.0), ("req_2", 0.0)]


@pytest.mark.parametrize("score", [1.5, -0.1, True, "0.5", {"score": 1}, float("nan"), [1, 1], []])
async def test_a_score_that_is_none_is_refused(score: Any) -> None:
    with pytest.raises(StepFailed, match="score") as refused:
        await voted(step(), score=score)
    assert not refused.value.transient


async def test_a_record_that_is_not_there_yet_is_waited_for() -> None:
    with pytest.raises(StepFailed) as late:
        await voted(step(), ears=Ears(NotFound("not yet")), score=1)
    assert late.value.transient


async def test_an_answer_of_no_deployment_teaches_nothing() -> None:
    assert await voted(step(), ears=Ears(Conflict("nobody answered")), score=1) == []


@pytest.mark.parametrize(
    ("of", "fault"),
    [
        ("a", None),
        ("m", None),
        ("b", "Node 'b' does not come before this"),
        ("v", "asks no model"),
        ("t", "asks no model"),
        ("aa", "did you mean 'a'?"),
    ],
)
def test_what_is_rated_is_checked_when_it_is_saved(of: str, fault: str | None) -> None:
    nodes = {
        "a": prompt("x"),
        "b": prompt("y"),
        "t": {"type": "template", "template": "z"},
        "m": {"type": "map", "over": "[1]", "node": prompt("{{ item }}")},
        "v": {"type": "vote", "of": of, "score": 1},
    }
    spelled = tree(nodes, "a>v", "t>v", "m>v")
    if fault is None:
        checked(spelled)
        return
    with pytest.raises(BadDefinition) as refused:
        checked(spelled)
    assert [(one.path, fault in one.message) for one in refused.value.problems] == [("$.nodes.v.of", True)]
