"""The catalog: who can answer for a name, in what tiers, and why nobody can."""

from __future__ import annotations

import pytest
from gateway_world import deployment
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.catalog import AUTO, COMPLETIONS, EMBEDDINGS, Asked, Catalog, Deployment, Price, Resolution, Route
from gateway.errors import BadRequest, UnknownModel
from providers.chat import Usage

CHAT = frozenset({"tools", "vision"})
EMBED = frozenset({EMBEDDINGS})


def wants(*needs: str, tokens: int = 100, answer: int = 0, providers: tuple[str, ...] = ()) -> Asked:
    return Asked(frozenset(needs), tokens, answer, providers)


def keys(found: Resolution) -> list[list[str]]:
    return [[one.key for one in tier] for tier in found.tiers]


ONE, TWO, OTHER = deployment("a/big"), deployment("b/big"), deployment("a/small")
VECTORS = deployment("a/vectors", capabilities=EMBED)


def catalog(*routes: Route, extra: tuple[Deployment, ...] = ()) -> Catalog:
    return Catalog([ONE, TWO, OTHER, VECTORS, *extra], routes)


# --------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "tiers"),
    [
        ("big", [["a/big", "b/big"]]),
        ("small", [["a/small"]]),
        ("b/big", [["b/big"]]),
        (AUTO, [["a/big", "b/big", "a/small"]]),
        ("fast", [["a/small", "b/big"]]),
    ],
)
def test_a_name_is_a_model_a_deployment_a_route_or_auto(name: str, tiers: list[list[str]]) -> None:
    assert keys(catalog(Route("fast", (OTHER, TWO))).resolve(name, wants())) == tiers


def test_a_route_goes_before_a_model_of_its_name() -> None:
    found = catalog(Route("big", (OTHER,))).resolve("big", wants())
    assert keys(found) == [["a/small"]]
    assert found.route is not None


def test_only_a_route_has_a_route() -> None:
    assert catalog().resolve("big", wants()).route is None


@pytest.mark.parametrize(("name", "nearest"), [("bigg", "big"), ("smal", "small"), ("b/bog", "b/big"), ("fst", "fast")])
def test_an_unknown_name_is_told_its_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UnknownModel, match=f"'{name}' does not exist. Did you mean '{nearest}'") as caught:
        catalog(Route("fast", (ONE,))).resolve(name, wants())
    assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")


def test_a_name_like_no_other_gets_no_guess() -> None:
    with pytest.raises(UnknownModel) as caught:
        catalog().resolve("qqqqqqqq", wants())
    assert "Did you mean" not in caught.value.message


def test_names_are_case_sensitive_and_provider_names_are_no_models() -> None:
    for name in ("BIG", "a", "", " big"):
        with pytest.raises(UnknownModel):
            catalog().resolve(name, wants())


def test_every_listed_name_can_be_asked_for() -> None:
    it = catalog(Route("fast", (ONE,)), Route("big", (TWO,)))
    assert it.names() == ["fast", "big", "small", "vectors", AUTO]
    for name in it.names():
        assert it.known(name)
        assert it.serving(name)
    assert it.known("a/big")
    assert not it.known("a")


def test_a_model_that_is_called_auto_is_a_candidate_once() -> None:
    found = catalog(extra=(deployment("c/auto"),)).resolve(AUTO, wants())
    assert keys(found) == [["a/big", "b/big", "a/small", "c/auto"]]


def test_auto_is_listed_only_where_somebody_chats() -> None:
    it = Catalog([VECTORS])
    assert all(it.known(name) for name in it.names())


def test_deployments_are_found_by_provider_and_key() -> None:
    it = catalog()
    assert it.providers == ("a", "b")
    assert it.deployments_of("a") == [ONE, OTHER, VECTORS]
    assert it.by_key["b/big"] is TWO


# --------------------------------------------------------------------------------------------------------------- tiers


