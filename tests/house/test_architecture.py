"""The house rules, as tests. A red test here is a design review, not a lint error."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest


def _declared(project: Path, extra: str | None = None) -> set[str]:
    """The distributions that a pyproject.toml names, as dependencies or as an extra of this name."""
    about = tomllib.loads(project.read_text())["project"]
    names = about["dependencies"] if extra is None else about["optional-dependencies"][extra]
    return {re.split(r"[^\w.-]", one)[0].lower().replace("_", "-") for one in names}


ROOT = Path(__file__).parents[2]
HOUSE = ("gateway", "dwa", "providers", "cache", "migrations", "client")
MAY_IMPORT = {
    "gateway": {"dwa", "providers", "cache", "migrations"},
    "dwa": set[str](),
    "providers": set[str](),
    "cache": set[str](),
    "migrations": {"gateway"},
    "client": set[str](),
}
#: Third party → its doors: a file, or a folder with a slash at its end.
DOORS = {
    "httptools": ("providers/http/connection.py",),
    "aiohappyeyeballs": ("providers/http/dialing.py",),
    "redis": ("cache/redis.py",),
    "re2": ("gateway/guardrails/regexes.py",),
    "jsonschema_rs": ("gateway/schemas.py",),
    "jwt": ("gateway/governance/tokens.py",),
    "jinja2": ("gateway/workflows/templates/",),
    "croniter": ("gateway/workflows/ticks.py",),
    "mcp": ("gateway/mcp/connection.py",),
    "httpx2": ("gateway/mcp/connection.py", "gateway/mcp/guarding.py", "client/steelyard_client/client.py"),
    "dbos": ("gateway/workflows/engine.py",),
    "litestar": ("gateway/app.py", "gateway/api/"),
    "sqlalchemy": ("gateway/store/", "migrations/"),
    "asyncpg": ("gateway/store/",),
    "alembic": ("gateway/store/", "migrations/"),
    "prometheus_client": ("gateway/metrics/registry.py",),
    "uvicorn": ("gateway/server.py", "gateway/connected.py", "gateway/cycle.py", "providers/simulator/server.py"),
    "rich_click": ("gateway/cli/",),
    "rich": ("gateway/cli/",),
    "yaml": ("gateway/settings/", "gateway/cli/"),
    "dotenv": ("gateway/settings/",),
    "opentelemetry": ("gateway/tracing/sending.py",),
    "PIL": ("gateway/cli/raster.py",),
}
#: What is loaded only where it is asked for, and comes with an extra.
EXTRAS = {
    "gateway/tracing/sending.py": _declared(ROOT / "pyproject.toml", "otel"),
    "gateway/cli/raster.py": _declared(ROOT / "pyproject.toml", "plot"),
}
#: Import name → the distributions it comes from, and those that are installed with the package.
SOURCES = packages_distributions()
DECLARED = _declared(ROOT / "pyproject.toml")
#: The client is installed alone: it may import what it names itself, and its own package.
CLIENTS = _declared(ROOT / "client" / "pyproject.toml")
#: Inside the gateway: who may not import whom.
LAYERS = {
    "gateway/api/": ("gateway.store", "providers.transport", "gateway.cli"),
    "gateway/store/": ("gateway.api", "gateway.pipeline", "gateway.cli", "providers"),
    "gateway/settings/": ("gateway.api", "gateway.pipeline", "gateway.store", "gateway.cli"),
    "gateway/pipeline.py": ("gateway.api", "gateway.store", "litestar", "sqlalchemy"),
    "gateway/failover.py": ("gateway.api", "gateway.store", "litestar", "sqlalchemy"),
}
#: Composed names and generated text are long for good reasons; nothing else is.
LONGEST_FILE, LONGEST_FUNCTION = 400, 60
#: Words that say nothing about what a thing is.
BANNED = re.compile(r"(?i)(manager|helper|utils?|common|misc)$")
MODULES = sorted(path for top in HOUSE for path in (ROOT / top).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "client" else parts  # a folder; the package is in it
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def runtime_imports(tree: ast.Module) -> Iterator[str]:
    """Imports that run when the module is loaded: those under TYPE_CHECKING make no cycle."""
    body = [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))]
    yield from imports(ast.Module(body, []))


every_module = pytest.mark.parametrize("path", MODULES, ids=relative)


@every_module
def test_imports_point_inward(path: Path) -> None:
    here = relative(path)
    top = here.partition("/")[0]
    for name in imports(parsed(path)):
        other = name.partition(".")[0]
        if other in HOUSE and other != top:
            assert other in MAY_IMPORT[top], f"{here} may not import {name}"
        if other in DOORS:
            doors = DOORS[other]
            assert any(here == door or (door.endswith("/") and here.startswith(door)) for door in doors), (
                f"{here} imports {other}, whose only doors are {doors}"
            )


@every_module
def test_what_is_imported_comes_with_the_package(path: Path) -> None:
    """Tests have more at hand: aiohttp, say, which a fresh installation has not."""
    alone = relative(path).startswith("client/")
    own, named = ({"steelyard_client"}, CLIENTS) if alone else ({*HOUSE}, DECLARED | EXTRAS.get(relative(path), set()))
    for name in {name.partition(".")[0] for name in imports(parsed(path))} - {*own, *sys.stdlib_module_names}:
        sources = {one.lower().replace("_", "-") for one in SOURCES.get(name, ())}
        assert sources & named, f"{relative(path)} imports {name}, which pyproject.toml does not name"


@every_module
def test_layers_of_the_gateway_hold(path: Path) -> None:
    here = relative(path)
    for place, forbidden in LAYERS.items():
        if here.startswith(place):
            for name in imports(parsed(path)):
                assert not name.startswith(forbidden), f"{here} may not import {name}"


def test_dwa_knows_the_standard_library_only() -> None:
    for path in (ROOT / "dwa").rglob("*.py"):
        for name in imports(parsed(path)):
            top = name.partition(".")[0]
            assert top in sys.stdlib_module_names or top == "dwa", f"{relative(path)} imports {name}"


@every_module
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LONGEST_FILE
    if "versions" in path.parts:
        return  # a migration's step is one list of columns, whatever its length
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, f"{node.name} is too long"


@every_module
def test_imports_stand_at_the_top(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for inner in ast.walk(node):
                assert not isinstance(inner, (ast.Import, ast.ImportFrom)), f"{node.name} imports inside"


@every_module
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(parsed(path)), f"{relative(path)} has no docstring"


@every_module
def test_the_environment_has_one_door(path: Path) -> None:
    if not relative(path).startswith("gateway/settings/"):
        text = path.read_text()
        assert "os.environ" not in text
        assert "getenv" not in text


@every_module
def test_names_say_what_things_are(path: Path) -> None:
    names = [path.stem, *(node.name for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef))]
    assert not [name for name in names if BANNED.search(name)]


def _edges(path: Path, name: str, known: set[str]) -> set[str]:
    """The modules this one needs to be loaded; `from package import module` needs the module, not the package."""
    found = [one for one in runtime_imports(parsed(path)) if one in known and one != name]
    return {one for one in found if not (name.startswith(one) and any(other.startswith(one + ".") for other in found))}


def test_there_are_no_import_cycles() -> None:
    known = {module_name(path): path for path in MODULES}
    graph = {name: _edges(path, name, set(known)) for name, path in known.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join([*trail[trail.index(name) :], name])
        if name in done:
            return
        for other in sorted(graph[name]):
            visit(other, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_a_providers_name_stands_in_its_own_file_and_in_the_list() -> None:
    """Of those whose name is not also a dialect's: a dialect's name is its package's."""
    from providers import PROVIDERS
    from providers.dialects import DIALECTS

    for provider in PROVIDERS:
        if provider.name in DIALECTS:
            continue
        own = {f"providers/{provider.name}.py", "providers/__init__.py"}
        word = re.compile(rf"[\"']{provider.name}[\"']|\b{provider.name.upper()}\b")
        for path in MODULES:
            if relative(path) not in own and not relative(path).startswith("providers/simulator/"):
                code = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
                assert not word.search(_without_docstrings(code)), f"{relative(path)} names {provider.name}"


def _without_docstrings(code: str) -> str:
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
