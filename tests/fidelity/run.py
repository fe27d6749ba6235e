"""Every cell, run; and what becomes of them: a table, scores, and a line for the README."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fidelity import native, responses
from tests.fidelity.answering import COUNTS as TOKENS
from tests.fidelity.answering import ENDS, THOUGHTS, TOLD
from tests.fidelity.asking import BOUNDS, SAMPLING, TERMS, THINKING
from tests.fidelity.cells import Cell, Feature, decide
from tests.fidelity.fine import CALLING, CONVERSING, ENDING, REASONING, SHAPING
from tests.fidelity.searching import SEARCHES
from tests.fidelity.talking import MEDIA, TOOLS, TURNS
from tests.fidelity.wire import DIALECTS, INGRESSES
from tests.fidelity.world import world

ROOT = Path(__file__).parents[2]
PAGE, README = ROOT / "docs" / "fidelity.md", ROOT / "README.md"
_WRITTEN: Mapping[str, Sequence[Feature]] = {
    "Conversation": TURNS,
    "Media": MEDIA,
    "Tools": TOOLS,
    "Searches of the web": SEARCHES,
    "Order, emptiness, numbers": [*CONVERSING, *CALLING],
    "Thinking, asked for": THINKING,
    "Thinking, answered": [*THOUGHTS, *REASONING],
    "Sampling": SAMPLING,
    "Bounds and shapes": BOUNDS,
    "Terms": [*TERMS, *SHAPING],
    "Ends": [*ENDS, *ENDING],
    "Counts": TOKENS,
    "What else an answer tells": TOLD,
}
_NATIVE = native.words(feature for group in _WRITTEN.values() for feature in group)
GROUPS = {
    title: [_NATIVE.added(responses.WORDS.added(feature)) for feature in group] for title, group in _WRITTEN.items()
}
FEATURES = [feature for group in GROUPS.values() for feature in group]
_CALLERS = {
    "openai": "Chat Completions",
    "responses": "Responses",
    "anthropic": "Messages",
    "gemini": "generateContent",
    "orchestrate": "orchestrate",
}
_PROVIDERS = {"openai": "OpenAI", "anthropic": "Anthropic", "gemini": "Gemini"}
_TOLD_OF = {
    "openai": "`/v1/chat/completions`, OpenAI's",
    "responses": "`/v1/responses`, OpenAI's; in OpenAI's column translated to Chat Completions, as for servers that "
    "have no more. To those that have this API itself requests go in its own form",
    "anthropic": "`/v1/messages`, Anthropic's",
    "gemini": "`/v1beta/models/{model}:generateContent` and `:streamGenerateContent`, Google's",
    "orchestrate": "`/api/llm/orchestrate`, Steelyard's own, whose messages are OpenAI's",
}
PAIRS = [(ingress, provider) for ingress in INGRESSES for provider in DIALECTS]
#: The line of the README; `make fidelity` puts the measured one in its place.
_LINE = re.compile(r"^\*\*Fidelity\*\*: .*$", re.MULTILINE)
_INTRODUCTION = """\
# Fidelity

What arrives when a caller of one format is answered by a provider of another: every ingress × provider × feature, whole
and streamed. Written by `make fidelity`, and checked by `make test` against a run of its own: nothing here was put down
by hand but the reasons.

Each cell is decided by execution. A request in the caller's wire format goes through the whole gateway, whose
transport alone is replaced by one that plays a provider: it keeps what it is sent and answers in the provider's own
format. Probes, written once for each format, look for the meaning in what was sent and in what the caller got, and what
was sent must pass the strict reader of the simulator for that provider. That the suite can fail is tested, too: the
probes find nothing in a plain request and a plain answer, and of two sabotaged gateways, one that carries nothing and
one that refuses everything, no cell is kept.

