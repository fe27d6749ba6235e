"""`make lock`: what pip would install, by hash, from its report; see SECURITY.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path

HEAD = "# Exact versions by hash, for CPython 3.11 on Linux x86-64 (see SECURITY.md). Written by `make lock`."


def locked(report: dict[str, object]) -> str:
    """The lines of a lock. What has no archive, which is we ourselves, is left out."""
    lines: list[str] = []
    installed = report["install"]
    assert isinstance(installed, list)
    for one in installed:
        archive = one["download_info"].get("archive_info")
        if archive is not None:
            named = one["metadata"]
            lines.append(f"{named['name']}=={named['version']} --hash=sha256:{archive['hashes']['sha256']}")
    return "\n".join([HEAD, *sorted(lines, key=str.lower)]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(locked(json.loads(Path(sys.argv[1]).read_text())))
