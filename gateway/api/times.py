"""Times in query strings."""

from datetime import UTC, datetime, timedelta

from gateway.errors import BadRequest


def unix(moment: datetime, param: str = "since") -> float:
    """Unix seconds; a time without a zone is UTC, like every time here.

    Raises `BadRequest` for one before 1970, and in 9999, which may be the year 10000 in another zone.
    """
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not 1970 <= aware.year < 9999:
        raise BadRequest(f"'{param}' lies before 1970, or in the year 9999.", param=param)
    return aware.timestamp()


def date_or_time(text: str, param: str, *, end: bool = False) -> float:
    """Unix seconds of an ISO 8601 date or time; of a bare date its beginning, or its `end`. Raises `BadRequest`."""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a plus sign that was not encoded
        bare = len(text) <= len("2026-01-31")
        return unix(moment + timedelta(days=1) if end and bare else moment, param)
    except (ValueError, OverflowError) as exc:
        raise BadRequest(f"'{param}' is a date such as 2026-01-31, or a time in ISO 8601.", param=param) from exc
