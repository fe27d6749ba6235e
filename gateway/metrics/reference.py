"""Every metric, told from the registry: `docs/metrics.md`.

Run `python -m gateway.metrics.reference > docs/metrics.md` after changing a metric; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from gateway.metrics import Metrics
from gateway.metrics.observing import MOST_MODELS, MOST_TAGS
from gateway.metrics.registry import Described

#: What the values of several workers make together, by the mode of a gauge.
_TOGETHER = {
    None: "sum",
    "livesum": "sum",
    "livemin": "least",
    "livemax": "greatest",
    "livemostrecent": "last set",
}
_HEAD = f"""\
# Metrics

<!-- Written by `python -m gateway.metrics.reference`. -->

`GET /metrics` tells them as Prometheus reads them, to keys with the scope `read`, or to everybody with
`STEELYARD_METRICS_PUBLIC=true`. Names and labels are stable: what is here is there in the next version too, or the
changelog says why not. OpenTelemetry's own names stand beside ours, spelled as its exporters spell them for
Prometheus.

**Labels** are few, and bounded by the configuration. `provider` and `model` are the configured names of a deployment,
`surface` is the address that was asked (`chat`, `messages`, `responses`, `orchestrate` …; `workflow`, `judge` and
`guardrail` are the gateway's own requests), everything else is a closed list or configured. Nothing that a caller
sends becomes a label. Three kinds of names come from without, and are bounded in each process: tags of keys (those in
the settings always, and of the others the first ones up to {MOST_TAGS} in all; the rest is `other`), the names by
which a deployment's answers call its model (the first {MOST_MODELS}; the rest is `_OTHER`), and the tools that an MCP
server tells of (the first hundred). An empty label is an absent one.

**Several workers** count together: any of them answers for all, and for those that have ended what they counted. What
their gauges make together is in the last column. Each worker refreshes its gauges, and its counts of rows of the log,
hits of the cache and openings of breakers, every two seconds: what another one tells of them may be as old, and one
that is killed takes the last ones along. A `steelyard worker` shows its own at the port of `--metrics-port`
(`STEELYARD_WORKER_METRICS_PORT`), under the same rule, and its health beside them.

**Calls and requests.** A request may take several calls of deployments. `outcome` of a request: `ok`, `error` or
`cancelled` (its caller left). `outcome` of a call: `ok`, `counted` (it told the tokens of a prompt), `cancelled`,
`hedged` (another was quicker), or what went wrong: `rejected`, `context_too_long`, `refused`, `misconfigured`,
`throttled`, `overloaded`, `timed_out`, `unreachable`, `garbled`, `misshapen`, `cut`. The same words are the `reason`
of a fallback, and the `error_type` of OpenTelemetry's durations, where `cancelled` and `hedged` calls are told as
well, so that the rest are whole ones.

**OpenTelemetry.** `gen_ai_operation_name` is `chat` for every conversation, whatever the surface and the provider's
own word for it, and for what guardrails ask; or `text_completion`, `embeddings`, `count_tokens`, `moderations`,
`images`, `speech`, `transcriptions`. `gen_ai_provider_name` is the configured name, or of a provider that Steelyard
knows the conventions' own (`gcp.gemini`, `x_ai`); `gen_ai_request_model` is the upstream's own name of the model. The
conventions are still in development: names, labels and buckets are those of November 2026. Not told are
`time_per_output_chunk`, which would be counted for every event of every stream, and names of workflows, of which
anybody may make thousands.
"""


def document() -> str:
    """The text of `docs/metrics.md`: a table for each section, in the order in which they are made."""
    sections: dict[str, list[Described]] = {}
    for one in Metrics().described:
        sections.setdefault(one.section, []).append(one)
    return "\n".join([_HEAD, *(f"## {section}\n\n{_table(rows)}" for section, rows in sections.items())])


def _table(rows: Iterable[Described]) -> str:
    lines = ["| Metric | Type | Labels | Meaning | Workers |", "| --- | --- | --- | --- | --- |"]
    for one in rows:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        lines.append(f"| `{one.name}` | {one.kind} | {labels} | {one.text} | {_TOGETHER[one.workers]} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
