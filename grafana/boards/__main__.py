"""Write every board to grafana/dashboards."""

from __future__ import annotations

import json
from pathlib import Path

from grafana.boards import BOARDS

FOLDER = Path(__file__).parents[1] / "dashboards"


def written() -> dict[str, str]:
    """File name → its content."""
    return {f"{name}.json": json.dumps(board.drawn(), indent=2) + "\n" for name, board in BOARDS.items()}


if __name__ == "__main__":
    for file, text in written().items():
        (FOLDER / file).write_text(text)
