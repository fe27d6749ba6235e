"""What became of a request, in plain English: who failed how, who answered after how long, or why nobody was asked.

It continues the sentence about the decision (`dwa.sentence`). Law: only what the record says; times are each attempt's
own, in the order in which they began.
"""

from collections.abc import Mapping, Sequence

from dwa.wording import listed, money, seconds
from gateway.api.answers.records import AttemptAnswer
from gateway.records import ExchangeRecord

#: The kinds of `providers.errors`, as what the provider did. Another kind is told by its name.
_DID: Mapping[str, str] = {
    "rejected": "rejected the request as invalid",
    "context_too_long": "could not fit the request into its context window",
    "refused": "refused the request by its content policy",
    "misconfigured": "did not accept this gateway's key, model name or account",
    "throttled": "asked for fewer requests",
    "overloaded": "could not serve the request",
    "timed_out": "did not answer in time",
    "unreachable": "could not be reached",
    "garbled": "gave an answer that is not in its format",
    "misshapen": "gave an answer that does not follow the schema",
    "cut": "broke off its answer",
    "cancelled": "was given up",
    "hedged": "was outrun by another",
}


def became(record: ExchangeRecord, attempts: Sequence[AttemptAnswer]) -> str:
    """The rest of the story of a request: some sentences, never none."""
    return f"{_answered(record, attempts)} {_ended(record)}"


def _answered(record: ExchangeRecord, attempts: Sequence[AttemptAnswer]) -> str:
    if record.cache == "hit":
        return f"Nobody was asked: the answer was in the cache, from {record.provider}/{record.model}."
    if record.cache == "coalesced":
        return (
            "The same question was already being asked for another request; this one waited for that answer and shares "
            "its fate."
        )
    if not attempts:
        return "Nobody was asked."
    clauses = [_clause(one) for one in sorted(attempts, key=lambda one: one.started_s)]
    return f"{listed([clauses[0], *(f'then {clause}' for clause in clauses[1:])])}."


def _clause(attempt: AttemptAnswer) -> str:
    key, took = f"{attempt.provider}/{attempt.model}", seconds(attempt.seconds)
    if attempt.outcome == "ok":
        if attempt.ttft_s is None:
            return f"{key} answered after {took}"
        return f"{key} began to answer after {seconds(attempt.ttft_s)} and was done after {took}"
    did = _DID.get(attempt.outcome, f"failed ({attempt.outcome})")
    status = f" (HTTP {attempt.status})" if attempt.status is not None else ""
    return f"{key} {did}{status} after {took}"


def _ended(record: ExchangeRecord) -> str:
    took = seconds(record.duration_s)
    cost = money(record.cost_usd) if record.cost_usd else "nothing"
    if record.outcome == "ok":
        return f"In all it took {took} and cost {cost}."
    bill = f", at a cost of {cost}" if record.cost_usd else ""
    if record.outcome == "cancelled":
        return f"The caller hung up after {took}{bill}."
    code = f" ({record.error_code})" if record.error_code else ""
    return f"The request failed with status {record.status}{code} after {took}{bill}."
