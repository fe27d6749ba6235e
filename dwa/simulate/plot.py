"""Two panels as SVG, written by hand: who was chosen over time, and loss over time beside the oracle's and chance's.

Shares are of first choices per slice of time, whatever the policy: they can be seen for rivals as well, which keep no
weights. Losses are means per slice of arrival.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from dwa.simulate.physics import Row, World

WIDTH, PANEL, GAP, LEFT, TOP = 960, 220, 60, 60, 40
SLICES = 80
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0")


def draw(title: str, world: World, runs: Mapping[str, Sequence[Row]]) -> str:
    """An SVG document. The first of `runs` (policy → rows) is the one whose choices are shown."""
    seconds = world.seconds
    first = next(iter(runs))
    height = TOP + 2 * PANEL + 2 * GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="16">{escape(title)}</text>',
        *_shares(first, world, runs[first], TOP),
        *_losses(seconds, runs, TOP + PANEL + GAP),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _x(place: float) -> float:
    return LEFT + place * (WIDTH - LEFT - 150) / SLICES


def _slice(row: Row, seconds: float) -> int:
    return min(int(row.at / seconds * SLICES), SLICES - 1)


def _shares(policy: str, world: World, rows: Sequence[Row], top: int) -> list[str]:
    counts = [[0] * SLICES for _ in world.hosts]
    totals = [0] * SLICES
    for row in rows:
        place = _slice(row, world.seconds)
        totals[place] += 1
        if row.first >= 0:
            counts[row.first][place] += 1
    parts = [f'<text x="{LEFT}" y="{top + 12}">first choices of {escape(policy)}</text>']
    floor = [0.0] * SLICES
    for host, mine in enumerate(counts):
        ceiling = [low + count / (total or 1) for low, count, total in zip(floor, mine, totals, strict=True)]
        upper = [f"{_x(i + 0.5):.1f},{_height(share, 1.0, top):.1f}" for i, share in enumerate(ceiling)]
        lower = [f"{_x(i + 0.5):.1f},{_height(share, 1.0, top):.1f}" for i, share in enumerate(floor)]
        colour = COLOURS[host % len(COLOURS)]
        parts.append(f'<polygon points="{" ".join(upper + lower[::-1])}" fill="{colour}" fill-opacity="0.85"/>')
        parts.append(_legend(host, world.hosts[host].name, colour, top))
        floor = ceiling
    return parts + _axis(world.seconds, 1.0, top)


def _losses(seconds: float, runs: Mapping[str, Sequence[Row]], top: int) -> list[str]:
    curves = {policy: _means(rows, seconds) for policy, rows in runs.items()}
    known = sorted(value for curve in curves.values() for _, value in curve)
    most = known[int(0.99 * (len(known) - 1))] * 1.2 if known else 1.0
    parts = [f'<text x="{LEFT}" y="{top + 12}">mean loss per request</text>']
    for turn, (policy, curve) in enumerate(curves.items()):
        colour = COLOURS[turn % len(COLOURS)]
        points = " ".join(f"{_x(i + 0.5):.1f},{_height(min(value / most, 1.0), 1.0, top):.1f}" for i, value in curve)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(_legend(turn, policy, colour, top))
    return parts + _axis(seconds, most, top)


def _means(rows: Sequence[Row], seconds: float) -> list[tuple[int, float]]:
    totals, counts = [0.0] * SLICES, [0] * SLICES
    for row in rows:
        place = _slice(row, seconds)
        totals[place] += row.loss
        counts[place] += 1
    return [(i, total / count) for i, (total, count) in enumerate(zip(totals, counts, strict=True)) if count]


def _height(share: float, most: float, top: int) -> float:
    return top + 20 + (PANEL - 20) * (1.0 - share / most)


def _axis(seconds: float, most: float, top: int) -> list[str]:
    bottom, right = top + PANEL, _x(SLICES)
    parts = [
        f'<line x1="{LEFT}" y1="{bottom}" x2="{right:.1f}" y2="{bottom}" stroke="black"/>',
        f'<line x1="{LEFT}" y1="{top + 20}" x2="{LEFT}" y2="{bottom}" stroke="black"/>',
    ]
    for quarter in range(5):
        x, y = _x(SLICES * quarter / 4), _height(quarter / 4, 1.0, top)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{seconds * quarter / 4:g} s</text>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{most * quarter / 4:.2g}</text>')
    return parts


def _legend(turn: int, name: str, colour: str, top: int) -> str:
    x, y = WIDTH - 140, top + 30 + 16 * turn
    box = f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>'
    return f'{box}<text x="{x + 16}" y="{y}">{escape(name)}</text>'
