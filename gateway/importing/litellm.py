"""A config.yaml of LiteLLM's proxy → a steelyard.yaml, and what of it is not there any more.

Each `model_name` becomes a route of the same name, so that callers go on saying what they say. Its entries are the
route's targets; of those with an `order`, the first order is the targets and the others the fallback, before the
fallbacks of the router.

Law: nothing is left out in silence. What is not read is told, with the reason and the nearest that there is.
Virtual keys, teams and budgets are in LiteLLM's database, hashed: they are made anew.

Source of the meanings: https://docs.litellm.ai/docs/proxy/config_settings, read in November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, cast

from msgspec import Struct

from gateway.importing.deployments import Reading, Serving
from gateway.importing.elsewhere import reason_of
from gateway.importing.told import Note, is_plain_secret, listed, mapping, value

_ROUTE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_STRATEGIES = {
    "least-busy": "least_busy",
    "latency-based-routing": "latency",
    "cost-based-routing": "cost",
    "usage-based-routing": "load_balanced",
    "usage-based-routing-v2": "load_balanced",
}
_SHUFFLE = "simple-shuffle"
#: Retries at most, of ours.
_MOST_RETRIES = 10
_SECTIONS = ("model_list", "router_settings", "litellm_settings", "general_settings")
Tree = dict[str, Any]


class Imported(Struct, frozen=True):
    """A configuration of ours, and what is to be known of it."""

    config: Tree
    notes: list[Note]


def imported(config: Mapping[str, Any]) -> Imported:
    """Read a configuration of LiteLLM's."""
    return _Import(config).whole()


