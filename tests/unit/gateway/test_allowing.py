"""What a key may ask for is a catalog of its own."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from gateway_world import deployment
from hypothesis import given
from hypothesis import strategies as st

from gateway.allowing import Allowing, restriction
from gateway.catalog import AUTO, Asked, Catalog, Route
from gateway.errors import BadRequest, Forbidden, UnknownModel
from gateway.governance.keys import Principal

ALL = [deployment(f"{provider}/{model}") for provider, model in product("ab", ("small", "large", "other"))]
BY_KEY = {one.key: one for one in ALL}


def route(name: str, *targets: str, fallback: tuple[str, ...] = ()) -> Route:
    return Route(name, tuple(BY_KEY[target] for target in targets), fallback=fallback)


CATALOG = Catalog(
    ALL,
    [
        route("quick", "a/small", "b/small", fallback=("slow", "b/other")),
        route("slow", "a/large", "b/large"),
        route("other", "a/large"),
    ],
)
ANY = Asked(frozenset(), 10, 0)


def of(**lists: Any) -> Catalog:
    return Allowing(CATALOG).of(Principal("ann", **lists))


def answering(catalog: Catalog, name: str) -> list[list[str]]:
    return [[one.key for one in tier] for tier in catalog.resolve(name, ANY).tiers]


def test_whoever_has_no_list_sees_everything() -> None:
    assert of() is CATALOG
    assert Allowing(CATALOG).of(None) is CATALOG
    assert restriction(None) == restriction(Principal("ann")) == ""


def test_models_bound_who_answers_whatever_is_asked_for() -> None:
    mine = of(models=("small",))
    assert answering(mine, AUTO) == [["a/small", "b/small"]]
    assert answering(mine, "quick") == [["a/small", "b/small"]]
    assert mine.names() == ["quick", "small", AUTO]
    for name in ("large", "slow", "a/large", "other"):
        with pytest.raises(Forbidden, match="It may use: quick, small, auto"):
            mine.resolve(name, ANY)


def test_a_model_may_be_allowed_of_one_provider_only() -> None:
    mine = of(models=("a/small", "b/large"))
    assert answering(mine, "small") == [["a/small"]]
    assert answering(mine, "slow") == [["b/large"]]
    assert answering(mine, "quick") == [["a/small"], ["b/large"]]
    with pytest.raises(Forbidden, match="may not use the model 'b/small'"):
        mine.resolve("b/small", ANY)


def test_providers_bound_who_answers_whatever_is_asked_for() -> None:
    mine = of(providers=("b",))
    assert answering(mine, "large") == [["b/large"]]
    assert answering(mine, "quick") == [["b/small"], ["b/large"], ["b/other"]]
    with pytest.raises(Forbidden, match="route 'other'"):  # of which nothing is left; and it hides a model
        mine.resolve("other", ANY)
    with pytest.raises(Forbidden, match=r"may not use the provider 'a'\. It may use: b"):
        mine.resolve("small", Asked(frozenset(), 10, 0, ("a",)))
    with pytest.raises(BadRequest, match="There is no provider 'c'"):
        mine.resolve("small", Asked(frozenset(), 10, 0, ("c",)))


def test_routes_bound_which_are_asked_for_and_not_what_they_fall_back_on() -> None:
    mine = of(routes=("quick",))
    assert answering(mine, "quick") == answering(CATALOG, "quick")
    assert mine.names() == ["quick", "small", "large", AUTO]
    with pytest.raises(Forbidden, match="may not use the route 'slow'"):
        mine.resolve("slow", ANY)
    assert answering(of(routes=()), "small") == [["a/small", "b/small"]]


def test_what_does_not_exist_is_told_as_such() -> None:
    with pytest.raises(UnknownModel, match="Did you mean 'small'"):
        of(models=("small",)).resolve("smal", ANY)
    with pytest.raises(UnknownModel) as caught:
        of(models=("small",)).resolve("larg", ANY)
    assert "large" not in caught.value.message  # no hint at what it may not know of


def test_nothing_may_be_allowed() -> None:
    mine = of(models=())
    assert mine.names() == []
    with pytest.raises(Forbidden, match="It may use: none"):
        mine.resolve(AUTO, ANY)
    with pytest.raises(Forbidden):
        mine.serving("small")


def test_the_same_lists_share_one_catalog_and_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.allowing._KEPT", 2)
    allowing = Allowing(CATALOG)
    first = allowing.of(Principal("ann", models=("small",)))
    assert allowing.of(Principal("bob", models=("small",))) is first
    for model in ("large", "other"):
        allowing.of(Principal("ann", models=(model,)))
    assert len(allowing._made) == 2
    assert allowing.of(Principal("ann", models=("small",))) is not first


_NAMES = st.none() | st.lists(st.sampled_from(["small", "large", "other", "a/small", "b/large", "b/other"])).map(tuple)
_PROVIDERS = st.none() | st.lists(st.sampled_from(["a", "b"])).map(tuple)
_ROUTES = st.none() | st.lists(st.sampled_from(["quick", "slow", "other"])).map(tuple)


@given(_NAMES, _PROVIDERS, _ROUTES)
def test_no_list_ever_adds_anything(models: Any, providers: Any, routes: Any) -> None:
    mine = of(models=models, providers=providers, routes=routes)
    for name in [*CATALOG.names(), *BY_KEY]:
        allowed: set[str] = set()
        try:
            allowed = {key for tier in answering(mine, name) for key in tier}
        except Forbidden:
            assert name not in mine.names()
        assert allowed <= {key for tier in answering(CATALOG, name) for key in tier}
        for key in allowed:
            one = BY_KEY[key]
            assert providers is None or one.provider in providers
            assert models is None or one.model in models or key in models
        if name in CATALOG.routes and routes is not None and name not in routes:
            assert not allowed
    assert set(mine.names()) <= set(CATALOG.names())
