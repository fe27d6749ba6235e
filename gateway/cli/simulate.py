"""`steelyard simulate`: the simulated providers on their own."""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from pathlib import Path

import msgspec
import rich_click as click
from rich.console import Console

from providers import simulator


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8100, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option("--seed", default=0, show_default=True, help="Seed of everything random.")
@click.option("--instant", is_flag=True, help="Without latency, errors and limits.")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML of the cast: providers with their models, speed, prices, limits and misfortune. [the built-in cast]",
)
def simulate(host: str, port: int, seed: int, instant: bool, config: Path | None) -> None:
    """Serve simulated providers: real HTTP in OpenAI's, Anthropic's and Gemini's formats.

    A provider is at http://HOST:PORT/<its name>; `POST /_control/<its name>` breaks and mends it.
    """
    cast = simulator.default_cast() if config is None else _read(config)
    if instant:
        cast = simulator.instant(cast)
    console = Console(stderr=True)
    for provider in cast.providers:
        names = ", ".join(model.name for model in provider.models)
        console.print(f"{provider.name} ({provider.dialect}) http://{host}:{port}/{provider.name}: {names}")
    try:
        simulator.run(cast, host, port, seed=seed)
    except OSError as exc:
        raise click.ClickException(f"Cannot listen on {host}:{port}: {exc.strerror}.") from exc


def _read(path: Path) -> simulator.Simulation:
    try:
        return simulator.load(msgspec.yaml.decode(path.read_bytes()))
    except (msgspec.MsgspecError, OSError) as exc:
        raise click.ClickException(f"{path}: {exc}") from exc
