"""Building a real Python runtime from this machine, and running it with nothing else around."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from controller.registry import catalogue, location, platforms
from controller.runtime.build import builder
from controller.runtime.sources.registry import Package
from controller.runtime.trees import install, tree
from controller.runtime.trees.install import Installed
from support.registry_fixtures import a_host

NAME = f"python-{sys.version_info.major}.{sys.version_info.minor}"
IMPORTS = "asyncio, ctypes, decimal, hashlib, json, multiprocessing, sqlite3, ssl, urllib.request, zlib"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("built")
    command = [
        sys.executable,
        "-m",
        "controller.runtime.build.builder",
        "--output",
        directory,
        "--versions",
        "1.0.0",
        "1.1.0",
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f"{directory}/{NAME}-1.1.0.tar.gz" in output
    return directory


@pytest.fixture(scope="module")
def installed(registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    where = location.locate(str(registry))
    entry = catalogue.find(catalogue.parse((registry / "registry.json").read_bytes()), NAME, "1.1.0")
    platform = platforms.host_platform(Path("/etc/os-release").read_text(), os.uname().machine)
    with a_host(tmp_path_factory.mktemp("root"), platform=platform) as host:
        return install.install(Package(entry, location.archive_url(where, entry.download_url), "built"), host)


def inside(installed: Installed, *command: str) -> str:
    """Run `command` with the runtime's tree as its root directory, and nothing of the host."""
    environment = dict(tree.inspect(installed.path, directory=installed.path.name).manifest.environment)
    return subprocess.run(
        ["chroot", installed.path / "isolated", *command],
        check=True,
        capture_output=True,
        text=True,
        env={**environment, "PATH": f"{environment['PATH']}:/usr/sbin:/sbin"},
    ).stdout


def test_the_catalogue_names_both_versions_with_their_true_sizes_and_checksums(registry: Path):
    found = catalogue.parse((registry / "registry.json").read_bytes())

    assert found.problems == ()
    assert set(found.entries[NAME]) == {"1.0.0", "1.1.0"}
    for entry in found.entries[NAME].values():
        data = (registry / entry.download_url).read_bytes()
        assert (entry.size_bytes, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert len(data) < 60 << 20


def test_nothing_but_the_registry_is_left_in_the_directory(registry: Path):
    assert sorted(os.listdir(registry)) == [f"{NAME}-1.0.0.tar.gz", f"{NAME}-1.1.0.tar.gz", "registry.json"]


def test_the_same_machine_builds_the_same_bytes_again(registry: Path, tmp_path: Path):
    (built,) = builder.pack_python(tmp_path, ["1.1.0"])

    assert built.path.read_bytes() == (registry / built.path.name).read_bytes()


def test_another_runtime_is_added_to_the_catalogue_that_is_there(tmp_path: Path):
    (tmp_path / "registry.json").write_text(json.dumps({"version": "1", "runtimes": {"a": {"1.0.0": {}}}}))
    builder.pack.write_registry(tmp_path, {"b": {"1.0.0": {}}})

    assert set(json.loads((tmp_path / "registry.json").read_text())["runtimes"]) == {"a", "b"}


def test_its_manifest_is_valid_and_says_which_version_it_is(installed: Installed):
    found = tree.inspect(installed.path)

    assert (found.name, found.version, found.problems, found.warnings) == (NAME, "1.1.0", (), ())
    assert found.manifest is not None
    assert found.manifest.environment["RUNTIME_VERSION"] == "1.1.0"


@pytest.mark.needs_root
@pytest.mark.parametrize("name", ["python", "python3", f"python{sys.version_info.major}.{sys.version_info.minor}"])
def test_python_runs_with_nothing_of_the_host(installed: Installed, name: str):
    code = f"import {IMPORTS}; import sys; print(sys.prefix, sys.exec_prefix, sys.version_info[:2], json.__cached__)"

    prefix, exec_prefix, *version, cached = inside(installed, name, "-c", code).split()
    assert (prefix, exec_prefix) == ("/usr", "/usr")
    assert " ".join(version) == str(sys.version_info[:2])
    assert (installed.path / "isolated" / cached.lstrip("/")).is_file()


@pytest.mark.needs_root
def test_modules_come_from_bytecode_which_never_needs_writing(installed: Installed):
    code = "import json, sys; from importlib.util import cache_from_source as c; import pathlib;"
    code += "print(pathlib.Path(json.__cached__).read_bytes()[4], sys.flags.dont_write_bytecode)"

    assert inside(installed, "python3", "-c", code).split() == ["1", "1"]


@pytest.mark.needs_root
def test_a_shell_and_tools_run_with_nothing_of_the_host(installed: Installed):
    script = (
        f'cat /etc/runtime-version; seq 3 | tail -n 1; echo "$RUNTIME_VERSION"; ls -d /usr/bin/{NAME.replace("-", "")}'
    )

    assert inside(installed, "/bin/sh", "-c", script).split() == [
        f"{NAME}@1.1.0",
        "3",
        "1.1.0",
        f"/usr/bin/{NAME.replace('-', '')}",
    ]


def test_no_test_suites_and_no_toolkits_are_in_it(installed: Installed):
    library = installed.path / "isolated" / "usr" / "lib" / NAME.replace("-", "")
    there = set(os.listdir(library))

    assert {"os.py", "json", "asyncio", "lib-dynload"} <= there
    assert not there & {"test", "tkinter", "idlelib", "ensurepip", "site-packages", "turtle.py"}


def test_the_command_line_says_why_it_cannot_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "in-the-way").write_text("")

    assert builder.main(["--output", str(tmp_path / "in-the-way")]) == 1
    assert "cannot build the runtime" in capsys.readouterr().err


def test_building_needs_nothing_but_the_standard_library():
    code = "import sys, controller.runtime.build.builder; print([m for m in sys.modules if m in ('yaml', 'httpx', 'pydantic')])"
    output = subprocess.run([sys.executable, "-S", "-c", code], check=True, capture_output=True, text=True).stdout

    assert output.strip() == "[]"
