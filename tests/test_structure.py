"""The rules of the house, read from the sources: who imports whom, and what pipeline/ may name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from pipeline.sample import Facts
from stages.dedupe import Dedupe
from stages.split import Split
from stages.table import COMMANDS, STAGES

ROOT = Path(__file__).parent.parent
PIPELINE_ENTRY = "pipeline.__main__"  # the one place where the machinery meets the stages


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path
    for folder in ("pipeline", "stages")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imported(statement: ast.AST) -> Iterator[str]:
    """Our own modules that one statement imports."""
    names: list[str] = []
    if isinstance(statement, ast.Import):
        names = [alias.name for alias in statement.names]
    elif isinstance(statement, ast.ImportFrom) and statement.module:
        inner = [f"{statement.module}.{alias.name}" for alias in statement.names]
        names = [name if name in MODULES else statement.module for name in inner]
    yield from (name for name in names if name in MODULES)


def all_imports(module: str) -> set[str]:
    """What a module imports anywhere: at its top, in functions and for type checking."""
    return {name for node in ast.walk(tree(module)) for name in imported(node)} - {module}


def imports_at_start(module: str) -> set[str]:
    """What importing a module alone loads directly, its packages included."""
    parts = module.split(".")
    packages = {".".join(parts[:place]) for place in range(1, len(parts))} & MODULES.keys()
    statements = list(tree(module).body)
    for statement in statements:
        if isinstance(statement, ast.Try):
            statements += statement.body
    return packages | {name for statement in statements for name in imported(statement)}


def loaded_with(module: str) -> set[str]:
    """Every module of ours that is loaded when one is imported."""
    loaded: set[str] = set()
    waiting = {module}
    while waiting:
        loaded |= (now := waiting)
        waiting = {name for one in now for name in imports_at_start(one)} - loaded
    return loaded


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: all_imports(module) for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"an import circle: {' → '.join(error.args[1])}")


STAGE_MODULES = sorted({row.settings.__module__ for row in STAGES})
COMMAND_MODULES = {
    command.settings.__module__
    for command in COMMANDS
    if command.settings.__module__.startswith("stages.")
}


@pytest.mark.parametrize("stage", STAGE_MODULES)
def test_importing_a_stage_loads_no_other_stage_and_no_command(stage: str) -> None:
    others = {*STAGE_MODULES, *COMMAND_MODULES, "stages.table"} - {stage}
    assert loaded_with(stage) & others == set()


def test_pipeline_imports_stages_only_where_the_command_line_begins() -> None:
    for module in MODULES:
        if module.startswith("pipeline") and module != PIPELINE_ENTRY:
            assert not [name for name in all_imports(module) if name.startswith("stages")], module


def test_only_commands_know_a_context() -> None:
    knowing = {module for module in MODULES if "pipeline.context" in all_imports(module)}
    assert {
        module
        for module in knowing
        if module.startswith("stages.") and not module.startswith("stages.commands")
    } == set()


def names_in(module: str) -> Iterator[str]:
    """Identifiers and texts of a module, but for docstrings and the page of facts."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    waiting: list[ast.AST] = [tree(module)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ClassDef) and node.name == Facts.__name__:
            continue
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            children.remove(node.body[0])
        waiting += children
        for field in ("id", "attr", "arg", "name", "value"):
            if isinstance(text := getattr(node, field, None), str):
                yield text


def test_pipeline_names_no_face_no_recipe_and_no_region() -> None:
    domain = re.compile(r"face|lip(s|_)|mouth|recipe|region", re.IGNORECASE)
    named = {
        (module, name)
        for module in MODULES
        if module.startswith("pipeline") and module != PIPELINE_ENTRY
        for name in names_in(module)
        if domain.search(name)
    }
    assert named == set()


def test_every_fact_that_a_stage_adds_has_a_line_on_the_page_of_facts() -> None:
    added = {
        (module, keyword.arg)
        for module in MODULES
        if module.startswith("stages")
        for call in ast.walk(tree(module))
        if isinstance(call, ast.Call)
        and getattr(call.func, "attr", getattr(call.func, "id", ""))
        in ("with_facts", "with_image", "with_bytes", "Reject")
        for keyword in call.keywords
        if keyword.arg is not None
    }
    assert {(module, fact) for module, fact in added if fact not in Facts.__annotations__} == set()


def test_every_room_is_on_the_map() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = {path.parent for path in MODULES.values()}
    named = {ROOT / room for room in re.findall(r"^\| `([a-z_/]+)/`", text, re.MULTILINE)}
    assert named - {ROOT / "tests"} == rooms


WHOLE_SET = {
    Dedupe: ("dedupe.py", "likeness/pairs.py", "likeness/ranking.py"),
    Split: (
        "split.py",
        *(f"partition/{name}.py" for name in ("draw", "given", "groups", "remarks")),
    ),
}


@pytest.mark.parametrize("stage", WHOLE_SET)
def test_a_whole_set_stage_reads_only_the_facts_that_it_says_it_needs(
    stage: type[Dedupe] | type[Split],
) -> None:
    text = "".join((ROOT / "stages" / name).read_text() for name in WHOLE_SET[stage])
    read = set(re.findall(r'facts?(?:\[|\.get\()"(\w+)"', text))
    read |= set(re.findall(r'"(\w+)" in [\w.]*facts', text))
    own = {"group", "split"}  # added by these stages
    assert read - own == stage.needs - own
