"""Times in query strings."""

from datetime import UTC, datetime

from gateway.errors import BadRequest


def unix(moment: datetime) -> float:
    """Unix seconds; a time without a zone is UTC, like every time here. Raises `BadRequest` for one before 1970."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if aware.year < 1970:
        raise BadRequest("'since' lies before 1970.", param="since")
    return aware.timestamp()