- **exact**: one format on both sides; question (but for the model's name) and answer went through byte for byte.
- **equivalent**: other bytes, the same meaning, there and back.
- **refused**: a 400 that names provider and field, in the caller's own words (below); with
  `X-Steelyard-Drop-Params: true` an answer, and the same names in `x-steelyard-dropped-params`. Another translation
  could do better.
- **impossible**: one of the two formats has no way to say it, for the reason given. What a provider's cannot say is
  refused in the same way, what a caller's cannot ask is never asked, and what a caller's cannot be told is left out of
  the answer, or is an error where the answer would be another without it.
- **lost**: anything else. A lost cell fails the suite; there is none.

Where a streamed answer fares otherwise than a whole one, the cell says `whole / streamed`.
"""


@dataclass(frozen=True)
class Score:
    """The verdicts of some cells, counted."""

    counts: Counter[str]

    @property
    def cells(self) -> int:
        return self.counts.total()

    @property
    def percent(self) -> str:
        """(exact + equivalent) / (all - impossible), never rounded up."""
        said = self.counts["exact"] + self.counts["equivalent"]
        sayable = self.cells - self.counts["impossible"]
        return f"{said * 1000 // sayable / 10:.1f} %" if sayable else "none can be said"


async def every_cell(folder: Path, features: Iterable[Feature] = FEATURES) -> list[Cell]:
    """Run them all, in one gateway with its files in `folder`."""
    async with world(folder) as running:
        return [
            await decide(running, feature, ingress, provider, stream)
            for feature in features
            for ingress, provider in PAIRS
            for stream in (False, True)
        ]


def score(cells: Iterable[Cell]) -> Score:
    """Count the verdicts."""
    return Score(Counter(cell.verdict for cell in cells))


def line(cells: Sequence[Cell]) -> str:
    """What the README says."""
    told = score(cells)
    counts = told.counts
    return (
        f"**Fidelity**: of {told.cells:,} cells (ingress × provider × feature, whole and streamed) "
        f"{counts['exact']} are exact, {counts['equivalent']} equivalent, {counts['refused']} refused by name, "
        f"{counts['impossible']} impossible, {counts['lost']} lost: {told.percent} of what can be said "
        "([docs/fidelity.md](docs/fidelity.md))."
    )


class _Notes:
    """Footnotes: each text once, by number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        if not text:
            return ""
        if text not in self.texts:
            self.texts.append(text)
        return f" [{self.texts.index(text) + 1}]"


def page(cells: Sequence[Cell]) -> str:
    """The whole of `docs/fidelity.md`."""
    notes = _Notes()
    by_place = {(cell.feature, cell.ingress, cell.provider, cell.stream): cell for cell in cells}
    written = [_INTRODUCTION, "## Score\n", _scores(cells)]
    for ingress in INGRESSES:
        rows = [["", *_PROVIDERS.values()]]
        for title, features in GROUPS.items():
            rows.append([f"**{title}**", *("" for _ in DIALECTS)])
            rows += [
                [feature.name, *(_told(by_place, feature.name, ingress, provider, notes) for provider in DIALECTS)]
                for feature in features
            ]
        written += [f"## Callers of {_CALLERS[ingress]}\n", f"{_TOLD_OF[ingress]}.\n", _table(rows)]
    written += ["## Reasons and notes\n", "\n".join(f"{at}. {text}" for at, text in enumerate(notes.texts, 1)) + "\n"]
    return "\n".join(written)


def rewritten(readme: str, cells: Sequence[Cell]) -> str:
    """The README with the measured line in its place."""
    return _LINE.sub(lambda _: line(cells), readme)


def _scores(cells: Sequence[Cell]) -> str:
    rows = [["caller → provider", "score", "exact", "equivalent", "refused", "impossible", "lost", "cells"]]
    for ingress, provider in PAIRS:
        some = score(cell for cell in cells if (cell.ingress, cell.provider) == (ingress, provider))
        rows.append(_row(f"{_CALLERS[ingress]} → {_PROVIDERS[provider]}", some))
    rows.append(_row("**all**", score(cells)))
    said = "The score is (exact + equivalent) / (all - impossible), rounded down.\n\n"
    return said + _table(rows)


def _row(title: str, told: Score) -> list[str]:
    verdicts = ("exact", "equivalent", "refused", "impossible", "lost")
    return [title, told.percent, *(str(told.counts[verdict]) for verdict in verdicts), str(told.cells)]


def _told(
    cells: Mapping[tuple[str, str, str, bool], Cell], name: str, ingress: str, provider: str, notes: _Notes
) -> str:
    whole, streamed = (cells[name, ingress, provider, stream] for stream in (False, True))
    told = [cell.verdict + notes.mark(cell.why) for cell in (whole, streamed)]
    return told[0] if told[0] == told[1] else " / ".join(told)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *rest = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *rest]) + "\n"
