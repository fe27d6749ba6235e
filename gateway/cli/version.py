"""`steelyard version`."""

from __future__ import annotations

import platform
from importlib.metadata import version as installed_version

import rich_click as click

from dwa.native import is_compiled


@click.command()
def version() -> None:
    """Show the versions of Steelyard and of the Python it runs on, and whether its DWA is compiled."""
    dwa = "compiled" if is_compiled() else "interpreted"
    click.echo(f"steelyard {installed_version('steelyard')} (Python {platform.python_version()}, DWA {dwa})")
