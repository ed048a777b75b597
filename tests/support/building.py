"""Builds in the real build sandbox, and recipes run in it, from directories of the test's own."""

import hashlib
import itertools
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from controller.cgroup import choose
from controller.cgroup.limits import Limits
from controller.runtime.build.order import BuildRun
from controller.runtime.build.recipe import RecipeBuilder
from controller.runtime.build.sandbox import BuildHost, BuildResult, HostOverlay, run_build
from support.hand_clock import HandClock

PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
_numbers = itertools.count()


@dataclass
class Ran:
    """What became of a script, and what it said."""

    result: BuildResult
    lines: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass
class Building:
    """A host for builds in `directory`, whose cgroups are this test's own."""

    directory: Path
    host: BuildHost
    clock: HandClock = field(default_factory=HandClock)

    @classmethod
    def at(cls, directory: Path, **changed: Any) -> "Building":
        parent = f"runwright-test-{os.getpid()}-b{next(_numbers)}"
        host = BuildHost(parent, directory / "logs", hidden=(directory,), space_floor_bytes=0)
        return cls(directory, replace(host, **changed))

    def spec(self, *argv: str, **changed: Any) -> BuildRun:
        run = BuildRun(
            name="a-build",
            argv=argv,
            env={"PATH": PATH, "HOME": "/root"},
            cwd="/",
            root=HostOverlay(),
            scratch=self.directory / f"scratch-{next(_numbers)}",
            limits=Limits(1 << 30, None, 500),
            timeout_seconds=60,
        )
        return replace(run, **changed)

    def run(self, *argv: str, tick: Callable[[], None] | None = None, **changed: Any) -> Ran:
        lines: list[str] = []
        result = run_build(self.spec(*argv, **changed), self.host, lines.append, tick=tick)
        return Ran(result, lines)

    def shell(self, script: str, **changed: Any) -> Ran:
        return self.run("bash", "-c", script, **changed)

    def recipes(self, platform: str = "ubuntu-amd64") -> RecipeBuilder:
        return RecipeBuilder(self.host, platform, self.clock)

    def recipe(self, name: str, script: str, **options: Any) -> tuple[Path, list[str]]:
        """Run `script` as the recipe of NAME@1.0.0; return its tree and what it said."""
        staging = self.directory / f"staging-{next(_numbers)}"
        package = a_recipe(staging / "package", script)
        (staging / "built").mkdir()
        lines: list[str] = []
        tree = self.recipes()(package, name, "1.0.0", staging / "built", lines.append, **options)
        return tree, lines

    def close(self) -> None:
        """Remove the cgroups' parent, failing if anything is left below it, and the directory."""
        lifecycle = choose.open_lifecycle(choose.hierarchies_of_host(), self.host.cgroup_parent)
        left = lifecycle.names()
        for name in left:
            lifecycle.kill(name)
            lifecycle.remove(name)
        lifecycle.remove_parent()
        lifecycle.close()
        shutil.rmtree(self.directory)
        assert not left, f"cgroups of builds are left: {left}"


def a_recipe(path: Path, script: str, name: str = "setup.sh") -> Path:
    """Write a package whose setup script is `script`."""
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_text(script)
    return path


A_MANIFEST = """
mkdir -p "/opt/joblet/runtimes/$RUNTIME_NAME/isolated/usr/bin"
cd "/opt/joblet/runtimes/$RUNTIME_NAME"
cat > runtime.yml <<END
name: $RUNTIME_NAME
version: "$RUNTIME_VERSION"
mounts: [{source: isolated/usr, target: /usr, readonly: true}]
END
"""
"""The part of a setup script that makes a runtime of it."""


def listing(*places: str, content: bool = False, skip: Iterable[str] = ()) -> dict[str, str]:
    """Return everything below `places` with all that `ls -lai` tells of it; with `content`, with its sha256 too.

    The time of change is in it, which no program can set back: equal listings are of untouched files.
    """
    skipped = frozenset(skip)
    found = {}
    waiting = list(places)
    while waiting:
        path = waiting.pop()
        if path in skipped:
            continue
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        line = f"{status.st_mode:o} {status.st_uid} {status.st_gid} {status.st_ino} {status.st_ctime_ns}"
        if stat.S_ISDIR(status.st_mode):
            waiting.extend(f"{path.rstrip('/')}/{name}" for name in os.listdir(path))
        else:
            line += f" {status.st_size}"
        if content and stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                line += f" {hashlib.file_digest(file, 'sha256').hexdigest()}"
        found[path] = line
    return found


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the paths in which two listings differ."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
