"""Looking whether runtimes work, in the sandbox that their jobs get: real launcher, real trees."""

import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.packages.manifest import Manifest
from api.types.runtime_sources import HealthCheck
from controller.cgroup import choose
from controller.daemon.probing import RuntimeProber
from controller.engine.errors import TransientError
from controller.job.memory_place import MemoryPlace
from controller.job.run_dirs import RunDirs
from controller.job.run_spec import RunDefaults
from controller.runtime.build import builder
from controller.runtime.health import check
from controller.runtime.trees import origin
from controller.runtime.trees import tree as trees
from support.launching import MIB, Launching
from support.shell_runtime import shell_tree

pytestmark = pytest.mark.needs_root


@pytest.fixture(scope="module")
def launching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launching]:
    one = Launching(tmp_path_factory.mktemp("probing"))
    one.start_launcher()
    yield one
    one.close()


@pytest.fixture
def prober(launching: Launching, tmp_path: Path) -> Iterator[RuntimeProber]:
    lifecycle = choose.open_lifecycle(choose.hierarchies_of_host(), launching.cgroup_parent)
    runs = tmp_path / "runs"
    runs.mkdir()
    defaults = RunDefaults(
        pids=100, memory_bytes=256 * MIB, work_bytes=MIB, tmp_bytes=MIB, shm_bytes=MIB, log_max_bytes=MIB,
        log_max_files=2, cgroup_parent=launching.cgroup_parent,
    )  # fmt: skip
    yield RuntimeProber(launching.client, lifecycle, RunDirs(runs, MemoryPlace(())), defaults)
    assert os.listdir(runs) == []
    assert lifecycle.names() == ()
    lifecycle.close()


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("python")
    (built,) = builder.pack_python(directory, ["1.0.0"], "python-3.99")
    with tarfile.open(built.path) as archive:
        # Our own archive. Before 3.11.4 there are no filters, from 3.12 on it warns if none is named.
        archive.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
        archive.extractall(directory / "tree")
    return directory / "tree"


def manifest_of(tree: Path) -> Manifest:
    manifest = trees.inspect(tree, directory="python-3.99-1.0.0" if "python" in str(tree) else None).manifest
    assert manifest is not None
    return manifest


def test_a_real_python_starts_and_imports(prober: RuntimeProber, python: Path):
    wanted = HealthCheck(imports=("sqlite3", "ssl"))
    report = check.check(python, "python-3.99", manifest_of(python), wanted, prober)
    assert report.healthy
    assert report.message == "all libraries are there, python starts, sqlite3, ssl can be imported"


def test_an_import_that_fails_is_named_with_its_error(prober: RuntimeProber, python: Path):
    wanted = HealthCheck(imports=("json", "numpy"))
    report = check.check(python, "python-3.99", manifest_of(python), wanted, prober)
    assert not report.healthy
    assert "cannot import numpy: ModuleNotFoundError: No module named 'numpy'" in report.message
    assert "cannot import json" not in report.message


def test_an_interpreter_that_is_not_there_is_a_problem(prober: RuntimeProber, tmp_path: Path):
    tree = shell_tree(tmp_path / "tools-1.0.0", "tools", "1.0.0")
    report = check.check(tree, "python-3.11", manifest_of(tree), HealthCheck(), prober)
    assert "not true that python starts" in report.message
    assert "it is in no directory of PATH" in report.message


def test_the_command_is_run_as_a_job_would_be(prober: RuntimeProber, tmp_path: Path):
    tree = shell_tree(tmp_path / "tools-1.0.0", "tools", "1.0.0")
    asked = HealthCheck(command=("sh", "-c", "id -u; touch /bin/x || exit 3"))
    report = check.check(tree, "tools", manifest_of(tree), asked, prober)
    assert "exited with 3" in report.message
    assert "Read-only file system" in report.message


def test_what_hangs_is_ended_and_told(prober: RuntimeProber, tmp_path: Path):
    tree = shell_tree(tmp_path / "tools-1.0.0", "tools", "1.0.0")
    asked = HealthCheck(command=("sleep", "1000"), timeout_seconds=1)
    report = check.check(tree, "tools", manifest_of(tree), asked, prober)
    assert "DeadlineExceeded" in report.message


def test_what_starts_though_other_parts_lack_libraries_works_in_part(
    prober: RuntimeProber, python: Path, tmp_path: Path
):
    tree = tmp_path / "tree"
    shutil.copytree(python, tree, symlinks=True)
    library = next((tree / "isolated").rglob("libsqlite3.so.0"))
    library.unlink()
    report = check.check(tree, "python-3.99", manifest_of(tree), HealthCheck(), prober)
    assert (report.healthy, report.works) == (False, True)
    assert "needs libsqlite3.so.0, which is not in the runtime" in report.message
    assert origin.health_of(report) == origin.DEGRADED


def test_what_does_not_start_does_not_work_in_part_either(prober: RuntimeProber, python: Path):
    wanted = HealthCheck(imports=("no_such_module",))
    report = check.check(python, "python-3.99", manifest_of(python), wanted, prober)
    assert origin.health_of(report) == origin.UNHEALTHY


def test_nothing_is_tried_while_the_host_could_not_be_protected_from_it(prober: RuntimeProber, python: Path) -> None:
    held = RuntimeProber(prober._launcher, prober._cgroups, prober._dirs, prober._defaults, lambda: "cannot cap all")

    with pytest.raises(TransientError, match="cannot cap all") as refused:
        held.run(python, manifest_of(python), ("/bin/true",), 5)

    assert refused.value.reason == "LimitUnenforceable"
