"""The import rules: who may import whom, read from every file's syntax tree."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("music", "generators", "analysis", "studies")

#: What no file of a package may import.
FORBIDDEN = {
    "music": {"generators", "analysis", "studies", "django", "torch"},
    "generators": {"analysis", "studies", "django"},
    "analysis": {"generators", "studies", "django", "torch"},
    "studies": {"torch"},
}

#: Inside an app, a layer imports only layers below it.
LAYERS = ["errors", "models", "selectors", "services", "forms", "pages", "views", "urls"]


def python_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports_of(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Dotted names of all modules that a file imports (of `from a import b`, both `a` and `a.b`)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                package = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
                module = ".".join([*package, module]).strip(".")
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


ALL_FILES = [path for package in PACKAGES for path in python_files(package)]


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_go_down(path):
    package = path.relative_to(ROOT).parts[0]
    roots = {name.split(".")[0] for name in imports_of(path)}
    assert not roots & FORBIDDEN[package]


@pytest.mark.parametrize("path", python_files("studies"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_web_request_never_loads_torch(path):
    """Only services import generators beyond the registry, and they do it when called, not when imported."""
    light = {"generators", "generators.registry", "generators.errors"}
    heavy = {
        name
        for name in imports_of(path, top_level_only=True)
        if name.split(".")[0] == "generators" and ".".join(name.split(".")[:2]) not in light
    }
    assert not heavy


@pytest.mark.parametrize("path", python_files("studies"), ids=lambda path: str(path.relative_to(ROOT)))
def test_inside_an_app_layers_only_import_lower_layers(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    layer = next((part for part in parts[2:3] if part in LAYERS), None)
    if layer is None:
        return
    above = set(LAYERS[LAYERS.index(layer) + 1 :])
    app = ".".join(parts[:2])
    imported = {
        name.removeprefix(app + ".").split(".")[0] for name in imports_of(path) if name.startswith(app + ".")
    }
    assert not imported & above


def test_no_file_has_a_name_that_names_nothing():
    assert not [path for path in ALL_FILES if path.stem in {"utils", "helpers", "common", "misc"}]


def test_the_rules_would_see_a_forbidden_import(tmp_path):
    """The reader of imports finds relative, nested and plain imports alike."""
    file = tmp_path / "file.py"
    file.write_text("import torch.nn\ndef f():\n    from django import forms\n", encoding="utf-8")
    assert {"torch.nn", "django", "django.forms"} <= imports_of(file)
