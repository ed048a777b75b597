"""Which Python packages are removed where another version was put in their place."""

import subprocess
import sys
from pathlib import Path

import pytest

from controller.runtime.build import python_replaced
from controller.runtime.build.commands import Bench, Command

SITE = "usr/lib/python3.11/site-packages"
DEBIANS = "usr/lib/python3/dist-packages"


@pytest.fixture
def bench() -> Bench:
    """Runs the command for real, in no sandbox: the paths that it names are turned into those of the test's tree."""

    def run(command: Command, log) -> int:
        named = command.argv[-1].replace('"/usr/', f'"{command.root}/usr/')
        return subprocess.run([sys.executable, *command.argv[1:-1], named], check=False).returncode

    return Bench(run, lambda line: None)


def put(tree: Path, name: str, version: str, *files: str, at: str = SITE) -> None:
    """Install a package as pip does."""
    info = f"{name}-{version}.dist-info"
    texts = {**dict.fromkeys(files, version), f"{info}/METADATA": f"Name: {name}\nVersion: {version}\n"}
    texts[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*texts, f"{info}/RECORD"))
    for path, text in texts.items():
        (tree / at / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / at / path).write_text(text)


def left(tree: Path) -> set[str]:
    return {str(path.relative_to(tree / SITE)) for path in (tree / SITE).rglob("*") if path.is_file()}


def test_the_old_version_goes_with_what_only_it_had(tmp_path, bench):
    put(tmp_path, "Some_Thing", "1.0", "some/__init__.py", "some/old.py", "shared.py", "../../../bin/old-command")
    put(tmp_path, "other", "1.0", "shared.py")
    compiled = tmp_path / SITE / "some/__pycache__/old.cpython-311.pyc"
    compiled.parent.mkdir()
    compiled.write_text("")
    before = python_replaced.look(tmp_path)
    put(tmp_path, "some_thing", "2.0", "some/__init__.py", "some/new.py")

    python_replaced.remove(bench, tmp_path, "python3", before)

    assert left(tmp_path) == {
        "some/__init__.py", "some/new.py", "shared.py",
        "some_thing-2.0.dist-info/METADATA", "some_thing-2.0.dist-info/RECORD",
        "other-1.0.dist-info/METADATA", "other-1.0.dist-info/RECORD",
    }  # fmt: skip
    assert (tmp_path / SITE / "some/__init__.py").read_text() == "2.0"
    assert not (tmp_path / "usr/bin/old-command").exists()


def test_a_package_in_another_directory_stays(tmp_path):
    put(tmp_path, "some", "1.0", "some.py", at=DEBIANS)
    before = python_replaced.look(tmp_path)
    put(tmp_path, "some", "2.0", "some.py")

    def run(command: Command, log) -> int:
        raise AssertionError(f"nothing is to be run: {command}")

    python_replaced.remove(Bench(run, lambda line: None), tmp_path, "python3", before)

    assert (tmp_path / DEBIANS / "some.py").read_text() == "1.0"
