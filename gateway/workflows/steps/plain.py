"""The kinds that ask nobody: condition, switch and template."""

from __future__ import annotations

from gateway.workflows.bind import Scope, case
from gateway.workflows.graph import DEFAULT
from gateway.workflows.running import Context, Result
from gateway.workflows.spec import Condition, Switch, Template
from gateway.workflows.templates import evaluate


async def condition(context: Context, node: Condition, known: Scope) -> Result:
    """Which way. Raises `BadTemplate`."""
    return _fork("true" if evaluate(node.if_, known) else "false")


async def switch(context: Context, node: Switch, known: Scope) -> Result:
    """Which case. Raises `BadTemplate`."""
    return _fork(case(node, known) or DEFAULT)


async def template(context: Context, node: Template, known: Scope) -> Result:
    """What the template says: its strings are filled in already."""
    return Result({"text": node.template} if node.template is not None else node.output)


def _fork(branch: str) -> Result:
    return Result({"branch": branch}, branch=branch)