class _Import:
    """One reading; what is read of a section is taken out of it, and what is left is told."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._router = _section(config, "router_settings")
        self._library = _section(config, "litellm_settings")
        self._general = _section(config, "general_settings")
        self._reading = Reading()
        #: LiteLLM holds the deployments to their rpm and tpm.
        self._bound = False
        self._notes = self._reading.found.notes

    def whole(self) -> Imported:
        for number, entry in enumerate(listed(self._config.get("model_list"))):
            self._reading.entry(f"model_list[{number}]", entry)
        made: Tree = {"providers": self._reading.found.providers, "routes": self._routes()}
        for name, section in (
            ("auth", self._auth()), ("requests", self._requests()), ("cache", self._cache()), ("redis", self._redis()),
            ("tls", self._tls()),
        ):  # fmt: skip
            if section:
                made[name] = section
        self._notes += self._left()
        return Imported({name: part for name, part in made.items() if part}, self._notes)

    def _take(self, name: str) -> Any:
        """A setting that may stand in either section; the router's goes before."""
        of_library = self._library.pop(name, None)
        of_router = self._router.pop(name, None)
        return of_library if of_router is None else of_router

    def _note(self, place: str, said: str, *, lost: bool = True) -> None:
        self._notes.append(Note(place, said, lost))

    # Routes

    def _routes(self) -> Tree:
        groups = {**self._reading.found.wild, **self._reading.found.groups}
        strategy = self._strategy()
        drop = bool(self._library.pop("drop_params", False))
        for alias, meant in self._aliases():
            if meant in groups:
                groups.setdefault(alias, groups[meant])
            else:
                self._note(f"router_settings.model_group_alias.{alias}", f"there is no '{meant}' any more")
        made: Tree = {}
        for name, servings in groups.items():
            if _ROUTE.fullmatch(name) is None or name == "auto":
                self._unroutable(name, servings)
            else:
                made[name] = self._route(name, servings, strategy, drop=drop)
        self._fallbacks(made)
        return made

    def _unroutable(self, name: str, servings: Sequence[Serving]) -> None:
        if [one.target for one in servings] != [name]:
            targets = ", ".join(dict.fromkeys(one.target for one in servings))
            self._note(f"model_list ({name})", f"no route may have this name: let callers say {targets}, or rename it")

    def _route(self, name: str, servings: Sequence[Serving], strategy: str | None, *, drop: bool) -> Tree:
        orders = sorted({one.order or 1 for one in servings})
        first = [one for one in servings if (one.order or 1) == orders[0]]
        route: Tree = {"targets": list(dict.fromkeys(one.target for one in first))}
        if strategy == _SHUFFLE:
            route["strategy"] = "weighted" if any(one.weight is not None for one in first) else "random"
        elif strategy is not None:
            route["strategy"] = strategy
        later = [one.target for order in orders[1:] for one in servings if (one.order or 1) == order]
        if later := [target for target in dict.fromkeys(later) if target not in route["targets"]]:
            route["fallback"] = later
        if any(one.rpm or one.tpm for one in servings):
            self._rates(name, route, servings)
        if drop:
            route["drop_params"] = True
        return route

    def _rates(self, name: str, route: Tree, servings: Sequence[Serving]) -> None:
        """What LiteLLM is told of a deployment's quota. Ours is learned from providers' answers; callers are bound."""
        rates = {
            rate: sum(getattr(one, rate) for one in servings)
            for rate in ("rpm", "tpm")
            if all(getattr(one, rate) for one in servings)
        }
        where = f"model_list ({name}) rpm, tpm"
        if rates and self._bound:
            route["rates"] = rates
            self._note(where, "bound all callers of the route together now", lost=False)
        else:
            self._note(where, "weigh nothing here: what a provider still takes is learned from its answers")

    def _strategy(self) -> str | None:
        found, place = self._take("routing_strategy"), "router_settings.routing_strategy"
        self._bound = str(found).startswith("usage-based")
        if found is None or found == _SHUFFLE:
            return found
        ours = _STRATEGIES.get(str(found))
        if ours is None:
            self._note(place, f"'{found}' is not known here: the DWA chooses (dwa.strategy)")
        elif ours == "load_balanced":
            self._note(place, "the DWA chooses, which minds what quota is left", lost=False)
        return ours

    def _aliases(self) -> Iterator[tuple[str, str]]:
        for alias, meant in mapping(self._take("model_group_alias")).items():
            yield alias, str(mapping(meant).get("model")) if isinstance(meant, dict) else str(meant)

    def _fallbacks(self, routes: Tree) -> None:
        default = listed(self._take("default_fallbacks"))
        for kind in ("fallbacks", "context_window_fallbacks"):
            told = listed(self._take(kind))
            for name, others in [pair for one in told for pair in mapping(one).items()]:
                for route in routes if name == "*" else [name]:
                    self._fall_back(routes, route, listed(others), f"{kind} of {route}")
            if told and kind != "fallbacks":
                self._note(kind, "come after any failure of the route, not only of too long a prompt", lost=False)
        for name in routes:
            self._fall_back(routes, name, [one for one in default if one != name], f"default_fallbacks of {name}")

    def _fall_back(self, routes: Tree, name: str, others: Sequence[Any], place: str) -> None:
        for other in map(str, others):
            if name not in routes or other not in routes:
                self._note(place, f"there is no '{other if name in routes else name}' any more")
            elif name in _reached(routes, other):
                self._note(place, f"{other} comes back to {name}: a request would go round in circles")
            elif other not in (already := routes[name].setdefault("fallback", [])):
                already.append(other)

    # The rest

    def _auth(self) -> Tree:
        key, place = self._general.pop("master_key", None), "general_settings.master_key"
        if key is None:
            self._note(place, "there is none: set STEELYARD_ADMIN_KEY, and make keys for callers", lost=False)
            return {}
        if is_plain_secret(key):
            self._note(place, "stands in the file itself: better ${NAME} or file:/path", lost=False)
        return {"admin_key": value(key)}

    def _requests(self) -> Tree:
        made: Tree = {}
        retries, timeout = self._take("num_retries"), self._take("request_timeout")
        whole, pause = self._take("timeout"), self._take("retry_after")
        if retries is not None:
            made["retries"] = min(retries, _MOST_RETRIES) if isinstance(retries, int) else value(retries)
        if (seconds := whole if whole is not None else timeout) is not None:
            made["timeout"] = value(seconds)
        if pause:
            made["backoff"] = value(pause)
        return made

    def _cache(self) -> Tree:
        """LiteLLM keeps every answer when its cache is on, and none when it is off; ours is asked for by more."""
        params, place = self._params, "litellm_settings.cache"
        if not self._library.pop("cache", False):
            self._note(place, "is off, so it is here on /v1, which else keeps answers at temperature 0", lost=False)
            return {"drop_in": "never"}
        made: Tree = {"drop_in": "never" if params.pop("mode", None) == "default_off" else "always"}
        if (ttl := params.pop("ttl", None)) is not None:
            made["ttl"] = value(ttl)
        kind = str(params.pop("type", "redis"))
        if kind not in ("redis", "local"):
            self._note(f"{place}_params.type", f"'{kind}' is not there: answers are kept in Redis or in memory")
        return made

    @property
    def _params(self) -> Tree:
        found = self._library.setdefault("cache_params", {})
        return cast("Tree", found if isinstance(found, dict) else {})

    def _redis(self) -> Tree:
        """The server of the router or of the cache; ours is one for everything."""
        found: Tree = {}
        for section, prefix in ((self._router, "redis_"), (self._params, "")):
            for part in ("url", "host", "port", "password", "username", "db"):
                told = section.pop(prefix + part, None)
                found.setdefault(part, told) if told is not None else None
        url, host = found.get("url"), found.get("host")
        if url is not None:
            return {"url": value(url)}
        if host is None:
            return {}
        user = value(found.get("username") or "")
        login = f"{user}:{value(found['password'])}@" if found.get("password") else ""
        made: Tree = {"url": f"redis://{login}{value(host)}:{value(found.get('port') or 6379)}"}
        return {**made, "db": found["db"]} if found.get("db") is not None else made

    def _tls(self) -> Tree:
        verify = self._library.pop("ssl_verify", None)
        if isinstance(verify, str) and verify.casefold() not in ("true", "false"):
            return {"ca_file": verify}
        return {"verify": False} if verify is False or str(verify).casefold() == "false" else {}

    def _left(self) -> list[Note]:
        """Whatever nobody has read."""
        if not self._params:
            self._library.pop("cache_params", None)
        sections = {
            "router_settings": self._router,
            "litellm_settings": self._library,
            "general_settings": self._general,
        }
        left = [Note(f"{section}.{name}", reason_of(name)) for section, tree in sections.items() for name in tree]
        return left + [Note(name, reason_of(name)) for name in self._config if name not in _SECTIONS]


def _section(config: Mapping[str, Any], name: str) -> Tree:
    found = config.get(name)
    # Of its own: what is read is taken out of it.
    return deepcopy(cast("Tree", found)) if isinstance(found, dict) else {}


def _reached(routes: Tree, start: str) -> set[str]:
    """Every route that a failure of this one may come to."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in seen and name in routes:
            seen.add(name)
            waiting += routes[name].get("fallback", [])
    return seen
