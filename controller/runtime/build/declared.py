"""Declared builds: `spec.build` of a Runtime made into a tree, its runtime.yml and its versions.lock.

base, apt, pip, npm, files and run, in this order, in one root; then what is wanted of it is carried into isolated/,
compiled, and read back. Never here: each of these steps, and the sandbox that they run in.
Invariant: a build that made less than was asked for fails; the same build of the same packages makes the same tree.
"""

import base64
import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from api.types.runtime_sources import BuildSource
from controller.engine.clock import Clock
from controller.engine.errors import TerminalError, TransientError
from controller.linux.removal import remove_tree
from controller.registry import platforms
from controller.runtime.archives.download import Progress
from controller.runtime.build import (
    apt,
    carry,
    debian,
    environment,
    finish,
    language,
    lock_reading,
    node_packages,
    python_packages,
    roots,
)
from controller.runtime.build.build_log import BuildLog
from controller.runtime.build.commands import BUILD_FAILED, Bench, Command, Run, Share
from controller.runtime.build.lines import without_secrets
from controller.runtime.build.lock import Fetched
from controller.runtime.build.recipe import limits_of
from controller.runtime.build.roots import Root
from controller.runtime.build.sandbox import BuildHost
from controller.runtime.build.sandboxed import Sandboxed
from controller.runtime.sources.composition import Layer
from controller.runtime.trees.inventory import Inventory
from controller.runtime.trees.origin import key
from controller.runtime.trees.source import LogLine, Made, fresh_directory

if TYPE_CHECKING:
    from controller.runtime.trees.install import Host

_FORMAT = 2
"""Counts changes of how trees are made: those made before are made anew."""

_FILES = "/build/files"
_NEVER_TAKEN = ("/proc", "/sys", "/dev", "/tmp", "/run", "/root", "/work", "/volumes", "/build", "/var/tmp")
_FILES_SCRIPT = """
set -eu
while read -r number mode path; do
  mkdir -p "$(dirname "$path")"
  cp --remove-destination "/build/files/$number" "$path"
  chmod "$mode" "$path"
done < /build/files/list
"""