def test_a_routes_fallbacks_are_tiers_in_order() -> None:
    routes = [Route("fast", (OTHER,), fallback=("b/big", "slow")), Route("slow", (ONE,))]
    assert keys(catalog(*routes).resolve("fast", wants())) == [["a/small"], ["b/big"], ["a/big"]]


def test_a_fallback_is_not_followed_further() -> None:
    routes = [Route("one", (OTHER,), fallback=("two",)), Route("two", (TWO,), fallback=("one",))]
    assert keys(catalog(*routes).resolve("one", wants())) == [["a/small"], ["b/big"]]


def test_a_tier_without_anyone_fit_is_left_out() -> None:
    small = deployment("c/tiny", context=10)
    route = Route("fast", (small,), fallback=("big",))
    found = catalog(route, extra=(small,)).resolve("fast", wants(tokens=1000))
    assert keys(found) == [["a/big", "b/big"]]
    assert found.route is route


def test_ordered_providers_are_tiers_in_the_callers_order() -> None:
    assert keys(catalog().resolve(AUTO, wants(providers=("b", "a/small")), ordered=True)) == [["b/big"], ["a/small"]]
    assert keys(catalog().resolve("big", wants(providers=("b", "a")), ordered=True)) == [["b/big"], ["a/big"]]


def test_without_order_providers_are_a_filter_only() -> None:
    assert keys(catalog().resolve(AUTO, wants(providers=("b", "a/small")))) == [["b/big", "a/small"]]


@pytest.mark.parametrize("providers", [("a/big", "a"), ("a", "a/big"), ("b", "b")])
def test_nobody_stands_in_two_tiers_of_ordered_providers(providers: tuple[str, ...]) -> None:
    tiers = keys(catalog().resolve("big", wants(providers=providers), ordered=True))
    everyone = [key for tier in tiers for key in tier]
    assert len(everyone) == len(set(everyone))


def test_nobody_stands_in_two_tiers_of_a_route() -> None:
    tiers = keys(catalog(Route("fast", (ONE,), fallback=("big",))).resolve("fast", wants()))
    assert tiers == [["a/big"], ["b/big"]]


# ----------------------------------------------------------------------------------------------------------- obstacles


def test_who_lacks_a_capability_is_left_out() -> None:
    able = deployment("c/big", capabilities=CHAT)
    unable = deployment("d/big", capabilities=frozenset())
    found = Catalog([able, unable]).resolve("big", wants("tools"))
    assert keys(found) == [["c/big"]]


def test_of_whom_nothing_is_known_nothing_is_concluded() -> None:
    it = Catalog([deployment("c/big")])
    assert keys(it.resolve("big", wants("tools", "vision", "audio"))) == [["c/big"]]
    assert keys(it.resolve("big", wants(EMBEDDINGS))) == [["c/big"]]
    assert keys(it.resolve("big", wants(tokens=10**9))) == [["c/big"]]


def test_a_missing_capability_is_named() -> None:
    it = Catalog([deployment("c/big", capabilities=CHAT)])
    with pytest.raises(BadRequest, match="'big' does not support audio") as caught:
        it.resolve("big", wants("audio", "tools"))
    assert (caught.value.code, caught.value.param) == ("unsupported_capability", "model")


@pytest.mark.parametrize(("tokens", "fits"), [(1000, True), (1250, True), (1251, False)])
def test_only_what_is_plainly_too_long_is_turned_away(tokens: int, fits: bool) -> None:
    it = Catalog([deployment("c/big", context=1000)])
    if fits:
        assert keys(it.resolve("big", wants(tokens=tokens))) == [["c/big"]]
        return
    with pytest.raises(BadRequest, match="'big' takes at most 1000") as caught:
        it.resolve("big", wants(tokens=tokens))
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")


def test_the_largest_window_of_all_is_told() -> None:
    it = Catalog([deployment("c/big", context=1000), deployment("d/big", context=4000)])
    with pytest.raises(BadRequest, match="about 9500 tokens; 'big' takes at most 4000"):
        it.resolve("big", wants(tokens=9000, answer=500))
    assert keys(it.resolve("big", wants(tokens=3000))) == [["d/big"]]


