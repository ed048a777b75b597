"""What pip and npm say, written by whoever ran as part of them: not believed to be of any form or size."""

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.engine.errors import TerminalError
from controller.runtime.build import lock, node_packages, python_packages
from controller.runtime.build.commands import Bench, Command

_DEEP = "[" * 200_000
_HUGE = 1 << 40


def a_bench(name: str, leave: Callable[[Path], object]) -> Bench:
    """A bench whose commands leave the file `name` in the directory that they are given."""

    def run(command: Command, log: Callable[[str], None]) -> int:
        leave(command.writable[0].path / name)
        return 0

    return Bench(run, lambda line: None)


def a_huge_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(_HUGE)


HOSTILE = [
    pytest.param(lambda path: path.write_text(_DEEP), id="deep"),
    pytest.param(lambda path: path.write_text("[]"), id="list"),
    pytest.param(lambda path: path.write_text('{"install": [{}, 1], "packages": 7}'), id="shape"),
    pytest.param(lambda path: path.write_bytes(b"\xff\xfe{"), id="bytes"),
    pytest.param(lambda path: path.symlink_to("/etc/passwd"), id="link"),
    pytest.param(lambda path: path.mkdir(), id="directory"),
    pytest.param(a_huge_file, id="huge"),
]


@pytest.mark.invariant("B2")
@pytest.mark.parametrize("leave", HOSTILE)
def test_a_report_of_pips_that_is_none_fails_the_build(tmp_path, leave):
    (tmp_path / "root/usr/lib/python3/dist-packages/pip").mkdir(parents=True)
    bench = a_bench("report.json", leave)

    with pytest.raises(TerminalError, match=r"cannot read what pip says .*: report\.json: ") as failed:
        python_packages.install(bench, tmp_path / "root", tmp_path / "work", "/usr/bin/python3", ("six",))
    assert failed.value.reason == "BuildFailed"


@pytest.mark.invariant("B2")
@pytest.mark.parametrize("leave", HOSTILE)
def test_a_lock_of_npms_that_is_none_fails_the_build(tmp_path, leave):
    with pytest.raises(TerminalError, match=r"cannot read what npm says .*: package-lock\.json: ") as failed:
        node_packages.install(a_bench("package-lock.json", leave), tmp_path, tmp_path / "work", ("ms",))
    assert failed.value.reason == "BuildFailed"


@pytest.mark.invariant("B2")
def test_metadata_of_a_package_that_is_endless_fails_the_build(tmp_path):
    metadata = tmp_path / "usr/lib/python3/dist-packages/x-1.dist-info/METADATA"
    metadata.parent.mkdir(parents=True)
    a_huge_file(metadata)

    with pytest.raises(TerminalError, match=r"cannot use /usr/lib/.*/METADATA of what was built: it is larger than"):
        lock.python_packages(tmp_path, {})


def test_a_package_json_that_is_nested_without_end_is_of_no_package(tmp_path):
    package = tmp_path / "usr/local/lib/node_modules/x"
    package.mkdir(parents=True)
    (package / "package.json").write_text(_DEEP)

    assert lock.node_packages(tmp_path, {}) == ()


@pytest.mark.invariant("B1")
def test_packages_behind_a_link_to_a_directory_of_the_host_are_not_listed(tmp_path):
    there = tmp_path / "host"
    (there / "python3/dist-packages/x-1.dist-info").mkdir(parents=True)
    (there / "python3/dist-packages/x-1.dist-info/METADATA").write_text("Name: x\nVersion: 1\n")
    (there / "node_modules/y").mkdir(parents=True)
    (there / "node_modules/y/package.json").write_text('{"name": "y", "version": "1"}')
    (tmp_path / "tree/usr/local").mkdir(parents=True)
    (tmp_path / "tree/usr/lib").symlink_to(there)
    (tmp_path / "tree/usr/local/lib").symlink_to(there)

    assert lock.python_packages(tmp_path / "tree", {}) == ()
    assert lock.node_packages(tmp_path / "tree", {}) == ()
