"""`python -m tests.client`: write the client's types of answers anew from the gateway's OpenAPI document.

With the address of a JSON file from that document instead. Areas that the document does not have are left as they are.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from tests.client.writing import FOLDER, pages
from tests.serving import Serving, settings_in


def document() -> Any:
    """The document of the gateway of this tree."""
    if len(sys.argv) > 1:
        return json.loads(Path(sys.argv[1]).read_text())
    with (
        tempfile.TemporaryDirectory() as folder,
        Serving(settings_in(Path(folder))) as serving,
        urllib.request.urlopen(f"{serving.url}/openapi.json") as answer,
    ):
        return json.load(answer)


def main() -> None:
    """Write, then format."""
    written: list[str] = []
    for name, text in pages(document()).items():
        (FOLDER / name).write_text(text)
        written.append(str(FOLDER / name))
    ruff = Path(sys.executable).with_name("ruff")
    subprocess.run([ruff, "check", "--fix-only", "--quiet", *written], check=True)
    subprocess.run([ruff, "format", "--quiet", *written], check=True)


if __name__ == "__main__":
    main()