def test_the_window_told_is_of_those_that_were_asked_for() -> None:
    it = Catalog([deployment("c/big", context=1000), deployment("d/big", context=100_000)])
    with pytest.raises(BadRequest, match=r"at most 1000\."):
        it.resolve("big", wants(tokens=9000, providers=("c",)))


def test_a_provider_that_does_not_serve_it_is_told_who_does() -> None:
    others = (deployment("c/other"), deployment("d/other"))
    with pytest.raises(BadRequest, match=r"None of the providers c, d/other serves 'big'. These do: a, b\.") as caught:
        catalog(extra=others).resolve("big", wants(providers=("c", "d/other")))
    assert (caught.value.code, caught.value.param) == ("provider_not_found", "providers")


@pytest.mark.parametrize("providers", [("aa",), ("b", "aa"), ("a/bigg",)])
def test_a_provider_that_nobody_is_called_is_refused_even_among_others(providers: tuple[str, ...]) -> None:
    with pytest.raises(BadRequest, match=f"There is no provider '{providers[-1]}'. Did you mean 'a") as caught:
        catalog().resolve("big", wants(providers=providers))
    assert (caught.value.code, caught.value.param) == ("provider_not_found", "providers")


@pytest.mark.parametrize("providers", [(), ("x" * 10**6,)])
def test_a_name_of_a_million_letters_is_not_repeated(providers: tuple[str, ...]) -> None:
    with pytest.raises((BadRequest, UnknownModel)) as caught:
        catalog().resolve("x" * 10**6, wants(providers=providers))
    assert len(str(caught.value)) < 400


def test_among_the_providers_asked_for_the_real_obstacle_is_told() -> None:
    it = Catalog([deployment("c/big", capabilities=frozenset()), deployment("d/big", capabilities=CHAT)])
    with pytest.raises(BadRequest) as caught:
        it.resolve("big", wants("tools", providers=("c",)))
    assert caught.value.code == "unsupported_capability"


def test_a_model_that_embeds_never_answers_a_chat() -> None:
    with pytest.raises(BadRequest, match="'vectors' does not support chat"):
        catalog().resolve("vectors", wants())
    mixed = Catalog([VECTORS, deployment("b/vectors", capabilities=CHAT)])
    assert keys(mixed.resolve("vectors", wants())) == [["b/vectors"]]
    route = Catalog([VECTORS, ONE], [Route("mixed", (VECTORS, ONE))])
    assert keys(route.resolve("mixed", wants())) == [["a/big"]]


def test_a_model_that_chats_never_embeds() -> None:
    it = Catalog([VECTORS, deployment("c/big", capabilities=CHAT)])
    with pytest.raises(BadRequest, match="'big' does not support embeddings"):
        it.resolve("big", wants(EMBEDDINGS))
    with pytest.raises(BadRequest, match="'auto' does not support embeddings"):
        it.resolve(AUTO, wants(EMBEDDINGS))
    assert keys(it.resolve("vectors", wants(EMBEDDINGS))) == [["a/vectors"]]


@given(
    made=st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from("xy"),
            st.none() | st.integers(1, 2000),
            st.none() | st.sets(st.sampled_from(["tools", "vision", EMBEDDINGS])).map(frozenset),
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda one: one[:2],
    ),
    needs=st.sets(st.sampled_from(["tools", "vision", EMBEDDINGS])),
    tokens=st.integers(0, 3000),
    providers=st.lists(st.sampled_from(["a", "b", "c", "a/x"]), max_size=2),
    name=st.sampled_from(["x", "y", AUTO, "a/x"]),
    ordered=st.booleans(),
)
def test_whoever_is_named_can_answer_or_an_error_says_why(
    made: list[tuple[str, str, int | None, frozenset[str] | None]],
    needs: set[str],
    tokens: int,
    providers: list[str],
    name: str,
    ordered: bool,
) -> None:
    everyone = [deployment(f"{p}/{m}", context=window, capabilities=can) for p, m, window, can in made]
    asked = wants(*needs, tokens=tokens, providers=tuple(providers))
    try:
        found = Catalog(everyone).resolve(name, asked, ordered=ordered)
    except (BadRequest, UnknownModel) as error:
        problem = error
    else:
        _can_answer(found, name, asked)
        return
    assert problem.message
    assert problem.param in {"model", "messages", "providers"}


