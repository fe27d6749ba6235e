"""The `steelyard` command: few verbs, each with `--help`."""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import rich_click as click

from gateway.cli.cache import cache
from gateway.cli.config import config
from gateway.cli.database import database
from gateway.cli.doctor import doctor
from gateway.cli.dwa import dwa
from gateway.cli.importing import importing
from gateway.cli.keys import audit, keys
from gateway.cli.providers import providers
from gateway.cli.serve import serve
from gateway.cli.simulate import simulate
from gateway.cli.spend import spend
from gateway.cli.version import version
from gateway.cli.worker import worker
from gateway.cli.workflows import workflows


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="steelyard")
def main() -> None:
    """Steelyard, a multi-LLM routing gateway that weighs its providers."""


for command in (
    serve,
    worker,
    doctor,
    simulate,
    config,
    providers,
    dwa,
    cache,
    workflows,
    keys,
    audit,
    spend,
    database,
    importing,
    version,
):
    main.add_command(command)
