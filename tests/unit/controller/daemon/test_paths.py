"""Where everything lies."""

from pathlib import Path

import pytest

from controller.daemon.paths import Paths, PathsError
from controller.daemon.settings import Settings


def test_a_root_moves_every_path(tmp_path):
    paths = Paths.of(tmp_path, Settings())

    moved = [paths.config, paths.runtimes, paths.state, paths.run, paths.logs, paths.manifests, paths.inbox]
    moved += [
        paths.database,
        paths.runs,
        paths.registry_cache,
        paths.api_socket,
        paths.launcher_socket,
        paths.job_logs,
        paths.launcher_dir,
    ]
    assert [path for path in moved if not path.is_relative_to(tmp_path)] == []


def test_each_root_but_the_hosts_has_a_cgroup_of_its_own(tmp_path):
    settings = Settings()
    parents = {Paths.of(root, settings).cgroup_parent(settings) for root in (Path("/"), tmp_path / "a", tmp_path / "b")}

    assert "runwright/runs" in parents
    assert len(parents) == 3


def test_a_root_with_too_long_a_path_for_its_sockets_is_refused(tmp_path):
    with pytest.raises(PathsError, match=r"too long for a unix socket: use a shorter --root"):
        Paths.of(tmp_path / ("x" * 100), Settings()).make()
