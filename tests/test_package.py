"""The package as a whole: its public names, the direction of its imports, and how fast it starts."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import restorekit
from restorekit.settings import read_toml

PACKAGE = Path(restorekit.__file__).parent

FLOORS = [
    {"devices", "errors", "settings"},
    {"layers", "images", "losses", "metrics", "degradations", "diagnosis"},
    {"methods"},
    {"zoo", "data"},
    {"inference", "training", "evaluation", "export"},
    {"cli"},
    {"__main__"},
]
"""The rooms by floor: a room imports from its own floor or from below."""

OTHER_NAMES = {"PIL": "pillow", "cv2": "opencv_python_headless", "skimage": "scikit_image"}
"""Modules whose package has another name."""

IF_THERE = {"tensorflow"}
"""What is used only if the user has it anyway."""

HEAVY = ("torch", "cv2", "kornia", "onnxruntime", "numpy")


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


@cache
def rooms() -> list[str]:
    return sorted({p.relative_to(PACKAGE).parts[0].removesuffix(".py") for p in PACKAGE.rglob("*.py")} - {"__init__"})


@cache
def imported_rooms(room: str) -> list[tuple[Path, str]]:
    """Every room that a module of ``room`` imports, at its top or inside a function."""
    return list(_imports(room))


def _imports(room: str) -> Iterator[tuple[Path, str]]:
    path = PACKAGE / room
    for file in path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]:
        for name in imported_names(file):
            parts = name.split(".")
            if parts[0] == "restorekit" and len(parts) > 1 and parts[1] in rooms():
                yield file, parts[1]


@cache
def imported_names(file: Path) -> list[str]:
    """Every module or name that a file imports, with dots; also those it gives to ``import_module`` by name."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names += [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return names


def test_public_names_are_these_and_lead_somewhere() -> None:
    assert restorekit.__all__ == ["Restorer", "__version__", "evaluate", "list_models", "load_card", "restore"]
    for name in restorekit.__all__:
        assert name in dir(restorekit)
        assert getattr(restorekit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'restorer'"):
        _ = restorekit.restorer


def test_every_room_has_a_floor_and_imports_only_downward() -> None:
    upward = [
        f"{file.relative_to(PACKAGE)} imports {target}"
        for room in rooms()
        for file, target in imported_rooms(room)
        if floor_of(target) > floor_of(room)
    ]
    assert upward == []


def test_rooms_do_not_import_each_other_in_a_circle() -> None:
    graph = {room: {target for _, target in imported_rooms(room)} - {room} for room in rooms()}
    assert graph["cli"] >= {"zoo", "inference"}
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("errors") < order.index("zoo") < order.index("cli")


def test_methods_know_no_files() -> None:
    assert "images" not in {target for _, target in imported_rooms("methods")}


@pytest.mark.parametrize(
    "module", ["restorekit", "restorekit.errors", "restorekit.settings", "restorekit.methods", "restorekit.zoo"]
)
def test_what_must_be_light_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    assert result.stderr == ""


def test_what_is_imported_is_declared() -> None:
    project = read_toml(PACKAGE.parent / "pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["heif"], *extras["onnx"], *extras["evaluate"]]
    declared = {re.match(r"[\w-]+", line)[0].lower().replace("-", "_") for line in wanted}  # type: ignore[index]
    modules = {name.split(".")[0] for file in PACKAGE.rglob("*.py") for name in imported_names(file)}
    foreign = modules - sys.stdlib_module_names - {"restorekit", "__future__"}
    assert {OTHER_NAMES.get(name, name) for name in foreign - IF_THERE} <= declared
    assert {"torch", "PIL", "typer", "piq", "skimage"} <= foreign


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
