"""What a key may ask for, as a catalog of its own: fewer deployments and routes, and otherwise the same.

    providers, models   who may answer, whatever name is asked for: a bare model, a route, or `auto`
    routes              which routes may be asked for; what such a one falls back on is part of it

A route of which no target is left is none for that key.

Law: each list only takes away. What a key may not ask for is told apart from what does not exist (403 that names what
it may, instead of 404), and is never listed to it.

Limits: catalogs are kept per combination of lists, as many as `_KEPT`; one costs what indexing the allowed takes.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from gateway.catalog import Asked, Catalog, Deployment, Resolution, Route
from gateway.errors import Forbidden, GatewayError
from gateway.governance.keys import Principal

#: Catalogs of combinations that are kept. Beyond, the oldest goes and is made again when it is asked for.
_KEPT = 256
#: Names that a refusal lists.
_LISTED = 20
_Lists = tuple[tuple[str, ...] | None, tuple[str, ...] | None, tuple[str, ...] | None]


class Allowed(Catalog):
    """What is allowed of a catalog."""

    def __init__(self, whole: Catalog, deployments: Sequence[Deployment], routes: Sequence[Route]) -> None:
        """Of `whole` only these."""
        super().__init__(deployments, routes)
        self._whole = whole
        # A fallback may be a route that may not be asked for by itself.
        for name, route in whole.routes.items():
            if name not in self.routes:
                self._hide(name, [one for one in route.deployments if one.key in self.by_key])

    def resolve(self, name: str, asked: Asked, *, ordered: bool = False) -> Resolution:
        """As `Catalog.resolve`. Raises `Forbidden`, too."""
        for wanted in asked.providers:
            there = wanted in self._whole.providers or wanted in self._whole.by_key
            if there and wanted not in self.providers and wanted not in self.by_key:
                raise _may_not("provider", wanted, self.providers)
        self._require(name)
        return super().resolve(name, asked, ordered=ordered)

    def serving(self, name: str) -> tuple[Deployment, ...]:
        """As `Catalog.serving`. Raises `Forbidden`, too."""
        self._require(name)
        return super().serving(name)

    def refusal(self, name: str) -> GatewayError:
        """Why a name that is not known here may not be asked for, or that it does not exist."""
        if not self._whole.known(name):
            return super().refusal(name)
        kind = "route" if name in self._whole.routes else "model"
        return _may_not(kind, name, self.names())

    def _require(self, name: str) -> None:
        if not self.known(name):
            raise self.refusal(name)


class Allowing:
    """The catalog as each caller may see it."""

    def __init__(self, catalog: Catalog) -> None:
        """Of everything there is."""
        self._catalog = catalog
        self._made: dict[_Lists, Allowed] = {}

    def of(self, caller: Principal | None) -> Catalog:
        """What this caller may ask for; None, who is nobody, everything."""
        if caller is None or (caller.models is None and caller.providers is None and caller.routes is None):
            return self._catalog
        lists = caller.models, caller.providers, caller.routes
        found = self._made.get(lists)
        if found is None:
            if len(self._made) >= _KEPT:
                del self._made[next(iter(self._made))]
            found = self._made[lists] = self._narrowed(caller)
        return found

    def _narrowed(self, caller: Principal) -> Allowed:
        models, providers, routes = caller.models, caller.providers, caller.routes

        def may(one: Deployment) -> bool:
            named = models is None or one.model in models or one.key in models
            return named and (providers is None or one.provider in providers)

        whole = self._catalog
        deployments = [one for one in whole.deployments if may(one)]
        there = {one.key for one in deployments}
        there.update(name for name, route in whole.routes.items() if any(map(may, route.deployments)))
        kept = [
            structs.replace(
                route,
                deployments=tuple(filter(may, route.deployments)),
                fallback=tuple(other for other in route.fallback if other in there),
            )
            for name, route in whole.routes.items()
            if name in there and (routes is None or name in routes)
        ]
        return Allowed(whole, deployments, kept)


def restriction(caller: Principal | None) -> str:
    """What tells a caller's catalog from everybody's; empty where it is that."""
    if caller is None or (caller.models is None and caller.providers is None and caller.routes is None):
        return ""
    return repr((caller.models, caller.providers, caller.routes))


def _may_not(kind: str, name: str, allowed: Sequence[str]) -> Forbidden:
    more = " …" if len(allowed) > _LISTED else ""
    listed = ", ".join(allowed[:_LISTED]) or "none"
    param = "providers" if kind == "provider" else "model"
    return Forbidden(f"This key may not use the {kind} '{name:.200}'. It may use: {listed}{more}.", param=param)
