"""`python -m docsite`: build the site into `.site/html`, strictly, and check it; `--serve` shows it on this machine.

`--pictures` draws the pictures of `docs/pictures` anew, which takes the simulator a minute.
"""

from __future__ import annotations

import argparse
import functools
import re
import subprocess
import sys
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from docsite.checking import problems
from docsite.composing import ROOT, compose
from docsite.moving import LostLink
from docsite.pictures import draw_all

SITE = ROOT / ".site"


def build(site: Path) -> list[str]:
    """Compose, build and check; what is wrong."""
    try:
        compose(site)
    except LostLink as exc:
        return [str(exc)]
    zensical = Path(sys.executable).with_name("zensical")
    done = subprocess.run(
        [str(zensical), "build", "--strict", "--clean"], cwd=site, capture_output=True, text=True, check=False
    )
    if done.returncode or "Warning" in done.stdout + done.stderr:
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
        return [said.partition("Traceback")[0]]
    return problems(site / "html")


def main() -> int:
    """Build, and say what came of it."""
    parser = argparse.ArgumentParser(prog="make docs", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="show it afterwards")
    parser.add_argument("--port", type=int, default=8080, help="on this port [8080]")
    parser.add_argument("--pictures", action="store_true", help="draw the pictures anew, and build nothing")
    chosen = parser.parse_args()
    if chosen.pictures:
        draw_all(ROOT / "docs" / "pictures")
        return 0
    begun = time.monotonic()
    if wrong := build(SITE):
        print("\n".join(wrong), file=sys.stderr)
        return 1
    pages = sum(1 for _ in (SITE / "html").rglob("*.html"))
    print(f"{pages} pages in {time.monotonic() - begun:.1f} s: .site/html/index.html")
    if chosen.serve:
        handler = functools.partial(SimpleHTTPRequestHandler, directory=SITE / "html")
        print(f"http://localhost:{chosen.port}/ (Ctrl-C ends it; `make docs` in another terminal builds anew)")
        with ThreadingHTTPServer(("127.0.0.1", chosen.port), handler) as server:
            server.serve_forever()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
