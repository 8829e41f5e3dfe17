"""The code is built as docs/architecture.md says: on floors that lead downward, and with nothing beside them."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import pytest

from batch_outputs.cli.app import cli

ROOT = Path(__file__).parents[1]
PACKAGE = "batch_outputs"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

ENTRANCES = ("", "__main__", "client.sync", "client.templates", "runner", "sync")
"""Where users and the system come in: the package, `python -m`, and what documents import besides."""

TOUCHING = {
    "asyncio",
    "ctypes",
    "http",
    "shutil",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
}
"""Modules of the standard library by which more is done than text and values made of others."""

ROW = re.compile(r"^\|(.+)\|$", re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
DOTTED = re.compile(r"[a-z]\w*(?:\.\w+)+")
WORD = re.compile(r"[a-z]\w*")


@dataclass(frozen=True)
class Import:
    """That one module needs another, which need not be one of ours; `at_once`: when it is loaded itself."""

    module: str
    other: str
    at_once: bool
    for_types: bool


def short(module: str) -> str:
    """A module's name without that of the package, which itself is ``."""
    return module.removeprefix(PACKAGE).removeprefix(".")


@cache
def sources() -> dict[str, Path]:
    """The files of all modules, by their names within the package."""
    found = {}
    for path in sorted((ROOT / "src" / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        found[short(".".join(parts[:-1] if parts[-1] == "__init__" else parts))] = path
    return found


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(sources()[module].read_text(encoding="utf-8"))


@cache
def imports() -> tuple[Import, ...]:
    """Every import of every module, wherever in it that stands."""
    return tuple(found for module in sources() for found in _imports(module, tree_of(module)))


def _imports(module: str, node: ast.AST, *, at_once: bool = True, for_types: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            for name in _imported(child):
                yield Import(module, name, at_once and not for_types, for_types)
            continue
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        is_for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        yield from _imports(module, child, at_once=at_once and not is_function, for_types=for_types or is_for_types)


def _imported(statement: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The modules that a statement loads: of ours the very module, of others the package."""
    if isinstance(statement, ast.Import):
        names = [alias.name for alias in statement.names]
    else:
        assert statement.level == 0, "modules are imported by their whole names"
        base = statement.module or ""
        names = [f"{base}.{alias.name}" for alias in statement.names]
    for name in names:
        if name.split(".")[0] != PACKAGE:
            yield name.split(".")[0]
        elif short(name) in sources():
            yield name
        else:
            yield name.rpartition(".")[0]


def ours() -> Iterator[tuple[str, str, Import]]:
    """Each import of ours: from which module, and which."""
    for found in imports():
        if found.other.split(".")[0] == PACKAGE:
            yield found.module, short(found.other), found


def table(*titles: str) -> list[list[str]]:
    """The rows of the table of the page with these titles."""
    lines = PAGE.splitlines()
    start = lines.index(f"| {' | '.join(titles)} |") + 2
    rows = []
    for line in lines[start:]:
        found = ROW.fullmatch(line)
        if found is None:
            break
        rows.append([cell.strip() for cell in found[1].split("|")])
        assert len(rows[-1]) == len(titles), line
    return rows


def listed(cell: str) -> list[str]:
    return [name.strip("` ") for name in re.split(r"[, ]+", cell) if name.strip("` ")]


FLOORS = {floor: listed(modules) for floor, modules, _ in table("Floor", "Modules", "May use")}
MAY_USE = {floor: {floor, *listed(others)} for floor, _, others in table("Floor", "Modules", "May use")}
OUTSIDE = table("Package", "Loaded with", "Loaded when needed by")


def floor_of(module: str) -> str:
    top = module.partition(".")[0]
    return next(floor for floor, modules in FLOORS.items() if top in modules)


def test_every_module_stands_on_one_floor() -> None:
    """The first table of the page names each module and package once, and none that does not exist."""
    told = [name for modules in FLOORS.values() for name in modules]
    assert len(told) == len(set(told))
    assert set(told) == {module.split(".")[0] for module in sources()} - {"", "__main__"}


def test_floors_lead_downward_only() -> None:
    """What a floor may use comes below it in the table, so that no two floors need each other."""
    order = list(FLOORS)
    for floor, others in MAY_USE.items():
        assert others <= set(order[order.index(floor) :]), floor


def test_modules_use_what_their_floor_may_use() -> None:
    """No import goes up, not in a function and not for a type checker either."""
    wrong = [
        f"{module} → {other}"
        for module, other, _ in ours()
        if module not in {"", "__main__"} and other and floor_of(other) not in MAY_USE[floor_of(module)]
    ]
    assert not wrong


def test_only_stores_know_which_stores_there_are() -> None:
    """All others know the protocol, and ask `stores` for a store."""
    inside = [
        f"{module} → {other}"
        for module, other, _ in ours()
        if other.startswith("stores.") and other != "stores.base" and not module.startswith("stores")
    ]
    assert not inside
    between = [
        f"{module} → {other}"
        for module, other, _ in ours()
        if {".".join(name.split(".")[:2]) for name in (module, other)} == {"stores.azure", "stores.directory"}
    ]
    assert not between


def test_no_two_modules_need_each_other() -> None:
    """There is no circle of imports, those in functions and for type checkers included."""
    needs: dict[str, set[str]] = {module: set() for module in sources()}
    for module, other, found in ours():
        # A package's own names, fetched when they are used, are a way in and no need.
        if module != other and not (found.for_types and sources()[module].name == "__init__.py"):
            needs[module].add(other)
    while free := [module for module, others in needs.items() if not others]:
        for module in free:
            del needs[module]
        for others in needs.values():
            others.difference_update(free)
    assert not needs, "these modules are in circles, or stand on some that are"


@pytest.mark.parametrize("module", FLOORS["rules"])
def test_rules_are_text_and_values(module: str) -> None:
    """The lowest floor opens no file and no connection, waits for nothing and starts nothing."""
    used = {found.other for found in imports() if found.module == module}
    assert not used & TOUCHING
    calls = [node.func for node in ast.walk(tree_of(module)) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id in {"open", "print", "input"}]


def test_packages_from_outside_are_loaded_where_the_page_says() -> None:
    """Each package that we depend on is loaded by those floors only, and in functions where it is not light enough."""
    at_once: dict[str, set[str]] = {}
    anywhere: dict[str, set[str]] = {}
    for packages, with_, later in OUTSIDE:
        for package in listed(packages):
            at_once[package] = set(listed(with_))
            anywhere[package] = at_once[package] | set(listed(later))
    seen = set()
    for found in imports():
        if found.for_types or found.other in sys.stdlib_module_names or found.other.split(".")[0] == PACKAGE:
            continue
        assert found.other in anywhere, f"{found.module} imports {found.other}, of which the page says nothing"
        floor = floor_of(found.module)
        assert floor in (at_once if found.at_once else anywhere)[found.other], f"{found.module} imports {found.other}"
        seen.add((found.other, floor))
    assert seen == {(package, floor) for package, floors in anywhere.items() for floor in floors}


def test_what_comes_before_the_program_is_light() -> None:
    """All that `run` needs up to the start of its program, and every command's options, load nothing heavy."""
    modules = [f"{PACKAGE}.{name}" for name in ("runner.plan", "runner.launch", "runner.program")]
    modules += [f"{PACKAGE}.{name}" for name in sources() if name.startswith("cli.") and name != "cli.wrapping"]
    heavy = {package for packages, *_ in OUTSIDE for package in listed(packages)} - {"click"} | {"asyncio", "ssl"}
    program = f"import sys, {', '.join(modules)}\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert f"{PACKAGE}.runner.launch" in loaded
    assert not heavy & set(loaded)


def test_every_module_says_in_its_first_line_what_it_is() -> None:
    """A module that cannot be explained in one sentence is two."""
    for module, path in sources().items():
        sentence, *rest = (ast.get_docstring(tree_of(module)) or "").split("\n")
        assert sentence.endswith("."), module
        assert not rest or not rest[0], module
        assert path.read_text(encoding="utf-8").startswith(f'"""{sentence}'), module


def test_every_module_can_be_reached() -> None:
    """Nothing lies in the package that no way in leads to."""
    leads_to: dict[str, set[str]] = {module: set() for module in sources()}
    for module, other, _ in ours():
        leads_to[module].add(other)
    # Commands are imported by their names when they are asked for.
    constants = [node.value for node in ast.walk(tree_of("cli.app")) if isinstance(node, ast.Constant)]
    names = {value for value in constants if isinstance(value, str)}
    leads_to["cli.app"] |= {f"cli.{name}" for name in names if f"cli.{name}" in sources()}
    reached: set[str] = set()
    waiting = [*ENTRANCES]
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += [*leads_to[module], *([module.rpartition(".")[0]] if "." in module else [])]
    assert reached == set(sources())


def test_what_the_page_names_exists() -> None:
    """Each module, class and function that the page names is there, and each path."""
    outside = {package for packages, *_ in OUTSIDE for package in listed(packages)}
    known = {*sources(), *FLOORS, *outside, *cli.list_commands(click.Context(cli))}
    for text in CODE.findall(PAGE):
        if "/" in text and " " not in text:
            assert (ROOT / text).exists() or (ROOT / "src" / PACKAGE / text).exists(), text
        elif DOTTED.fullmatch(text):
            resolve(text)
        elif WORD.fullmatch(text):
            assert text in known, text


def resolve(name: str) -> object:
    """What a dotted name stands for: the longest module that it begins with, and the way into that."""
    parts = name.split(".")
    length = next(end for end in range(len(parts), -1, -1) if ".".join(parts[:end]) in sources())
    found: object = importlib.import_module(".".join([PACKAGE, *parts[:length]]))
    for part in parts[length:]:
        found = getattr(found, part)
    return found
