"""The rules of the house that no linter knows."""

import ast
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("api", "state", "controller")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LONGEST_MODULE = 400
LONGEST_FUNCTION = 50
INVARIANTS = ROOT / "docs/explanation/invariants.md"


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_at_most_400_lines(path):
    assert len(path.read_text().splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_has_a_charter(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_a_package_init_is_a_charter_and_nothing_else():
    for path in MODULES:
        if path.name == "__init__.py":
            assert len(ast.parse(path.read_text()).body) == 1, name_of(path)


def test_a_function_is_at_most_50_lines():
    long = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    long.append(f"{name_of(path)}:{node.name} has {length} lines")
    assert long == []


def test_there_is_no_init_under_tests_so_that_package_names_stay_ours():
    assert [name_of(path) for path in TESTS if path.name == "__init__.py"] == []


def test_no_directory_of_tests_is_passed_over(request):
    passed_over = request.config.getini("norecursedirs")
    directories = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    names = {part for directory in directories for part in directory.relative_to(ROOT).parts}

    assert not [name for name in names if any(fnmatch(name, pattern) for pattern in passed_over)]


def test_no_test_sleeps():
    assert [
        name_of(path) for path in TESTS if re.search(r"\btime\.sleep\(", path.read_text()) and path != Path(__file__)
    ] == []


def test_every_test_asserts_something():
    empty = []
    for path in TESTS:
        for node in ast.walk(ast.parse(path.read_text())):
            is_test = isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
            if is_test and not _checks(node):
                empty += [f"{name_of(path)}:{node.name}"]
    assert empty == []


def _checks(function: ast.FunctionDef) -> bool:
    """It asserts, expects an error, or calls something whose name says that it checks."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.startswith("pytest.raises") or re.search(
                r"(^|[._])(assert|check|expect|require|verify|refused|run_state)", called
            ):
                return True
    return False


def documented_invariants() -> set[str]:
    return set(re.findall(r"^\*\*([A-Z]\d+)\*\*", INVARIANTS.read_text(), re.MULTILINE))


def held_invariants() -> set[str]:
    return {name for path in TESTS for name in re.findall(r"invariant\(\"([A-Z]\d+)\"\)", path.read_text())}


def test_every_invariant_has_a_test_and_every_held_one_is_documented():
    assert documented_invariants() == held_invariants()


def test_the_launcher_imports_the_standard_library_only():
    """Not just by the contract: what the real process has loaded after its imports."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import controller.launcher.__main__; "
        "print('\\n'.join(sorted({n.partition('.')[0] for n in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(ROOT)], capture_output=True, text=True, check=True
    )

    loaded = set(done.stdout.split()) - {"controller", "__main__", "__mp_main__"}
    foreign = {name for name in loaded if name not in sys.stdlib_module_names}
    assert foreign == set()


def files_of_the_project() -> list[Path]:
    """What git tracks; where there is no git, all files but those that our own targets make."""
    if shutil.which("git"):
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        return [ROOT / name for name in filter(None, done.stdout.split("\0")) if (ROOT / name).is_file()]
    made = re.compile(r"^(\.git|\.venv|build|dist|\.[a-z_]+_cache|\.hypothesis)/|__pycache__")
    return [path for path in ROOT.rglob("*") if path.is_file() and not made.search(name_of(path))]


def test_text_in_the_project_speaks_of_the_project_alone():
    forbidden = re.compile("/" + "work/(main|shared|steering)|" + r"issue #?\d+\b.*(resolved|closed)")
    found = [name_of(path) for path in files_of_the_project() if forbidden.search(path.read_text(errors="replace"))]

    assert found == []


def test_no_tracked_file_is_over_a_megabyte():
    assert [name_of(path) for path in files_of_the_project() if path.stat().st_size > 1_000_000] == []
