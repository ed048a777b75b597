"""What a build leaves behind so that we, who come after it with all rights, would change the host for it."""

import os
import re
import stat
from pathlib import Path

import pytest

from api.types.runtime_sources import BuildSource
from controller.engine.errors import TerminalError
from controller.runtime.build.declared import DeclaredBuild
from controller.runtime.trees import install
from support.building import A_MANIFEST, Building, changed, listing
from support.registry_fixtures import a_host

pytestmark = pytest.mark.needs_root


@pytest.fixture
def victim(building: Building) -> Path:
    """A directory of the host that looks like what a recipe makes, and is somebody else's."""
    path = building.directory / "victim"
    (path / "a/isolated/usr").mkdir(parents=True)
    (path / "a/runtime.yml").write_text('name: a\nversion: "1.0.0"\n')
    (path / "a/secret").write_text("secret")
    (path / "a/secret").chmod(0o600)
    os.chown(path / "a/secret", 1234, 1234)
    return path


@pytest.mark.invariant("B1")
@pytest.mark.parametrize(
    "script",
    [
        "rm -rf /opt/joblet/runtimes; ln -s {victim} /opt/joblet/runtimes",
        "ln -s {victim}/a /opt/joblet/runtimes/a",
        "mkdir /opt/joblet/runtimes/a; ln -s {victim}/a/runtime.yml /opt/joblet/runtimes/a/runtime.yml",
        "mkdir /opt/joblet/runtimes/a; mkfifo /opt/joblet/runtimes/a/runtime.yml",
        "rm -rf /opt/joblet/runtimes; echo > /opt/joblet/runtimes",
    ],
)
def test_a_recipe_that_leaves_a_link_in_the_place_of_its_tree_takes_nothing_of_the_host(building, victim, script):
    before = listing(str(victim), content=True)

    with pytest.raises(TerminalError, match=r"left no /opt/joblet/runtimes/a/runtime\.yml"):
        building.recipe("a", script.format(victim=victim))

    assert changed(before, listing(str(victim), content=True)) == []


def test_a_recipe_that_moves_its_tree_in_the_place_of_the_one_above_is_taken_as_what_it_is(building):
    script = A_MANIFEST + "cd /opt/joblet; mv runtimes/a b; rmdir runtimes; mkdir runtimes; mv b runtimes/a"

    tree, _ = building.recipe("a", script)

    assert sorted(os.listdir(tree)) == ["isolated", "runtime.yml"]
    assert stat.S_IMODE(tree.stat().st_mode) == 0o755


_LDCONFIG = (
    "mkdir -p /usr/sbin; printf '#!/bin/sh\\n%s\\n' '{script}' > /usr/sbin/ldconfig; chmod 755 /usr/sbin/ldconfig"
)


@pytest.mark.invariant("B1")
@pytest.mark.parametrize(
    "script",
    [
        "rm -rf /var/cache; mkdir -p /var/cache; ln -s {victim} /var/cache/ldconfig",
        "rm -rf /var/cache; mkdir -p /var /usr/moved; ln -s {victim} /var/cache",
        "/bin/mv /usr/bin /usr/moved; /usr/moved/ln -s {victim} /usr/bin",
        "rm -rf /usr/local/bin; mkdir -p /usr/local; ln -s {victim} /usr/local/bin",
        "rm -rf /usr/local; ln -s {victim} /usr/local",
        "rm -rf /usr/local/lib; mkdir -p /usr/local; ln -s {victim} /usr/local/lib",
        "rm -rf /etc/ssl; mkdir -p /etc/ssl/certs; ln -s {victim} /etc/ssl/certs/java",
        "mkdir -p /etc/ssl/certs/java; ln -s {victim}/cacerts /etc/ssl/certs/java/cacerts",
        "ln -s {victim} /usr/lib/zz-linux-gnu; ln -s ../../{victim} /usr/share/out; ln -s ../../../../etc /usr/out",
    ],
)
def test_a_program_of_the_tree_that_puts_links_in_it_while_it_is_completed_reaches_nothing(building, victim, script):
    for name in ("aux-cache", "libc.so.6", "cacerts", "python3.11", "busybox"):
        (victim / name).write_text(name)
    before = listing(str(victim), content=True)
    run = _LDCONFIG.format(script=script.format(victim=victim))

    with a_host(building.directory / "runtimes") as host, pytest.raises(TerminalError) as failed:
        install.install(a_declared(building, {"base": {"from": "host"}, "run": [run]}), host)

    assert re.search(r"is a link: leave it a directory|the link .* leads out of the tree", failed.value.message)
    assert changed(before, listing(str(victim), content=True)) == []


def a_declared(building: Building, declared: dict[str, object]) -> DeclaredBuild:
    return DeclaredBuild("a", "1.0.0", BuildSource.model_validate(declared), None, building.host)