def _can_answer(found: Resolution, name: str, asked: Asked) -> None:
    assert found.tiers
    for one in (one for tier in found.tiers for one in tier):
        assert name in {AUTO, one.model, one.key}
        assert one.capabilities is None or asked.needs <= one.capabilities
        assert not asked.providers or {one.provider, one.key} & set(asked.providers)
        assert one.context is None or asked.input_tokens <= one.context * 1.25


_CAN = st.none() | st.sets(st.sampled_from(["tools", "vision", EMBEDDINGS, COMPLETIONS])).map(frozenset)


@given(
    made=st.lists(
        st.tuples(_CAN, st.none() | st.integers(1, 2000), st.none() | st.integers(1, 2000)), min_size=1, max_size=5
    ),
    needs=st.sets(st.sampled_from(["tools", "vision", EMBEDDINGS])),
    tokens=st.integers(0, 3000),
    answer=st.integers(0, 3000),
)
def test_who_answers_for_a_shared_name_is_who_answers_for_his_own(
    made: list[tuple[frozenset[str] | None, int | None, int | None]], needs: set[str], tokens: int, answer: int
) -> None:
    """What all behind a name can is known beforehand; it must make no difference to each."""
    everyone: list[Deployment] = []
    for number, (can, window, longest) in enumerate(made):
        one = deployment(f"p{number}/m", context=window, capabilities=can)
        everyone.append(replace(one, target=replace(one.target, max_output=longest)))
    it, asked = Catalog(everyone), wants(*needs, tokens=tokens, answer=answer)

    def answering(name: str) -> list[str]:
        try:
            return [one.key for tier in it.resolve(name, asked).tiers for one in tier]
        except BadRequest:
            return []

    alone = [
        one.key
        for one in everyone
        if (one.capabilities is None or (asked.needs <= one.capabilities and (one.chats or EMBEDDINGS in needs)))
        and (one.context is None or tokens <= one.context * 1.25)
        and (one.target.max_output is None or answer <= one.target.max_output)
    ]
    assert answering("m") == alone
    assert [key for one in everyone for key in answering(one.key)] == alone


# --------------------------------------------------------------------------------------------------------------- price


@pytest.mark.parametrize(
    ("price", "usage", "cost"),
    [
        (Price(), Usage(1000, 1000), 0.0),
        (Price(2.0, 3.0), Usage(10, 5), 35.0),
        (Price(2.0, 3.0), Usage(10, 5, cached_tokens=4), 35.0),
        (Price(2.0, 3.0, 0.5), Usage(10, 5, cached_tokens=4), 29.0),
        (Price(2.0, 3.0, 0.0), Usage(10, 0, cached_tokens=10), 0.0),
        (Price(2.0, 3.0), Usage(10, 5, reasoning_tokens=5), 35.0),
    ],
)
def test_cached_tokens_are_part_of_the_input_and_reasoning_of_the_output(
    price: Price, usage: Usage, cost: float
) -> None:
    assert price.of(usage) == cost


@given(cached=st.integers(0, 1000), fresh=st.integers(0, 1000), written=st.integers(0, 1000))
def test_a_cheaper_cache_never_costs_more(cached: int, fresh: int, written: int) -> None:
    usage = Usage(cached + fresh, written, cached_tokens=cached)
    assert 0.0 <= Price(2.0, 3.0, 0.5).of(usage) <= Price(2.0, 3.0).of(usage)
