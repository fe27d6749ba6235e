"""In whose name the steps of an execution are done."""

from __future__ import annotations

import pytest

from gateway.errors import Forbidden
from gateway.governance.keys import Principal
from gateway.workflows.callers import caller_of
from gateway.workflows.kept import Execution


class Keys:
    def __init__(self, *known: Principal) -> None:
        self._known = {one.name: one for one in known}

    def named(self, name: str) -> Principal | None:
        return self._known.get(name)


def begun(name: str) -> Execution:
    return Execution("wfexec_1", "w", 1, "running", 1, {}, name, 0.0)


def test_it_is_what_the_key_may_do_now() -> None:
    now = Principal("ann", models=("small",))
    assert caller_of(begun("ann"), Keys(now)) == now


@pytest.mark.parametrize("known", [Keys(), Keys(Principal("ann", scopes=frozenset({"read"})))])
def test_a_key_that_is_no_more_or_may_no_more_does_nothing(known: Keys) -> None:
    with pytest.raises(Forbidden, match="'ann'"):
        caller_of(begun("ann"), known)


def test_an_administrator_may_whatever_its_scopes_are_called() -> None:
    admin = Principal("root", admin=True, scopes=frozenset({"admin"}))
    assert caller_of(begun("root"), Keys(admin)) == admin
