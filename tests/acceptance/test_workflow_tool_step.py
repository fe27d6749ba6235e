"""The node `tool`: what its output is, and which of its failures are worth another try."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast, get_args

import pytest

from gateway.errors import Forbidden, Invalid, NotFound
from gateway.governance.keys import Principal
from gateway.mcp.servers import Servers
from gateway.store.workflows.memory import WorkflowStore
from gateway.workflows import spec
from gateway.workflows.kept import Execution, StepExecution
from gateway.workflows.means import Means
from gateway.workflows.running import Context, StepFailed
from gateway.workflows.service import Service
from gateway.workflows.spec import Tool
from gateway.workflows.steps.tool import Tools
from tests.acceptance.tool_world import SECRET, servers_of, settings_of, stdio


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    made = servers_of(settings_of(tmp_path, {"mine": stdio(allowed_keys=["alice"], timeout=2.0)}))
    yield made
    await made.stop()


async def step(servers: Servers, tool: str, key: str = "alice", **given: Any) -> Any:
    execution = Execution("wfexec_1", "w", 1, "running", 1, {}, key, 0.0)
    context = Context(execution, StepExecution("stepexec_1", "wfexec_1", "n", "tool"), None, cast("Any", None))
    node = Tool(server="mine", tool=tool, input=given)
    return await Tools(lambda: servers, lambda one: Principal(one.key_name))(context, node, cast("Any", {}))


async def test_its_output_is_text_content_and_structure(servers: Servers):
    assert (await step(servers, "add", a=1, b=2)).output == {
        "text": "3",
        "content": [{"type": "text", "text": "3"}],
        "structured": {"result": 3},
    }


async def test_a_tool_that_says_it_failed_is_not_called_again(servers: Servers):
    with pytest.raises(StepFailed, match=r"mine/complain: .*this failed: because") as raised:
        await step(servers, "complain", reason="because")
    assert not raised.value.transient
    assert raised.value.failure.type == "tool_error"
    assert SECRET not in raised.value.failure.message


@pytest.mark.parametrize(
    ("tool", "given", "code"),
    [("die", {"code": 1}, "mcp_server_unavailable"), ("wait", {"seconds": 3600}, "tool_timeout")],
)
async def test_a_server_that_was_lost_may_be_there_again(servers: Servers, tool: str, given: Any, code: str):
    with pytest.raises(StepFailed) as raised:
        await step(servers, tool, **given)
    assert raised.value.transient
    assert raised.value.failure.code == code


@pytest.mark.parametrize(
    ("tool", "key", "kind"), [("nothing", "alice", NotFound), ("add", "alice", Invalid), ("add", "bob", Forbidden)]
)
async def test_what_another_try_would_not_mend_is_refused(servers: Servers, tool: str, key: str, kind: type[Exception]):
    with pytest.raises(kind):
        await step(servers, tool, key)


def test_every_kind_of_node_has_a_body(tmp_path: Path, servers: Servers):
    settings = settings_of(tmp_path, {})
    none = cast("Any", None)
    means = Means(settings, none, none, none, servers, none, none)
    service = Service(means, wall=time.time, monotonic=time.monotonic, rng=random.Random(1))
    assert set(service._bodies(WorkflowStore(service.database, time.time))) == {
        kind.__struct_config__.tag for kind in get_args(spec.AnyNode)
    }
