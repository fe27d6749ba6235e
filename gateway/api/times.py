"""Times in query strings."""

from datetime import UTC, datetime

from gateway.errors import BadRequest


def unix(moment: datetime, param: str = "since") -> float:
    """Unix seconds; a time without a zone is UTC, like every time here. Raises `BadRequest` for one before 1970."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if aware.year < 1970:
        raise BadRequest(f"'{param}' lies before 1970.", param=param)
    return aware.timestamp()
