"""The record of one exchange, as it is kept.

Law: a field of `ExchangeRecord` is a column of `exchanges`, by the same name and in the same order, up to `attempts`;
a field of `AttemptRecord` is a column of `attempts` behind `exchange_id`. So a row is the tuple of a struct, patched,
and a test holds the two lists together. Spilled records are read back by name: a field may be added with a default,
and none may change its meaning.

Times are Unix seconds, durations seconds (`overhead_ms` excepted, as in the header of that name), money is USD as a
float: exact to the tenth decimal the table keeps for any exchange below 100,000 USD.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import Struct, field

Json = dict[str, Any]


class AttemptRecord(Struct, kw_only=True, omit_defaults=True):
    """One call of a deployment.

    `seq` counts from 0 within the exchange, `outcome` is `ok`, `cancelled` or the fault's kind, `started_s` counts from
    the exchange's beginning.
    """

    seq: int
    provider: str
    model: str
    outcome: str
    status: int | None = None
    code: str | None = None
    message: str | None = None
    started_s: float = 0.0
    seconds: float = 0.0
    ttft_s: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


class Charge(NamedTuple):
    """What a budget's account is charged with, in units of 10⁻¹⁰ USD; `holder` is the process that had leased it."""

    holder: str
    account: str
    start: int
    amount: int


class ExchangeRecord(Struct, omit_defaults=True):
    """One request and all that befell it.

    `id` is unique and sorts by time; writing the same id twice keeps the first. `outcome` is `ok`, `error` or
    `cancelled`; `cache` is `hit`, `miss`, `bypass` or `coalesced`; `decision` is the ranking as it was made, as
    `dwa.Ranking.record` keeps it. Bodies are kept only when given. `key_tags` and `charges` stand in no column: they
    are added to the books when the row is written (`posting`). One made on the request path is given its values in
    their order: so many by name take 18,000 instructions more, since Python makes a dictionary of them.
    """

    id: str
    created_at: float
    surface: str
    dialect: str
    requested_model: str
    tenant: str = ""
    key_name: str = ""
    route: str | None = None
    provider: str | None = None
    model: str | None = None
    strategy: str = ""
    objective: str = ""
    reason: str = ""
    status: int = 200
    outcome: str = "ok"
    error_type: str | None = None
    error_code: str | None = None
    error_source: str | None = None
    error_message: str | None = None
    stream: bool = False
    cache: str = "bypass"
    simulated: bool = False
    finish_reason: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float = 0.0
    duration_s: float = 0.0
    ttft_s: float | None = None
    overhead_ms: float = 0.0
    session_id: str | None = None
    end_user: str | None = None
    dropped_params: tuple[str, ...] = ()
    tags: Json | None = None
    decision: Json | None = None
    attempts: list[AttemptRecord] = field(default_factory=list[AttemptRecord])
    request_body: bytes | None = None
    response_body: bytes | None = None
    key_tags: tuple[str, ...] = ()
    charges: tuple[Charge, ...] = ()


class Poison(NamedTuple):
    """A record that no table or file takes, and the error that says why."""

    id: str
    error: Exception
