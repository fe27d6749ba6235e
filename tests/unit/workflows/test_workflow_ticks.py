"""When a cron line is due: by a day of minutes looked at one by one, and by what is written down here."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from gateway.workflows.ticks import Cron, Unclear


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def times(line: str, zone: str, since: str, count: int) -> list[str]:
    found = Cron(line, zone).first(at(since), count)
    return [datetime.fromtimestamp(tick, ZoneInfo(zone)).isoformat() for tick in found]


def test_a_time_that_a_day_skips_is_held_behind_the_gap() -> None:
    assert times("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00+01:00", 3) == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]


def test_a_time_that_a_day_has_twice_is_held_once() -> None:
    assert times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00+02:00", 2) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]
    # Neither by whoever looks between the two.
    assert times("30 2 * * *", "Europe/Berlin", "2026-10-25T02:45+02:00", 1) == ["2026-10-26T02:30:00+01:00"]


def test_a_line_for_every_hour_counts_hours() -> None:
    for line in ("0 * * * *", "0 */1 * * *", "0 0-23 * * *", "@hourly"):
        autumn = Cron(line, "Europe/Berlin").first(at("2026-10-24T22:30+02:00"), 6)
        spring = Cron(line, "Europe/Berlin").first(at("2026-03-28T22:30+01:00"), 6)
        assert {later - sooner for ticks in (autumn, spring) for sooner, later in pairwise(ticks)} == {3600.0}


#: Zones whose clocks change by an hour at night, by half an hour, and at midnight.
CHANGES = [
    ("Europe/Berlin", "2026-03-28", "2026-10-24"),
    ("America/New_York", "2026-03-07", "2026-10-31"),
    ("Australia/Lord_Howe", "2026-10-03", "2026-04-04"),
    ("America/Santiago", "2026-09-05", "2026-04-04"),
]
#: (minutes, hours) of a line for every day.
LINES = [({0}, {0}), ({30}, {2}), ({15, 45}, {0, 1, 2, 3}), ({5}, set(range(0, 24, 2))), ({0, 20}, {23}), ({59}, {1})]


def by_the_minute(minutes: set[int], hours: set[int], zone: ZoneInfo, start: datetime) -> list[float]:
    """Two days, minute by minute: those that are called so for the first time, and the first behind a gap with one."""
    found: list[float] = []
    before = start.astimezone(zone)
    for number in range(1, 2 * 24 * 60):
        local = (start + timedelta(minutes=number)).astimezone(zone)
        gap = round((local.replace(tzinfo=None) - before.replace(tzinfo=None)).total_seconds() / 60)
        skipped = [before.replace(tzinfo=None) + timedelta(minutes=one) for one in range(1, gap)]
        called = [local] if local.fold == 0 else []
        if any(one.minute in minutes and one.hour in hours for one in (*skipped, *called)):
            found.append(local.timestamp())
        before = local
    return found


@pytest.mark.parametrize("numbers", LINES, ids=str)
@pytest.mark.parametrize(("zone", "spring", "autumn"), CHANGES, ids=lambda one: str(one))
def test_each_time_of_a_day_is_held_once(
    numbers: tuple[set[int], set[int]], zone: str, spring: str, autumn: str
) -> None:
    minutes, hours = numbers
    line = f"{','.join(map(str, sorted(minutes)))} {','.join(map(str, sorted(hours)))} * * *"
    for day in (spring, autumn):
        start = datetime.fromisoformat(day).replace(hour=6, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        wanted = by_the_minute(minutes, hours, ZoneInfo(zone), start)
        assert Cron(line, zone).first(start.timestamp(), len(wanted)) == wanted


def test_what_is_next_is_later() -> None:
    ticks = Cron("*/10 * * * *", "UTC")
    assert ticks.next(600.0) == 1200.0
    assert ticks.next(599.9) == 600.0
    assert ticks.next(600.1) == 1200.0


def test_the_words_of_crontab_are_understood() -> None:
    assert times("0 6 * * mon-fri", "UTC", "2026-11-20T12:00+00:00", 1) == ["2026-11-23T06:00:00+00:00"]
    assert times("0 6 l * *", "UTC", "2026-02-20T12:00+00:00", 1) == ["2026-02-28T06:00:00+00:00"]
    assert times("@Monthly", "UTC", "2026-02-20T12:00+00:00", 1) == ["2026-03-01T00:00:00+00:00"]
    # Leap days on a monday: the longest wait there is.
    assert times("0 0 29 2 mon#5", "UTC", "1989-01-01T00:00+00:00", 1) == ["2016-02-29T00:00:00+00:00"]


@pytest.mark.parametrize(
    ("line", "zone", "reason"),
    [
        ("* * * *", "UTC", "it takes five fields"),
        ("* * * * * *", "UTC", "it takes five fields"),
        ("", "UTC", "it takes five fields"),
        ("@reboot", "UTC", "it takes five fields"),
        ("61 * * * *", "UTC", "out of range"),
        ("*/0 * * * *", "UTC", "step '0'"),
        ("0 0 30 2 *", "UTC", "it is never due"),
        ("R 0 * * *", "UTC", "has a random part"),
        ("0 h(1-3) * * *", "UTC", "has a random part"),
        ("0 6 * * *", "Europe/Atlantis", "There is no time zone 'Europe/Atlantis'"),
        ("0 6 * * *", "Europe", "There is no time zone 'Europe'"),
        ("0 6 * * *", "../etc/passwd", "There is no time zone"),
        ("0 6 * * *", "", "There is no time zone ''"),
    ],
)
def test_what_means_nothing_is_refused_with_the_reason(line: str, zone: str, reason: str) -> None:
    with pytest.raises(Unclear, match=re.escape(reason)):
        Cron(line, zone)


def test_a_name_that_only_begins_like_a_random_part_is_no_such() -> None:
    # No month or day begins with R or H; nothing else that croniter knows does.
    with pytest.raises(Unclear, match="no cron line"):
        Cron("0 0 * * hmm", "UTC")
