"""Compiles the DWA: `make native` for the sources that lie here, and a hook of hatchling for wheels that are asked to.

mypyc translates typed modules to C, and a C compiler those to extension modules. The sources stay as they are, plain
Python for whoever reads or changes them; nothing of this is needed to run. A wheel is compiled with

    HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 pip wheel --no-deps .

and pure without. An editable installation never is: `make native` does it there, and `dwa/native.py` sees to it that
what is compiled of older sources is not used.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import sysconfig
from contextlib import chdir, redirect_stderr, redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from mypyc.build import mypycify
from setuptools import Distribution

ROOT = Path(__file__).parent
INTERPRETED = {
    *("__init__", "native"),  # they decide what is loaded
    "balancer",  # the front: mostly calls, and callers may derive from it
    # values that are handed in and out: derived from, pickled, decoded, copied, none of which compiled classes bear
    *("candidate", "objective", "params", "decision", "stats"),
    # once a second, or when somebody asks
    *("folding", "report", "sentence", "sharing", "snapshot", "wording"),
}
#: Without contraction of a*b+c the same seed makes the same choices, compiled or not; a new compiler's warnings stop
#: nobody.
FLAGS = ["-ffp-contract=off", "-Wno-error"]


class NotPossibleError(Exception):
    """This machine cannot compile; the text says what it lacks."""


def compiled(package: Path) -> Path:
    """Compile a package's sources into its folder; NotPossibleError where there is nothing to compile with.

    Raises RuntimeError with what mypyc said if it refuses the sources.
    """
    native = _native(package)
    _require_compiler()
    into = package / native.FOLDER
    with TemporaryDirectory() as scratch:
        copy = Path(scratch, package.name)
        copy.mkdir()
        for source in package.glob("*.py"):
            shutil.copy(source, copy)
        stamp = native.stamp(copy)  # of what is compiled, whatever is edited meanwhile
        with chdir(scratch):
            _build(copy)
        made = Path(scratch, "made", package.name)
        (made / native.STAMP).write_text(stamp)
        # At once, so that nobody loads one half of each.
        whole = Path(shutil.copytree(made, package / f"{native.FOLDER}.{os.getpid()}"))
        shutil.rmtree(into, ignore_errors=True)
        whole.rename(into)
    return into


def _build(copy: Path) -> None:
    """Translate and compile, in the current directory."""
    sources = [f"{copy.name}/{source.name}" for source in sorted(copy.glob("*.py")) if source.stem not in INTERPRETED]
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            extensions = mypycify(["--config-file=", *sources], opt_level="3", debug_level="0", group_name="dwa.core")
    except SystemExit as error:
        raise RuntimeError(f"mypyc refuses the sources:\n{said.getvalue()}") from error
    for extension in extensions:
        extension.extra_compile_args += FLAGS
    command = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = "made", "objects"
    command.ensure_finalized()
    command.run()


def _require_compiler() -> None:
    if sys.implementation.name != "cpython":
        raise NotPossibleError("mypyc makes extension modules for CPython only")
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "").split()
    if not compiler or shutil.which(compiler[0]) is None:
        raise NotPossibleError("there is no C compiler; install gcc or clang, or set CC")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        raise NotPossibleError("Python's headers are missing; Debian has them in python3-dev")


def _native(package: Path) -> ModuleType:
    """The package's own `native.py`, without the package: a build has not what the package needs."""
    spec = spec_from_file_location("native", package / "native.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class CompilingHook(BuildHookInterface[BuilderConfig]):
    """What hatchling calls when `HATCH_BUILD_HOOK_ENABLE_CUSTOM` is set."""

    def initialize(self, version: str, build_data: dict[str, object]) -> None:
        """Add what was compiled to the wheel, which is then for this interpreter and platform."""
        if version == "editable":
            return
        folder = compiled(Path(self.root, "dwa"))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"] = {str(folder): f"dwa/{folder.name}"}


def _is_older(stamp: Path) -> bool:
    """Whether it was compiled in another way, perhaps."""
    return stamp.stat().st_mtime < Path(__file__).stat().st_mtime


def main() -> None:
    """Compile for the sources that lie here, unless it was done."""
    package = ROOT / "dwa"
    native = _native(package)
    if native.is_fresh(package) and not _is_older(package / native.FOLDER / native.STAMP):
        return
    print("Compiling the DWA …", flush=True)
    try:
        compiled(package)
    except NotPossibleError as error:
        print(f"The DWA stays interpreted, which is slower and otherwise the same: {error}.")


if __name__ == "__main__":
    main()
