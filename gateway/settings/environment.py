"""Which variables there are, and laying them over what the file says.

Law of precedence: command line, environment, `.env`, file, default; one law for every value, lists included. A
variable that is set but empty counts as not set, because that is how compose files pass on what they lack.

Variables of other programs are no business of ours; only an unknown `STEELYARD_…` is a problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct

from gateway.settings.build import Given, Where
from gateway.settings.names import suggestion
from gateway.settings.problems import Problem
from gateway.settings.scalar import Kind, kind_of
from gateway.settings.written import Document
from providers import PROVIDERS, Provider

PREFIX = "STEELYARD_"
CONFIG = "STEELYARD_CONFIG"
API_KEYS = "STEELYARD_API_KEYS"
#: Of commands that call a running gateway. No settings, but no mistakes either.
CALLERS = ("STEELYARD_URL", "STEELYARD_KEY")


class Option(Struct, frozen=True):
    """A scalar setting: its path in the file, its variable, its kind and its default."""

    where: tuple[str, str]
    env: str
    kind: Kind
    default: Any


class Variables:
    """The environment over `.env`."""

    def __init__(self, environ: Mapping[str, str], dotenv: Mapping[str, str], dotenv_name: str) -> None:
        """Copy nothing; name the file `dotenv_name` in messages."""
        self._layers = ((environ, "environment"), (dotenv, dotenv_name))

    def get(self, *names: str) -> Given | None:
        """The first of `names` that is set, each layer in turn."""
        for layer, layer_name in self._layers:
            for name in names:
                if value := layer.get(name, "").strip():
                    return Given(value, f"{name} ({layer_name})", f"{layer_name}, {name}")
        return None

    def value(self, name: str) -> str | None:
        """The value of one variable."""
        given = self.get(name)
        return given.value if given else None

    def unknown(self, known: set[str]) -> list[Problem]:
        """A problem for each of our variables that is not one."""
        return [
            Problem(f"{name} ({layer_name})", f"there is no such variable. {suggestion(name, sorted(known))}")
            for layer, layer_name in self._layers
            for name in layer
            if name.startswith(PREFIX) and name not in known and name not in CALLERS
        ]


def models_variable(provider: Provider) -> str:
    """The variable that names a known provider's models.

    Not `<NAME>_MODELS`: Ollama itself reads a folder from a variable of that form.
    """
    return f"{PREFIX}{provider.name.upper()}_MODELS"


def options() -> tuple[Option, ...]:
    """Every scalar setting, in the order of the file. What has no variable is in files only."""
    found: list[Option] = []
    for section in msgspec.structs.fields(Document):
        if isinstance(section.type, type) and issubclass(section.type, Struct):
            defaults = section.default if section.default is not msgspec.NODEFAULT else section.default_factory()
            for field in msgspec.structs.fields(section.type):
                kind = kind_of(field.type)
                if env := kind.extra("env"):
                    found.append(Option((section.name, field.name), env, kind, getattr(defaults, field.name)))
    return tuple(found)


def known_variables() -> set[str]:
    """Every variable the settings read."""
    names = {option.env for option in options()} | {CONFIG, API_KEYS}
    for provider in PROVIDERS:
        names |= {*provider.key_variables, provider.base_url_variable, models_variable(provider)}
    return names


def overlay(written: Mapping[str, Any], variables: Variables, overrides: Mapping[str, str]) -> dict[str, Any]:
    """The file's data with everything that goes before it laid over, as `Given`s.

    Args:
        written: the file.
        variables: environment and `.env`.
        overrides: from the command line, by path (`server.port`).
    """
    data = dict(written)
    for option in options():
        section, name = option.where
        flag = overrides.get(f"{section}.{name}")
        given = Given(flag, f"--{name}", "command line") if flag is not None else variables.get(option.env)
        if given:
            _put(data, option.where, given)
    if keys := variables.get(API_KEYS):
        data["keys"] = Given(_keys(keys.value), keys.place, keys.origin)
    providers = _section(data.get("providers"))
    if providers is not None:
        data["providers"] = {**providers, **_known(providers, variables)}
    return data


def _put(data: dict[str, Any], where: Where, given: Given) -> None:
    section = _section(data.get(cast("str", where[0])))
    if section is not None:  # otherwise the builder tells that the section is no mapping
        data[cast("str", where[0])] = {**section, where[1]: given}


def _section(raw: Any) -> dict[str, Any] | None:
    if raw is None:
        return {}
    return dict(cast("Mapping[str, Any]", raw)) if isinstance(raw, Mapping) else None


def _keys(text: str) -> list[dict[str, str]]:
    """`name:key, name:key …`; a key alone is named by its position. Not `name=key`: keys in base64 end in `=`."""
    keys: list[dict[str, str]] = []
    for number, entry in enumerate((part.strip() for part in text.split(",") if part.strip()), 1):
        name, separator, key = entry.partition(":")
        keys.append(
            {"name": name.strip(), "key": key.strip()} if separator else {"name": f"key-{number}", "key": entry}
        )
    return keys


def misread(variables: Variables) -> list[Problem]:
    """`file:/path` in the list of keys, which is no file there but a key: its path, that anybody can guess."""
    given = variables.get(API_KEYS)
    if given and any(one["name"] == "file" and one["key"].startswith(("/", ".", "~")) for one in _keys(given.value)):
        return [Problem(given.place, "a key in a file takes a name before it: 'team:file:/path', each its own.")]
    return []


def _known(written: Mapping[str, Any], variables: Variables) -> dict[str, Any]:
    """The known providers that the file or a variable turns on, each with what it brings along."""
    enabled: dict[str, Any] = {}
    for provider in PROVIDERS:
        key = variables.get(*provider.key_variables)
        address = variables.get(provider.base_url_variable)
        entry = _section(written.get(provider.name))
        by_variable = key if provider.needs_key else address
        if entry is None or (provider.name not in written and not by_variable):
            continue
        enabled[provider.name] = _merged(provider, entry, key, address, variables.get(models_variable(provider)))
    return enabled


def _merged(
    provider: Provider, entry: dict[str, Any], key: Given | None, address: Given | None, models: Given | None
) -> dict[str, Any]:
    def built_in(value: Any) -> Given:
        return Given(value, f"provider {provider.name}", "built in")

    merged: dict[str, Any] = {
        "dialect": built_in(provider.dialect),
        "base_url": built_in(provider.base_url),
        **{name: value for name, value in entry.items() if value is not None},
    }
    profile = _section(entry.get("profile"))
    if profile is not None:
        quirks = msgspec.structs.asdict(provider.profile)
        merged["profile"] = {**{name: built_in(value) for name, value in quirks.items()}, **profile}
    if key:
        merged["api_key"] = key
    if address:
        merged["base_url"] = address
    if models:
        names = [name.strip() for name in models.value.split(",") if name.strip()]
        merged["models"] = Given(names, models.place, models.origin)
    return merged
