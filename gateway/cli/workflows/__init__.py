"""`steelyard workflows`: the workflows of a running gateway, by its HTTP API.

Exit codes: 0 done, or completed; 1 refused, failed or cancelled; 2 a command that means nothing.
"""

from __future__ import annotations

import rich_click as click

from gateway.cli.workflows.defining import export, list_workflows, push, show, validate
from gateway.cli.workflows.files import artifacts
from gateway.cli.workflows.running import approve, cancel, resume, run, watch_execution


@click.group()
def workflows() -> None:
    """Define, execute and watch workflows of a running gateway."""


for command in (list_workflows, show, validate, push, export, run, watch_execution, resume, approve, cancel, artifacts):
    workflows.add_command(command)
