"""Times in query strings."""

from datetime import UTC, datetime, timedelta

from gateway.errors import BadRequest

#: Later than anything, and still a time in every zone.
_LAST = datetime(9999, 1, 1, tzinfo=UTC)


def unix(moment: datetime, param: str = "since") -> float:
    """Unix seconds; a time without a zone is UTC, like every time here.

    One in 9999, which may be the year 10000 in another zone, is that year's beginning. Raises `BadRequest` for one
    before 1970.
    """
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if aware.year < 1970:
        raise BadRequest(f"'{param}' lies before 1970.", param=param)
    return aware.timestamp() if aware.year < _LAST.year else _LAST.timestamp()


def date_or_time(text: str, param: str, *, end: bool = False) -> float:
    """Unix seconds of an ISO 8601 date or time; of a bare date its beginning, or its `end`. Raises `BadRequest`."""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a plus sign that was not encoded
        bare = len(text) <= len("2026-01-31")
        return unix(moment + timedelta(days=1) if end and bare else moment, param)
    except (ValueError, OverflowError) as exc:
        raise BadRequest(f"'{param}' is a date such as 2026-01-31, or a time in ISO 8601.", param=param) from exc
