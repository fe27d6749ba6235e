"""Environment, `.env` and YAML → Settings. The only place that reads the process's environment.

Precedence: command line, environment, `.env`, file, default. Everything is checked before anything is used, and
everything that is wrong is told at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import UNSET, Struct

from gateway.catalogue import Catalogue, load_catalogue
from gateway.settings.build import Builder, Where
from gateway.settings.environment import CONFIG, Variables, known_variables, misread, overlay
from gateway.settings.mcp import McpServer, read_mcp
from gateway.settings.problems import Problem, SettingsError
from gateway.settings.resolve import resolve_provider
from gateway.settings.routes import check_whole, resolve_routes
from gateway.settings.shared import ANONYMOUS, Sections
from gateway.settings.sources import read_dotenv, read_yaml
from gateway.settings.tree import McpSettings, ProviderSettings, Settings
from gateway.settings.written import Document

DEFAULT_CONFIG = Path("steelyard.yaml")
DEFAULT_DOTENV = Path(".env")


class Loaded(Struct, frozen=True):
    """Settings, and where each came from: `origin(path)` is None for a default or what a catalogue adds."""

    settings: Settings
    origin: Callable[[Where], str | None]
    config: Path | None
    dotenv: Path | None


def load(
    environ: Mapping[str, str],
    *,
    config: Path | None = None,
    dotenv: Path | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Settings:
    """The settings. Reads nothing but the named files, those they refer to, and what STEELYARD_CONFIG names.

    Args:
        environ: the environment.
        config: the YAML file; goes before STEELYARD_CONFIG.
        dotenv: the `.env` file.
        overrides: from the command line, by path: `{"server.port": "9000"}`.

    Raises:
        SettingsError: with every problem there is.
    """
    return load_with_origins(environ, config=config, dotenv=dotenv, overrides=overrides).settings


def from_environment(config: Path | None = None, overrides: Mapping[str, str] | None = None) -> Loaded:
    """The settings of this process: its environment, `./.env`, and `config` or `./steelyard.yaml` when it is there.

    Raises:
        SettingsError: with every problem there is.
    """
    dotenv = DEFAULT_DOTENV if DEFAULT_DOTENV.is_file() else None
    default = DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None
    return load_with_origins(os.environ, config=config, dotenv=dotenv, overrides=overrides, default_config=default)


def load_with_origins(
    environ: Mapping[str, str],
    *,
    config: Path | None = None,
    dotenv: Path | None = None,
    overrides: Mapping[str, str] | None = None,
    default_config: Path | None = None,
) -> Loaded:
    """As `load`, with where each value came from. `default_config` is read when no other file is named."""
    problems: list[Problem] = []
    from_dotenv: Mapping[str, str] = {}
    if dotenv:
        from_dotenv, found = read_dotenv(dotenv)
        problems += found
    variables = Variables(environ, from_dotenv, str(dotenv or DEFAULT_DOTENV))
    problems += variables.unknown(known_variables())
    problems += misread(variables)
    named = variables.value(CONFIG)
    path = config or (Path(named) if named else default_config)
    written: Mapping[str, object] = {}
    if path:
        written, found = read_yaml(path)
        problems += found
    builder = Builder(str(path or DEFAULT_CONFIG), variables.value)
    document = builder.build(Document, overlay(written, variables, overrides or {}))
    document = Document() if document is UNSET else document
    servers: dict[str, McpServer] = {}
    if document.mcp.settings_file is not None:
        servers, found = read_mcp(document.mcp.settings_file, variables.value, _tenants(document))
        problems += found
    settings = _resolve(document, servers, load_catalogue(), builder)
    if problems := [*problems, *builder.problems]:
        raise SettingsError(tuple(problems))
    return Loaded(settings, builder.origin, path, dotenv)


def _tenants(document: Document) -> list[str]:
    """The names by which callers are known."""
    return [*(key.name for key in document.keys), ANONYMOUS]


def _resolve(document: Document, servers: dict[str, McpServer], catalogue: Catalogue, builder: Builder) -> Settings:
    providers: dict[str, ProviderSettings] = {
        name: resolve_provider(name, entry, document.timeout, document.server, catalogue, builder)
        for name, entry in document.providers.items()
        if entry.enabled
    }
    settings = Settings(
        **{name: getattr(document, name) for name in Sections.__struct_fields__ if name != "mcp"},
        providers=providers,
        routes=resolve_routes(document, providers, builder),
        mcp=McpSettings(settings_file=document.mcp.settings_file, servers=servers),
    )
    check_whole(settings, builder)
    return settings
