"""Where the modules of this package come from: their sources, or what was compiled of exactly these sources.

Choosing is arithmetic, and mypyc makes machine code of the very modules that stand here (`hatch_build.py`): half the
time of a choice, a third of what an attempt's books take, to the same last bit. Nothing needs it: without a
compiler, on another interpreter, or as soon as a line of a source changes, the sources are read as ever. That the two
cannot part is what the stamp is for; an extension module beside its source would be loaded in its place for good, and
whoever edits the source would wonder.
"""

from __future__ import annotations

import sys
from collections.abc import MutableSequence
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

FOLDER = "compiled"
"""Beside the sources; extension modules, and the stamp."""
STAMP = "sources.sha256"


def stamp(package: Path) -> str:
    """Of the interpreter, and of all sources by name and content: for others, what was compiled is of no use."""
    digest = sha256(EXTENSION_SUFFIXES[0].encode())
    for source in sorted(package.glob("*.py")):
        content = source.read_bytes()
        digest.update(f"{source.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def is_fresh(package: Path) -> bool:
    """Whether what is compiled there is of the sources that are there."""
    try:
        return (package / FOLDER / STAMP).read_text() == stamp(package)
    except FileNotFoundError:
        return False


def prefer_compiled(path: MutableSequence[str]) -> None:
    """Put what was compiled of these sources first in the package's `__path__`; what was compiled of others is left."""
    package = Path(path[0])
    if is_fresh(package):
        path.insert(0, str(package / FOLDER))


def is_compiled() -> bool:
    """Whether this process runs what was compiled."""
    module = sys.modules["dwa.deployment"]
    return not (module.__file__ or "").endswith(".py")
