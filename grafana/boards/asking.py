"""The questions that boards ask again and again, in PromQL."""

from __future__ import annotations

from grafana.boards.drawing import Query

_OF = "[$__rate_interval]"


def rate(metric: str, *by: str, where: str = "") -> str:
    """What a counter gains in a second, for each value of these labels."""
    return f"{_sum(by)}(rate({metric}{_braced(where)}{_OF}))"


def gain(metric: str, *by: str, where: str = "") -> str:
    """What a counter gains from one point of a panel to the next."""
    return f"{_sum(by)}(increase({metric}{_braced(where)}{_OF}))"


def within(share: float, histogram: str, *by: str, where: str = "") -> str:
    """Within what this share of the observations is."""
    return f"histogram_quantile({share:g}, {rate(histogram + '_bucket', *by, 'le', where=where)})"


def spread(histogram: str, *, where: str = "") -> list[Query]:
    """Within what half of the observations are, 95 and 99 % of them."""
    return [
        Query(within(share, histogram, where=where), legend)
        for share, legend in ((0.5, "half"), (0.95, "95 %"), (0.99, "99 %"))
    ]


def _sum(by: tuple[str, ...]) -> str:
    return f"sum by ({', '.join(by)}) " if by else "sum"


def _braced(where: str) -> str:
    return f"{{{where}}}" if where else ""
