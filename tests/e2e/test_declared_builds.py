"""Declared builds of this host's files, from the declaration to an installed runtime: real sandbox, no network."""

import base64
import contextlib
import hashlib
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from api.packages.manifest import Manifest
from api.types.runtime_sources import BuildSource
from controller.engine.errors import TerminalError
from controller.runtime.build.build_log import read
from controller.runtime.build.declared import DeclaredBuild
from controller.runtime.sources.composition import Layer
from controller.runtime.trees import install, origin, tree
from support.building import Building
from support.registry_fixtures import PLATFORM, a_host

pytestmark = pytest.mark.needs_root

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TOOLS = {"base": {"from": "host"}}


@pytest.fixture
def host(building):
    with a_host(building.directory / "runtimes") as host:
        yield host


def a_build(building: Building, declared: dict, name: str = "a", version: str = "1.0.0", base=None) -> DeclaredBuild:
    return DeclaredBuild(name, version, BuildSource.model_validate(declared), base, building.host)


def a_layer(path: Path) -> Layer:
    found = tree.inspect(path)
    assert found.manifest is not None
    known = origin.read(path.parent, found.name, found.version)
    return Layer(found.spec, path, known.digest if known else "", found.manifest)


def in_tree(path: Path, *argv: str) -> str:
    """Return what a command says that has the tree of a runtime as its root; of the sandbox of jobs other tests tell."""
    done = subprocess.run(["chroot", path / "isolated", *argv], capture_output=True, text=True, check=True)
    return done.stdout


def content(path: Path) -> dict[str, str]:
    """Return what is in a tree: links by where they lead, files by mode, time and content."""
    found = {}
    for directory, _, names in os.walk(path):
        for at in (Path(directory, name) for name in names):
            status = at.lstat()
            seen = os.readlink(at) if at.is_symlink() else hashlib.sha256(at.read_bytes()).hexdigest()
            found[str(at.relative_to(path))] = f"{stat.S_IMODE(status.st_mode):o} {int(status.st_mtime)} {seen}"
    return found


def test_the_tools_of_this_host_are_installed_as_a_runtime_that_runs_by_itself(building, host):
    done = install.install(a_build(building, TOOLS | {"description": "tools"}), host)

    found = tree.inspect(done.path)
    assert (found.spec, found.problems, found.warnings) == ("a@1.0.0", (), ())
    assert found.manifest is not None
    assert found.manifest.description == "tools"
    assert found.manifest.environment["RUNTIME_VERSION"] == "1.0.0"
    assert in_tree(done.path, "/bin/sh", "-c", "cat /etc/runtime-version") == "a@1.0.0\n"


def test_files_and_commands_come_in_order_and_what_they_make_is_carried(building, host):
    declared = TOOLS | {
        "files": [
            {"path": "/opt/app/main.sh", "text": "#!/bin/sh\ncat /opt/app/made\n", "mode": 0o755},
            {"path": "/opt/app/blob", "base64": base64.b64encode(b"\0\1").decode()},
        ],
        "environment": {"GREETING": "hi", "PATH_PREPEND": "/opt/app"},
        "run": [
            'main.sh 2>/dev/null || echo "$GREETING" > /opt/app/made',
            "main.sh > /opt/app/second",
        ],
    }

    done = install.install(a_build(building, declared), host)

    app = done.path / "isolated/opt/app"
    assert (app / "second").read_text() == "hi\n"
    assert (app / "blob").read_bytes() == b"\0\1"
    assert os.access(app / "main.sh", os.X_OK)
    manifest = tree.inspect(done.path).manifest
    assert manifest is not None
    assert (manifest.path_prepend, manifest.environment["GREETING"]) == ("/opt/app", "hi")


@pytest.mark.invariant("B6")
def test_what_a_build_leaves_elsewhere_is_not_in_the_tree(building, host):
    declared = TOOLS | {
        "run": ["mkdir -p /var/cache/x /var/log; touch /var/cache/x/y /var/log/z /tmp/t /root/r /run/s /usr/keep"]
    }

    done = install.install(a_build(building, declared), host)

    isolated = done.path / "isolated"
    assert (isolated / "usr/keep").is_file()
    assert not [path for path in ("var/cache", "var/log", "tmp", "root", "run") if (isolated / path).exists()]


@pytest.mark.invariant("B6")
def test_a_command_that_fails_fails_the_build_with_its_words_and_nothing_is_installed(building, host):
    with pytest.raises(TerminalError) as caught:
        install.install(a_build(building, TOOLS | {"run": ["true", "echo no such thing >&2; exit 7"]}), host)

    assert caught.value.reason == "BuildFailed"
    assert "cannot carry out run[1]: the command ended with status 7: no such thing" in caught.value.message
    assert not (host.root / "a-1.0.0").exists()
    assert "no such thing" in list(read(building.host.logs, "a-1.0.0"))


def test_a_build_that_takes_too_long_is_ended(building, host):
    declared = TOOLS | {"run": ["sleep 1000"], "resources": {"timeoutSeconds": 1}}

    with pytest.raises(
        TerminalError,
        match=r"cannot carry out run\[0\]: the build took longer than 1 seconds in all: raise spec.build.resources",
    ):
        install.install(a_build(building, declared), host)

    step, end = list(read(building.host.logs, "a-1.0.0"))[-2:]
    assert step == "runwright: carry out run[0]"
    assert end.startswith("runwright: cannot build a-1.0.0: cannot carry out run[0]: the build took longer than 1 sec")


