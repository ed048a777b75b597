"""Declared builds on a host that is configured for the indexes of a test, and what became of them."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.types.runtime_sources import BuildSource
from controller.engine.errors import TerminalError, TransientError
from controller.runtime.build import host_config
from controller.runtime.build.build_log import read
from controller.runtime.build.declared import DeclaredBuild
from controller.runtime.sources.composition import Layer
from controller.runtime.trees import install, origin, tree
from controller.runtime.trees.install import Host
from support.building import Building
from support.registry_fixtures import a_host


@dataclass
class Declaring:
    """Makes builds of a@1.0.0 in `building` and installs them on `host`; the tools' user has `home`."""

    building: Building
    host: Host
    home: Path
    base: Layer | None = None

    def install(self, declared: Mapping[str, Any], environ: Mapping[str, str], name: str = "a") -> Path:
        """Build it for a daemon that was started with `environ`; return the tree."""
        found = host_config.look(environ, home=self.home)
        builds = replace(self.building.host, environment=found.environment, files=found.files, secrets=found.secrets)
        build = DeclaredBuild(name, "1.0.0", BuildSource.model_validate(declared), self.base, builds)
        return install.install(build, self.host).path

    def refused(
        self,
        declared: Mapping[str, Any],
        environ: Mapping[str, str],
        kind: type[TerminalError | TransientError] = TerminalError,
    ) -> str:
        """Build it, which is to fail and to leave nothing; return why it did."""
        before = os.listdir(self.host.root) if self.host.root.is_dir() else []
        with pytest.raises(kind) as caught:
            self.install(declared, environ)
        assert caught.value.reason == "BuildFailed"
        left = {name for name in os.listdir(self.host.root) if not name.startswith(".")}
        assert left <= set(before), left
        assert os.listdir(self.host.root / ".staging") == []
        return caught.value.message

    @property
    def log(self) -> str:
        """What the last build said."""
        return "\n".join(read(self.building.host.logs, "a-1.0.0"))


@contextlib.contextmanager
def a_declaring(building: Building, home: Path, base: Layer | None = None) -> Iterator[Declaring]:
    """Give a host for builds, whose trees are in the directory of `building`."""
    with a_host(building.directory / "runtimes") as host:
        yield Declaring(building, host, home, base)


def a_layer(path: Path) -> Layer:
    """Return the installed tree at `path` as what a build begins with."""
    found = tree.inspect(path)
    assert found.manifest is not None
    known = origin.read(path.parent, found.name, found.version)
    return Layer(found.spec, path, known.digest if known else "", found.manifest)


def said_in(tree: Path, *argv: str) -> str:
    """Return what a command says that has the tree of a runtime as its root; of the sandbox of jobs other tests tell."""
    return subprocess.run(["chroot", tree / "isolated", *argv], capture_output=True, text=True, check=True).stdout


def locked(tree: Path, group: str) -> dict[str, dict[str, str]]:
    """Return what versions.lock says of a group of packages, by their names."""
    lock = yaml.safe_load((tree / "versions.lock").read_text())
    return {package["name"]: package for package in lock[group]}
