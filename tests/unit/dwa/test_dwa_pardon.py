"""Where several are broken the failing ones take part again, judged by expected loss (`Survey.pardon`)."""

from __future__ import annotations

from dwa_world import Host, World, host

from dwa import Candidate


def test_whoever_is_pardoned_is_judged_with_the_crowd_it_has() -> None:
    world = World([Host(Candidate(f"{name}/m")) for name in "abcde"])
    for key in world.hosts:
        world.teach(key, 1.0, 20)
    for key in ("a/m", "b/m"):
        for _ in range(600):
            world.begin(key)
    for key in ("a/m", "b/m"):
        while not host(world, key).breaker.openings:
            world.fail(key, 0.01)
    ranking = world.rank()
    assert {"a/m", "b/m"} <= {candidate.key for candidate in ranking.candidates}, "pardoned, as too many are broken"
    by_key = {row["key"]: row for row in ranking.explain()}
    assert by_key["a/m"]["loss"] > 3.0 * by_key["c/m"]["loss"]  # pyright: ignore[reportOperatorIssue] - both are numbers
    assert ranking.candidates[0].key not in ("a/m", "b/m")