def test_a_link_out_of_the_tree_fails_the_build(building, host):
    with pytest.raises(TerminalError, match=r"the link isolated/opt/up -> \S+ leads out of the tree"):
        install.install(
            a_build(building, TOOLS | {"run": ["mkdir -p /opt; ln -s ../../../../etc/passwd /opt/up"]}), host
        )


@pytest.mark.parametrize("directory", ["/usr/local", "/usr/local/lib", "/usr/lib", "/etc/ssl", "/var/cache"])
def test_nothing_of_the_host_can_be_changed_through_the_tree(building, host, tmp_path, directory):
    victim = tmp_path / "victim"
    (victim / "bin").mkdir(parents=True)
    victim.chmod(0o700)
    before = content(victim), victim.stat().st_mode
    declared = TOOLS | {"run": [f"mkdir -p {directory}; mv {directory} /moved; ln -s {victim} {directory}"]}

    with contextlib.suppress(TerminalError):  # Whether it is refused, or left where it is, is the same to the host.
        install.install(a_build(building, declared), host)

    assert (content(victim), victim.stat().st_mode) == before


@pytest.mark.invariant("B7")
@pytest.mark.parametrize(
    "declared",
    [
        TOOLS | {"run": ["date > /dev/null; echo x > /opt-file; mkdir /opt; echo y > /opt/y"]},
        {"base": {"from": "host", "language": "python"}},
    ],
    ids=["run", "python"],
)
def test_the_same_build_makes_the_same_tree(building, declared):
    found = []
    for number in (1, 2):
        with a_host(building.directory / f"runtimes-{number}") as host:
            found.append(content(install.install(a_build(building, declared), host).path))

    assert found[0] == found[1]
    assert len(found[0]) > 50


@pytest.mark.invariant("B7")
def test_python_starts_with_bytecode_that_a_read_only_tree_can_keep(building, host):
    done = install.install(a_build(building, {"base": {"language": "python", "from": "host"}}), host)

    isolated = done.path / "isolated"
    said = in_tree(
        done.path, "/usr/bin/python", "-c", "import json, ssl, sys; print(json.__cached__, sys.version.split()[0])"
    )
    cached, version = said.split()
    assert (isolated / cached[1:]).is_file()
    lock = yaml.safe_load((done.path / "versions.lock").read_text())
    assert lock["metadata"] == {
        "runtime": "a", "version": "1.0.0", "platform": PLATFORM, "language": f"python {version}",
    }  # fmt: skip
    assert lock["python_packages"] == []
    manifest = tree.inspect(done.path).manifest
    assert manifest is not None
    assert (manifest.language, manifest.language_version) == ("python", PYTHON)


def test_a_version_that_this_host_has_not_is_refused_with_the_one_it_has(building, host):
    declared = {"base": {"language": "python", "version": "2.7", "from": "host"}}

    with pytest.raises(TerminalError, match=rf"it has python {re.escape(PYTHON)}\S*, not 2.7: ask for that, or use"):
        install.install(a_build(building, declared), host)


def test_a_build_on_another_runtime_has_its_files_and_leaves_it_as_it_was(building, host):
    declared = TOOLS | {"environment": {"A": "parent", "B": "parent"}, "files": [{"path": "/opt/parent", "text": "p"}]}
    parent = install.install(a_build(building, declared), host)
    before = content(parent.path)
    layer = a_layer(parent.path)
    declared = {
        "base": {"from": "a@1.0.0"}, "environment": {"B": "child"},
        "run": ["echo changed >> /opt/parent; echo changed >> /etc/passwd"],
    }  # fmt: skip

    child = install.install(a_build(building, declared, "b", base=layer), host)

    assert (child.path / "isolated/opt/parent").read_text() == "pchanged\n"
    assert content(parent.path) == before
    manifest = tree.inspect(child.path).manifest
    assert manifest is not None
    assert (manifest.environment["A"], manifest.environment["B"]) == ("parent", "child")


def test_a_build_for_another_processor_is_refused_before_anything_is_done(building, host):
    declared = TOOLS | {"requirements": {"architectures": ["sparc64"]}}

    with pytest.raises(TerminalError) as caught:
        install.install(a_build(building, declared), host)

    assert caught.value.reason == "PlatformUnsupported"
    assert "it is built for sparc64" in caught.value.message


@pytest.mark.parametrize("path", ["/tmp/x", "/proc/x", "/work/x", "/run/x", "/root/x"])
def test_files_where_jobs_have_their_own_are_refused(building, host, path):
    with pytest.raises(TerminalError, match=f"cannot put {path} into the tree: jobs have their own there"):
        install.install(a_build(building, TOOLS | {"files": [{"path": path, "text": ""}]}), host)


def test_the_fingerprint_tells_builds_apart_but_not_what_they_may_use(building):
    plain = a_build(building, TOOLS)
    limited = a_build(building, TOOLS | {"resources": {"timeoutSeconds": 5}})
    other = a_build(building, TOOLS | {"run": ["true"]})
    based = a_build(building, TOOLS, base=Layer("x@1.0.0", Path("/x"), "digest", Manifest("x", ())))

    assert plain.fingerprint == limited.fingerprint
    assert len({plain.fingerprint, other.fingerprint, based.fingerprint}) == 3