@dataclass(frozen=True, slots=True)
class DeclaredBuild:
    """A version of a runtime that is built here; `base` is the runtime that it begins with, if it begins with one."""

    name: str
    version: str
    build: BuildSource
    base: Layer | None
    builds: BuildHost = field(compare=False)

    @property
    def kind(self) -> str:
        """What kind of source it is."""
        return "build"

    @property
    def offered_by(self) -> str:
        """Nobody."""
        return ""

    @property
    def size_bytes(self) -> int | None:
        """Not known."""
        return None

    @property
    def fingerprint(self) -> str:
        """What identifies what was asked for: the build, and the content of the runtime it begins with."""
        asked = self.build.model_dump(mode="json", by_alias=True, exclude={"resources"})
        text = json.dumps([_FORMAT, asked, self.base.digest if self.base else ""], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def refuse(self, platform: str) -> str:
        """Say why it cannot be built on `platform`: it is for another processor."""
        asked = {platforms.architecture(name) for name in self.build.requirements.architectures}
        machine = platform.rpartition("-")[2]
        if asked and machine not in asked:
            return f"{self.name}@{self.version}: it is built for {', '.join(sorted(asked))}, this host is {machine}"
        return ""

    def make(self, staging: Path, host: "Host", progress: Progress | None, log: LogLine) -> Made:
        """Build it in the empty directory `staging`."""
        self.builds.refuse_unless_held()
        self._check()
        work, payload = fresh_directory(staging / "work"), fresh_directory(staging / "tree")
        with BuildLog(self.builds.logs, key(self.name, self.version)) as kept:
            both = kept.and_to(log)
            try:
                python, node = self._make(Bench(self._run_in(work, host.clock, progress), both), work, payload, host)
            except (TransientError, TerminalError) as error:
                both(f"runwright: {error.message}")
                raise
            finally:
                remove_tree(work)
        return Made(payload, loose=(*python.loose, *node.loose), scripts=(*python.scripts, *node.scripts))

    def _run_in(self, work: Path, clock: Clock, progress: Progress | None) -> Run:
        """Return what runs the commands: the build sandbox, within the limits that are asked for."""

        def tick() -> None:
            if progress is not None:
                progress(0, None)

        resources = self.build.resources
        limits = limits_of(resources, self.builds.default_limits)
        called = key(self.name, self.version)
        return Sandboxed(called, self.builds, clock, work, limits, resources.timeout_seconds, tick)

    def _make(self, bench: Bench, work: Path, payload: Path, host: "Host") -> tuple[Fetched, Fetched]:
        """Make the tree; return what pip and npm said."""
        architecture = host.platform.rpartition("-")[2]
        base = self._base(host)
        root = roots.make(bench, work, self.build, architecture, base)
        root, python, node = self._add_packages(bench, work, root, architecture)
        always = self._add_files(bench, work, root.path)
        self._run(bench, root.path)
        manifest, inherited = base.manifest if base else None, lock_reading.of_base(self.base.path) if self.base else {}
        asked = finish.Asked(self.name, self.version, self.build, host.platform, manifest, python, node, inherited)
        finish.finish(bench, root, payload, always, asked)
        return python, node

    def _base(self, host: "Host") -> roots.Base | None:
        if self.base is None:
            return None
        stock = Inventory.of(host, self.base.spec, self.base.path, self.base.digest)
        return roots.Base(stock, self.base.manifest)

    def _check(self) -> None:
        """Refuse what cannot be built before anything is done."""
        language.check(self.build.base)
        apt.check_names(self.build.apt)
        python_packages.requirements(self.build.pip)
        node_packages.check(self.build.npm)
        if self.build.npm and self.base is None:
            node_packages.refuse_without_node(self.build.base.language, self.build.apt)
        for file in self.build.files:
            if any(file.path == top or file.path.startswith(f"{top}/") for top in _NEVER_TAKEN):
                raise TerminalError(BUILD_FAILED, f"cannot put {file.path} into the tree: jobs have their own there")
            if "\n" in file.path:
                raise TerminalError(BUILD_FAILED, f"cannot put {file.path!r} into the tree: it has a line break in it")

    def _add_packages(self, bench: Bench, work: Path, root: Root, architecture: str) -> tuple[Root, Fetched, Fetched]:
        python = node = Fetched()
        if self.build.pip:
            root, python = self._add_python_packages(bench, work, root, architecture)
        if self.build.npm:
            node = node_packages.install(bench, root.path, work / "npm", self.build.npm)
        return root, python, node

    def _add_python_packages(self, bench: Bench, work: Path, root: Root, architecture: str) -> tuple[Root, Fetched]:
        """Install what pip is asked for; where that has to be compiled, with a compiler that does not stay."""
        python = finish.interpreter(root.path, self.build.base.version)
        try:
            return root, python_packages.install(bench, root.path, work / "pip", python, self.build.pip)
        except TerminalError as error:
            if root.archives is None or not python_packages.needs_compiler(error):
                raise
        bench.log("runwright: a package has to be compiled: adding a compiler to the build's root")
        debian.add(bench, root.path, work, architecture, python_packages.COMPILER)
        root = replace(root, before=carry.look(root.path))
        return root, python_packages.install(bench, root.path, work / "pip", python, self.build.pip)

    def _add_files(self, bench: Bench, work: Path, root: Path) -> frozenset[str]:
        """Put the files that are named into the root, as somebody in it would; return their paths."""
        if not self.build.files:
            return frozenset()
        directory = work / "files"
        directory.mkdir()
        listed = []
        for number, file in enumerate(self.build.files):
            content = file.text.encode() if file.text is not None else base64.b64decode(file.base64 or "")
            (directory / str(number)).write_bytes(content)
            listed.append(f"{number} {file.mode:o} {file.path}\n")
        (directory / "list").write_text("".join(listed))
        command = Command(
            ("/bin/sh", "-c", _FILES_SCRIPT),
            root=root,
            env=environment.of_commands(self.build),
            writable=(Share(directory, _FILES),),
        )
        bench.do("put the files into the tree", command)
        return frozenset(roots.inside(root, file.path) for file in self.build.files)

    def _run(self, bench: Bench, root: Path) -> None:
        for number, text in enumerate(self.build.run):
            bench.log(f"runwright: run[{number}]: {without_secrets(text, self.builds.secrets)}")
            command = Command(
                ("/bin/sh", "-ec", text), root=root, env=environment.of_commands(self.build), network=True
            )
            bench.do(f"carry out run[{number}]", command)
