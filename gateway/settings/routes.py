"""Routes, objectives and keys against each other and against the providers."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping

from dwa import PRESETS
from gateway.settings.allowing import unknown_names
from gateway.settings.build import Builder, Where
from gateway.settings.guarding import check_guardrails
from gateway.settings.names import suggestion
from gateway.settings.secrets import Secret
from gateway.settings.shared import GUARDRAIL, SYSTEM, TOKENS, Route
from gateway.settings.telling import check_tracing
from gateway.settings.tokens import check_tokens
from gateway.settings.tree import AUTO, ProviderSettings, RouteSettings, Settings
from gateway.settings.written import Document
from providers import PROVIDERS


def resolve_routes(
    document: Document, providers: Mapping[str, ProviderSettings], builder: Builder
) -> dict[str, RouteSettings]:
    """The routes by name. Unknown targets and circles go to the builder."""
    entries = document.routes
    served = {f"{name}/{model.name}" for name, provider in providers.items() for model in provider.models}
    off = {name for name, entry in document.providers.items() if not entry.enabled}

    def check(target: str, where: Where, valid: set[str]) -> None:
        provider = target.partition("/")[0]
        if target in valid or builder.dropped(("routes", target)):
            return
        if builder.dropped(("providers", provider)) or builder.failed_below(("providers", provider, "models")):
            return
        if provider in off:
            builder.blame(where, f"'{target}': the provider {provider} is switched off by 'enabled: false'.")
        else:
            builder.blame(where, _unserved(target, providers, valid))

    for name, entry in entries.items():
        where: Where = ("routes", name)
        if name == AUTO:
            builder.blame(where, f"'{AUTO}' already means any model. Give the route another name.")
        for index, target in enumerate(entry.targets):
            check(target, (*where, "targets", index), served)
        for index, target in enumerate(entry.fallback):
            check(target, (*where, "fallback", index), served | set(entries))
        if (circle := _circle(name, entries)) and name == min(circle):
            builder.blame((*where, "fallback"), f"comes back to itself: {' → '.join(circle)}. Leave one of them out.")
    return {
        name: RouteSettings(name=name, **{f: getattr(entry, f) for f in entry.__struct_fields__})
        for name, entry in entries.items()
    }


def check_whole(settings: Settings, builder: Builder) -> None:
    """What can only be judged with everything in view: objectives, keys, and who may listen where."""
    _check_objectives(settings, builder)
    _check_keys(settings, builder)
    _check_judge(settings, builder)
    check_guardrails(settings, builder)
    check_tokens(settings.jwt, builder)
    check_tracing(settings.tracing, list(settings.providers), builder)
    keyless = settings.anonymous and not settings.auth.allow_anonymous
    failed = any(map(builder.failed_below, (("keys",), ("auth",), ("jwt",))))
    if keyless and not is_loopback(settings.server.host) and not failed:
        builder.blame(
            ("server", "host"),
            f"{settings.server.host} can be reached from other machines, and no key is set. Set STEELYARD_API_KEYS or "
            "STEELYARD_ADMIN_KEY, or STEELYARD_ALLOW_ANONYMOUS=true, or listen on 127.0.0.1.",
        )
    for network in settings.workflows.networks:
        if not _is_network(network):
            told = f"'{network:.60}' is no network; write 10.1.0.0/16, or an address."
            builder.blame(("workflows", "http_networks"), told)
    redis = settings.redis
    if redis.url and redis.db is not None:
        named = redis.url.reveal().partition("?")[0].rpartition("/")[2]
        if named.isdigit() and int(named) != redis.db:
            builder.blame(("redis", "db"), f"is {redis.db}, but the URL says {named}. Say it in one place.")
    if settings.tls.ca_file is not None:
        try:
            ssl.create_default_context(cafile=settings.tls.ca_file)
        except OSError as exc:  # an SSLError is one: no certificate in it
            builder.blame(("tls", "ca_file"), f"no certificates could be read from it: {exc.strerror or exc}.")


def _check_objectives(settings: Settings, builder: Builder) -> None:
    known = [*PRESETS, *settings.objectives]
    for name, objective in settings.objectives.items():
        if name in PRESETS:
            builder.blame(("objectives", name), "is a preset. Give your own objective another name.")
        weights = (objective.latency, objective.cost, objective.errors, objective.quality)
        if objective.slo is not None and any(weights):
            told = "has weights and an slo, under which it is the cheapest that keeps it. Leave one of them out."
            builder.blame(("objectives", name), told)
        if objective.slo is None and not any(weights) and not builder.failed_below(("objectives", name)):
            builder.blame(("objectives", name), "all weights are 0, so nothing would be better than anything.")
    named: list[tuple[Where, str | None]] = [(("dwa", "objective"), settings.dwa.objective)]
    named += [(("routes", name, "objective"), route.objective) for name, route in settings.routes.items()]
    named += [(("keys", index, "objective"), key.objective) for index, key in enumerate(settings.keys)]
    for where, objective in named:
        if objective is not None and objective not in known:
            builder.blame(where, f"there is no objective '{objective}'. {suggestion(objective, known)}")


def _check_judge(settings: Settings, builder: Builder) -> None:
    model, known = settings.judge.model, settings.models_and_routes
    # Without providers there will be the simulator's, whose models are its own.
    if model is not None and settings.providers and model not in known and not builder.failed_below(("providers",)):
        builder.blame(("judge", "model"), f"there is no model or route '{model}'. {suggestion(model, known)}")


#: Callers without a key of their own, the judge and the guardrails: another of that name would share their records; and
#: who acts in the audit log where no caller does, whom another would be taken for.
TENANTS = ("admin", "anonymous", "judge", GUARDRAIL, SYSTEM)


def _check_keys(settings: Settings, builder: Builder) -> None:
    names: set[str] = set()
    admin = settings.auth.admin_key
    seen: set[Secret] = {admin} if admin else set()
    for index, key in enumerate(settings.keys):
        if key.name in TENANTS:
            builder.blame(("keys", index, "name"), f"'{key.name}' is a name of the gateway's own. Choose another.")
        if key.name.startswith(TOKENS):
            builder.blame(("keys", index, "name"), f"begins with '{TOKENS}', as only callers with tokens do.")
        if key.name in names:
            builder.blame(("keys", index, "name"), f"the name '{key.name}' is taken by another key.")
        if key.key in seen:
            builder.blame(
                ("keys", index, "key"), "this key is there twice, or is the admin key. Give each caller its own."
            )
        names.add(key.name)
        seen.add(key.key)
        for place, said in unknown_names(key, settings):
            # What is not there for another reason is not to blame as well.
            if not builder.failed_below(("mcp",) if place[0] == "mcp_tools" else ("providers",)):
                builder.blame(("keys", index, *place), said)


def _unserved(target: str, providers: Mapping[str, ProviderSettings], served: set[str]) -> str:
    provider, slash, _ = target.partition("/")
    if not slash:
        return f"'{target}' is not 'provider/model'. {suggestion(target, sorted(served))}"
    if provider in providers:
        here = [name for name in sorted(served) if name.startswith(f"{provider}/")]
        return f"{provider} has no model of that name ('{target}'). {suggestion(target, here)}"
    known = next((one for one in PROVIDERS if one.name == provider), None)
    if known:
        variable = known.key_variables[0] if known.needs_key else known.base_url_variable
        return f"'{target}': the provider {provider} is not on. Set {variable}, or write it under 'providers'."
    return f"'{target}': there is no provider '{provider}'. {suggestion(provider, sorted(providers))}"


def _circle(start: str, entries: Mapping[str, Route]) -> list[str] | None:
    """The way from a route back to itself over fallbacks, if there is one."""
    ways: list[list[str]] = [[start]]
    visited: set[str] = set()
    while ways:
        way = ways.pop()
        for target in entries[way[-1]].fallback:
            if target == start:
                return [*way, start]
            if target in entries and target not in visited:
                visited.add(target)
                ways.append([*way, target])
    return None


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Only this machine reaches that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
