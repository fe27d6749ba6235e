"""The only door to croniter: when a cron line is due, in its time zone, summer time included.

Law: a day has each of its times once, whatever the clocks do.

- A time that a day skips, when clocks go forward, is held at the first moment behind the gap.
- A time that a day has twice, when they go back, is held at its first. Of a line for every hour both are held, since
  there it is hours that count, and not what they are called.

A line has the five fields of crontab (minute, hour, day of month, month, day of week; names, ranges, steps, `L`, `#`,
`W`), or is `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. Seconds, years and random parts, which croniter knows
too, are refused: by a random part each process would see another time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

from croniter import croniter

#: croniter's letters for a random part, and for one drawn from a name.
_DRAWN = re.compile(r"(^|[\s,])[RH](?![A-Z])", re.IGNORECASE)
_ALIASES = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_FIELDS = 5
#: Years within which a line must be due: leap days on a given weekday come every 28, and 40 around a century.
_WITHIN_YEARS = 40


class Unclear(ValueError):
    """A line or a time zone that means nothing; the message says why, and what would."""


class Cron:
    """A line in a time zone."""

    def __init__(self, line: str, zone: str) -> None:
        """Raises `Unclear`."""
        self._zone = zone_of(zone)
        self._line = _checked(line)
        # Every hour: what croniter makes of `*`, `*/1` and `0-23` alike.
        self._every_hour = croniter(self._line).expanded[1] == ["*"]

    def after(self, moment: float) -> Iterator[float]:
        """All times later than `moment`, in Unix seconds."""
        start = datetime.fromtimestamp(moment, UTC).astimezone(self._zone)
        found = croniter(self._line, start, max_years_between_matches=_WITHIN_YEARS)
        last = moment
        while True:
            tick = float(found.get_next(float))
            again = datetime.fromtimestamp(tick, self._zone).fold == 1 and not self._every_hour
            if tick > last and not again:
                last = tick
                yield tick

    def next(self, moment: float) -> float:
        """The first of them."""
        return next(self.after(moment))

    def first(self, moment: float, count: int) -> list[float]:
        """The first few of them."""
        return list(islice(self.after(moment), count))


@lru_cache(maxsize=256)  # a line is looked at whenever it is due; 256 of them are some 500 kB
def cron(line: str, zone: str) -> Cron:
    """A line in a time zone. Raises `Unclear`."""
    return Cron(line, zone)


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name. Raises `Unclear`."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as exc:  # OSError: the name of a folder, such as `Europe`
        raise Unclear(f"There is no time zone '{name:.80}'. One is called 'Europe/Berlin', say, or 'UTC'.") from exc


def _checked(line: str) -> str:
    words = line.split()
    if line.strip().lower() in _ALIASES:
        return line.strip().lower()
    if len(words) != _FIELDS:
        raise Unclear(
            f"'{line:.80}' is no cron line: it takes five fields (minute, hour, day of month, month, day of week), such"
            f" as '30 6 * * mon-fri', or one of {', '.join(_ALIASES)}."
        )
    if _DRAWN.search(line):
        raise Unclear(f"'{line:.80}' has a random part (R or H). Write a number.")
    try:
        croniter(line, datetime.fromtimestamp(0, UTC), max_years_between_matches=_WITHIN_YEARS).get_next(float)
    except (ValueError, KeyError) as exc:  # croniter's own faults are ValueErrors
        reason = "it is never due" if "failed to find next" in str(exc) else str(exc)
        raise Unclear(f"'{line:.80}' is no cron line: {reason:.200}.") from exc
    return " ".join(words)
