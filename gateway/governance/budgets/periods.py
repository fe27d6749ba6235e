"""Calendar periods in UTC: when the one began that a moment is in, and when the next begins.

An hour begins with the hour, a day at midnight, a week on Monday, a month on its first; `total` began in 1970 and does
not end. So a budget's period is the same for every process, whatever its own zone, and needs no note of when it began.
"""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.settings.limits import Period

_HOUR, _DAY, _WEEK = 3_600, 86_400, 604_800
#: Seconds from Monday, 29 December 1969 to the first of 1970.
_MONDAY = 3 * _DAY


def start_of(period: Period, now: float) -> int:
    """Unix seconds at which the period began that `now` (Unix seconds) is in."""
    second = int(now)
    match period:
        case "hour":
            return second - second % _HOUR
        case "day":
            return second - second % _DAY
        case "week":
            return second - (second + _MONDAY) % _WEEK
        case "month":
            return _first(datetime.fromtimestamp(second, UTC))
        case "total":
            return 0


def end_of(period: Period, start: int) -> int | None:
    """Unix seconds at which the next one begins; None: never."""
    match period:
        case "hour":
            return start + _HOUR
        case "day":
            return start + _DAY
        case "week":
            return start + _WEEK
        case "month":
            # From the 28th of any month it is less than a week to the next one's first.
            return _first(datetime.fromtimestamp(start + 27 * _DAY + _WEEK, UTC))
        case "total":
            return None


def _first(moment: datetime) -> int:
    return int(moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp())
