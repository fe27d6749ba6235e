"""What a key may name against what there is: of keys in the configuration and of those made by the API alike."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol

from dwa import PRESETS
from gateway.settings.names import suggestion
from gateway.settings.tree import Settings

Place = tuple[str | int, ...]


class Allowing(Protocol):
    """Whatever restricts a key; None: nothing."""

    @property
    def models(self) -> tuple[str, ...] | None: ...  # noqa: D102 - a model's name, or `provider/model`
    @property
    def providers(self) -> tuple[str, ...] | None: ...  # noqa: D102 - of the settings
    @property
    def routes(self) -> tuple[str, ...] | None: ...  # noqa: D102 - of the settings
    @property
    def mcp_tools(self) -> tuple[str, ...] | None: ...  # noqa: D102 - `server/tool`, or a server for all of its tools


def unknown_names(key: Allowing, settings: Settings) -> Iterator[tuple[Place, str]]:
    """Every name that means nothing: where it stands, and what may be meant. None while there are no providers."""
    models = [(provider.name, model.name) for provider in settings.providers.values() for model in provider.models]
    known: dict[str, Collection[str]] = {"routes": settings.routes}
    if settings.providers:
        known["models"] = list(dict.fromkeys([*(name for _, name in models), *(f"{p}/{m}" for p, m in models)]))
        known["providers"] = settings.providers
    for field, names in known.items():
        for index, name in enumerate(getattr(key, field) or ()):
            if name not in names:
                yield (field, index), f"there is no {field[:-1]} '{name:.100}'. {suggestion(name, names)}"
    for index, tool in enumerate(key.mcp_tools or ()):
        server = tool.partition("/")[0]
        if server not in settings.mcp.servers:
            said = f"there is no MCP server '{server:.100}'. {suggestion(server, sorted(settings.mcp.servers))}"
            yield ("mcp_tools", index), f"{said} Write 'server', or 'server/tool'."


def objectives_in(settings: Settings) -> list[str]:
    """The names of objectives."""
    return [*PRESETS, *settings.objectives]
