"""What several commands share: the `--config` option, and settings or a readable refusal."""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import rich_click as click

from gateway import logs
from gateway.settings import Loaded, SettingsError, from_environment
from gateway.settings.tree import Settings

config_option = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The configuration file. [STEELYARD_CONFIG, ./steelyard.yaml when it exists]",
)


def load(config: Path | None, overrides: Mapping[str, str] | None = None) -> Loaded:
    """The settings, and where they came from. Raises `click.ClickException` with every problem."""
    try:
        return from_environment(config, overrides)
    except SettingsError as exc:
        raise click.ClickException(str(exc)) from exc


def load_settings(config: Path | None, overrides: Mapping[str, str] | None = None) -> Settings:
    """The settings. Raises `click.ClickException` with every problem."""
    return load(config, overrides).settings


def begin_log(settings: Settings) -> None:
    """Log where the settings want it. Raises `click.ClickException` when that cannot be written."""
    try:
        logs.configure(settings.log)
    except OSError as exc:
        told = f"Cannot log to {settings.log.file}: {exc.strerror}. Set STEELYARD_LOG_FILE to another, or unset it."
        raise click.ClickException(told) from exc
