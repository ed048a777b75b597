"""From a package of one's own to a job in it, over real HTTP, with a real daemon: built, published, signed, mended."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.kinds import REGISTRY
from api.meta import API_VERSION
from api.packages.serving import RegistryServer
from support.daemon import Daemon, a_daemon

pytestmark = [pytest.mark.needs_root, pytest.mark.usefixtures("host_is_clean")]


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with a_daemon("runtime.minimum_free=1Mi") as running:
        yield running


def rnx(daemon: Daemon, *arguments: str, code: int = 0) -> str:
    said = daemon.rnx(*arguments)
    assert said.returncode == code, said
    return said.stdout if code == 0 else said.stdout + said.stderr


def test_a_package_of_ones_own_is_built_mended_and_served_to_a_job(daemon, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rnx(daemon, "runtime", "init", "mine")
    good = Path("mine/setup.sh").read_text()
    Path("mine/setup.sh").write_text("#!/bin/bash\necho looking\necho it is not here >&2\nexit 3\n")
    said = rnx(daemon, "runtime", "build", "mine", code=1)
    assert "looking" in said
    assert "it is not here" in said.splitlines()[-1]

    Path("mine/setup.sh").write_text(good)  # A changed package is built again, though its version is the same.
    assert "Runtime mine@1.0.0 is built: " in rnx(daemon, "runtime", "build", "mine", "--pack", "tree.tar.gz")
    rnx(daemon, "runtime", "remove", "mine")

    public = rnx(daemon, "registry", "keygen", "key").strip()
    rnx(daemon, "runtime", "publish", "tree.tar.gz", "--registry-dir", "reg", "--sign", "key")
    with RegistryServer(tmp_path / "reg", "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            spec = {"url": server.url, "publicKey": public}
            document = {"apiVersion": API_VERSION, "kind": "Registry", "metadata": {"name": "r"}, "spec": spec}
            daemon.client.apply(REGISTRY, "", document)
            assert rnx(daemon, "runtime", "list", "--registry=r").splitlines()[1].split()[:2] == ["mine", "1.0.0"]
            assert "Runtime mine@1.0.0 installed" in rnx(daemon, "runtime", "install", "mine@^1")
        finally:
            server.shutdown()
            thread.join()
    assert rnx(daemon, "run", "--runtime=mine", "sh", "-c", "echo works") == "works\n"

    cat = daemon.root / "opt/joblet/runtimes/mine-1.0.0/isolated/bin/cat"
    cat.unlink(), cat.write_text("changed")
    assert "isolated/bin/cat" in rnx(daemon, "runtime", "verify", "mine", code=1)
