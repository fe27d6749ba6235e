"""`make fidelity`: run every cell, then write `docs/fidelity.md` and the README's line. Fails when a cell is lost."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.fidelity.run import PAGE, README, every_cell, line, page, rewritten


def main() -> int:
    """Run, write, and say what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        cells = asyncio.run(every_cell(Path(folder)))
    lost = [cell for cell in cells if cell.verdict == "lost"]
    for cell in lost:
        way = "streamed" if cell.stream else "whole"
        print(f"lost: {cell.feature}, {cell.ingress} → {cell.provider}, {way}: {cell.why}", file=sys.stderr)
    if lost:
        return 1
    PAGE.write_text(page(cells))
    README.write_text(rewritten(README.read_text(), cells))
    print(line(cells))
    return 0


if __name__ == "__main__":
    sys.exit(main())
