"""What became of a wish for the settings that are written now, for whoever wished it over HTTP.

    POST /api/admin/reload ─► one process: a new application in its place          (`reloading`)
                           └► a worker ─link─► its supervisor: all are renewed     (`server`, `supervisor`)

Law: it is told once all that serve in this process or on this machine serve with the new settings, or that none does
for a reason that is told with it. One at a time: whoever comes while another is under way is told so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from gateway.errors import Busy, Conflict, Invalid
from gateway.governance.audit import Act
from gateway.settings.problems import Problem
from gateway.settings.tree import Settings


class Renewal(Struct, frozen=True):
    """Names of settings: those that differ from before, and those that wait for the next start."""

    changed: list[str]
    restart: list[str]


#: Serves with the settings that are written now; `Act` says who wishes it. Raises what is below.
Reload = Callable[[Act], Awaitable[Renewal]]


class Reread(Struct, frozen=True):
    """The settings as they are written now: to be served with, but for those that wait; or what is wrong with them."""

    settings: Settings | None
    restart: list[str] = []
    problems: tuple[Problem, ...] = ()


def wrong(problems: list[tuple[str, str]]) -> Invalid:
    """The settings cannot be served with; each problem has its place and what to do."""
    return Invalid("The settings are wrong: the old ones stay.", problems, param="settings", code="invalid_settings")


def unstartable(renewed: int = 0, of: int = 1) -> Invalid:
    """They are well formed, and nobody comes up with them; workers that were `renewed` before serve with them."""
    stay = "the old ones stay" if not renewed else f"{renewed} of {of} workers have them, the others keep the old ones"
    told = [("start", "The gateway's log tells why.")]
    said = f"With these settings nothing starts: {stay}."
    return Invalid(said, told, param="settings", code="settings_do_not_start")


def under_way() -> Conflict:
    """Another is being done."""
    return Conflict("Another reload is under way: ask again when it is done.", code="reload_under_way")


def leaving() -> Busy:
    """Whoever was asked is about to end."""
    return Busy("This process is about to end: ask again.")


def unable() -> Conflict:
    """There is nobody to do it."""
    return Conflict("This gateway was not started by `steelyard serve`: restart what it is part of.")
