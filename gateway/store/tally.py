"""What a batch of rows adds to the sums: totals by deployment, latencies by size, cost by key.

Law: what is added is counted from the rows as they are written, in their transaction, and only from rows that were not
there before: so the sums are what a recount of the rows would find, whatever was written twice or replayed.

PostgreSQL counts by itself (`postgres_adds`): counted here, a row cost 6 µs more of the core that answers requests,
half as much again as all its writing; counted there, it costs nothing here. SQLite has not everywhere a logarithm, and
a function of ours would wait for the interpreter's lock at every call: its rows are counted here (`tally`).

Sums are kept in spans of five minutes, the precision of a question's beginning, and again in whole days, so that a
question about a year adds 365 rows and not 105,000. Times are Unix seconds. A latency is counted in a bin whose bounds
differ by `GROWTH`; told as the bin's middle, it is wrong by at most the root of that: 2.5 %.

Limits: one row adds at most `MOST_TOKENS` to a sum of tokens, or the absurd counts of a provider could carry a sum
beyond what a column holds, and with it every later row of that span.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import ceil, log
from operator import itemgetter
from typing import Any, NamedTuple

from gateway.store.record import ExchangeRecord

#: Seconds of the shorter span: a tenth of the hour that is the shortest period people ask for. Half of it doubles rows.
FINE = 300
#: Seconds of the longer span.
DAY = 86_400
#: Seconds of a key's span: budgets begin with days or months, and a question between is answered from the rows.
HOUR = 3_600
#: Ratio of a bin's bounds. Squared, answers are wrong by 5 %; its root doubles the rows of a span.
GROWTH = 1.05
#: Seconds of the lowest bin's upper bound: nothing a gateway does is quicker.
LOWEST = 1e-5
#: Seconds beyond which latencies are one: eleven days.
HIGHEST = 1e6
#: What one row may add to a sum of tokens: 2**63 are reached after eight million such rows in one span.
MOST_TOKENS = 2**40
#: An answer nobody paid a provider for: found in the cache, or shared with the caller who asked first.
CACHED = ("hit", "coalesced")
DURATION, TTFT = "duration", "ttft"

_SCALE = 1 / log(GROWTH)
_OFFSET = -log(LOWEST) * _SCALE
#: A time is stored in whole microseconds, to the nearest: what rounds up belongs to the next span.
_HALF_A_MICROSECOND = 5e-7


class Tally(NamedTuple):
    """Rows to be added to the tables of sums, in the order of their columns."""

    deployments: list[tuple[Any, ...]]
    latencies: list[tuple[Any, ...]]
    keys: list[tuple[Any, ...]]


def tally(times: Sequence[float], rows: Sequence[tuple[Any, ...]]) -> Tally:
    """What `rows`, which were created at `times`, add to the sums."""
    groups: dict[tuple[int, str, str], list[tuple[Any, ...]]] = {}
    keys: dict[tuple[str, int], Any] = {}
    for at, row in zip(times, rows, strict=True):
        second = int(at + _HALF_A_MICROSECOND)
        deployment = (second - second % FINE, row[_PROVIDER] or "", row[_MODEL] or "")
        if deployment in groups:
            groups[deployment].append(row)
        else:
            groups[deployment] = [row]
        key = (row[_KEY], second - second % HOUR)
        keys[key] = keys.get(key, 0) + row[_COST]
    latencies: dict[tuple[int, str, int], int] = {}
    for (start, _, _), group in groups.items():
        good = [row for row in group if row[_OUTCOME] == "ok"]
        _count(latencies, start, DURATION, [*map(_duration, good)])
        _count(latencies, start, TTFT, [ttft for row in good if (ttft := row[_TTFT]) is not None])
    return Tally(
        _spans_of_sums({deployment: _summed(group) for deployment, group in groups.items()}),
        _spans_of_counts(latencies),
        sorted((*key, cost) for key, cost in keys.items()),
    )


def postgres_adds(identities: Sequence[str]) -> str:
    """The statement with which PostgreSQL adds the rows of these ids to the sums.

    Without parameters, so that it can be sent in one message with the COMMIT.
    """
    quoted = ",".join([f'"{one}"' for one in map(_escaped, identities)])
    return _POSTGRES.replace("{ids}", f"E'{{{_escaped_again(quoted)}}}'", 1)


def bin_of(seconds: float) -> int:
    """The number of the bin that counts a latency; 0 for what is no time at all."""
    if not seconds > LOWEST:
        return 0
    return ceil(log(seconds if seconds < HIGHEST else HIGHEST) * _SCALE + _OFFSET)


def seconds_of(number: int) -> float:
    """The latency a bin stands for."""
    return LOWEST * GROWTH ** (number - 0.5) if number > 0 else LOWEST


def _summed(group: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The sums of rows, in the order of the table's columns. Column by column, which takes half the time."""
    outcomes = [*map(_outcome, group)]
    caches = [*map(_cache, group)]
    return [
        len(group),
        outcomes.count("error"),
        outcomes.count("cancelled"),
        sum(map(caches.count, CACHED)),
        sum(_bounded([*map(_input, group)])),
        sum(_bounded([*map(_output, group)])),
        sum(map(_cost, group)),
    ]


def _count(latencies: dict[tuple[int, str, int], int], start: int, metric: str, found: Sequence[float]) -> None:
    # `bin_of`, spelled out for the usual: two calls per row would cost as much as everything else here.
    bins = [ceil(log(x) * _SCALE + _OFFSET) if LOWEST < x < HIGHEST else bin_of(x) for x in found]
    for number, count in Counter(bins).items():
        place = (start, metric, number)
        latencies[place] = latencies.get(place, 0) + count


def _bounded(tokens: list[int]) -> list[int]:
    return tokens if max(tokens) <= MOST_TOKENS else [min(one, MOST_TOKENS) for one in tokens]


def _spans_of_sums(fine: dict[tuple[int, str, str], list[Any]]) -> list[tuple[Any, ...]]:
    days: dict[tuple[int, str, str], list[Any]] = {}
    for (start, provider, model), sums in fine.items():
        day = (start - start % DAY, provider, model)
        known = days.get(day)
        days[day] = sums if known is None else [a + b for a, b in zip(known, sums, strict=True)]
    return sorted([(FINE, *k, *v) for k, v in fine.items()] + [(DAY, *k, *v) for k, v in days.items()])


def _spans_of_counts(fine: dict[tuple[int, str, int], int]) -> list[tuple[Any, ...]]:
    days: dict[tuple[int, str, int], int] = {}
    for (start, metric, number), count in fine.items():
        day = (start - start % DAY, metric, number)
        days[day] = days.get(day, 0) + count
    return sorted([(FINE, *k, v) for k, v in fine.items()] + [(DAY, *k, v) for k, v in days.items()])


def _escaped(element: str) -> str:
    """Within the double quotes of an array's element."""
    return element.replace("\\", "\\\\").replace('"', '\\"')


def _escaped_again(literal: str) -> str:
    """Within E'…', which reads alike whatever the server's settings are."""
    return literal.replace("\\", "\\\\").replace("'", "\\'")


#: Rows are added in the order of their keys: writers that lock the same rows in the same order never wait in a circle.
_POSTGRES = f"""
WITH new AS MATERIALIZED (
    SELECT floor(extract(epoch FROM created_at))::bigint AS second, coalesce(provider, '') AS provider,
        coalesce(model, '') AS model, key_name, outcome, cache, cost_usd, duration_s, ttft_s,
        least(input_tokens, {MOST_TOKENS}) AS input_tokens, least(output_tokens, {MOST_TOKENS}) AS output_tokens
    FROM exchanges WHERE id = ANY({{ids}}::text[])
), spans AS (VALUES ({FINE}), ({DAY})), sums AS (
    INSERT INTO exchange_sums AS s
    SELECT column1, second / column1 * column1, provider, model, count(*),
        count(*) FILTER (WHERE outcome = 'error'), count(*) FILTER (WHERE outcome = 'cancelled'),
        count(*) FILTER (WHERE cache IN {CACHED}), sum(input_tokens), sum(output_tokens), sum(cost_usd)
    FROM new CROSS JOIN spans GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (span, start, provider, model) DO UPDATE SET
        requests = s.requests + excluded.requests, errors = s.errors + excluded.errors,
        cancelled = s.cancelled + excluded.cancelled, cached = s.cached + excluded.cached,
        input_tokens = s.input_tokens + excluded.input_tokens,
        output_tokens = s.output_tokens + excluded.output_tokens, cost_usd = s.cost_usd + excluded.cost_usd
), good AS (
    SELECT second / {FINE} * {FINE} AS second, metric, CASE
        WHEN x > {LOWEST} AND x <> 'NaN' THEN ceil(ln(least(x, {HIGHEST})) * {_SCALE}::float8 + {_OFFSET}::float8)::int
        ELSE 0 END AS bin, count(*) AS requests
    FROM (
        SELECT second, '{DURATION}' AS metric, duration_s AS x FROM new WHERE outcome = 'ok'
        UNION ALL SELECT second, '{TTFT}', ttft_s FROM new WHERE outcome = 'ok' AND ttft_s IS NOT NULL
    ) AS found GROUP BY 1, 2, 3
), latencies AS (
    INSERT INTO exchange_latencies AS s
    SELECT column1, second / column1 * column1, metric, bin, sum(requests)
    FROM good CROSS JOIN spans GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (span, start, metric, bin) DO UPDATE SET requests = s.requests + excluded.requests
)
INSERT INTO key_sums AS s
SELECT key_name, second / {HOUR} * {HOUR}, sum(cost_usd) FROM new GROUP BY 1, 2 ORDER BY 1, 2
ON CONFLICT (key_name, start) DO UPDATE SET cost_usd = s.cost_usd + excluded.cost_usd"""


def _at(name: str) -> int:
    return ExchangeRecord.__struct_fields__.index(name)


_PROVIDER, _MODEL, _KEY, _OUTCOME = _at("provider"), _at("model"), _at("key_name"), _at("outcome")
_TTFT, _COST = _at("ttft_s"), _at("cost_usd")
_outcome, _cache, _cost = itemgetter(_OUTCOME), itemgetter(_at("cache")), itemgetter(_COST)
_duration = itemgetter(_at("duration_s"))
_input, _output = itemgetter(_at("input_tokens")), itemgetter(_at("output_tokens"))
