"""Recipes: packages in Joblet's released format, whose setup script makes the tree; and the source that runs one.

The script finds what Joblet's server gave it: the package in /tmp/runtime-source, the same variables, root, a host to
copy from. What it leaves in /opt/joblet/runtimes/NAME is the tree; whatever else it did is gone with its sandbox.
Never here: isolation (`sandbox`), what a tree must hold (`install.py`).
Invariant: a recipe worked if its script ended with 0 and left a runtime.yml. Nothing takes the place of what failed.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from api.packages.identity import SETUP
from api.types.job_resources import Resources
from api.types.runtime_sources import BuildLimits
from controller.cgroup.limits import Limits
from controller.engine.clock import Clock
from controller.engine.errors import TerminalError, TransientError
from controller.linux.removal import remove_tree
from controller.registry.parts import Parts
from controller.runtime.archives import download
from controller.runtime.archives.download import Archive, Progress
from controller.runtime.build import apt_config, beneath, taken_out
from controller.runtime.build.build_log import BuildLog
from controller.runtime.build.commands import BUILD_FAILED, failure
from controller.runtime.build.order import BuildRun
from controller.runtime.build.sandbox import BuildEnd, BuildHost, BuildResult, HostOverlay, run_build
from controller.runtime.build.sandboxed import local_indexes
from controller.runtime.trees.origin import key
from controller.runtime.trees.source import LogLine, Made, fresh_directory
from controller.runtime.trees.tree import MANIFEST

if TYPE_CHECKING:
    from controller.runtime.trees.install import Host

SOURCE = "/tmp/runtime-source"
JOBLET = "/opt/joblet"
RUNTIMES = f"{JOBLET}/runtimes"
_NO_ENVIRONMENT: Mapping[str, str] = {}


def script_for(platform: str, names: Sequence[str]) -> str | None:
    """Return which of the files `names` of a package is run on `platform`, or None if none is for it.

    >>> script_for("ubuntu-amd64", ["setup.sh", "setup-ubuntu-amd64.sh"]), script_for("rhel-arm64", ["setup.sh"])
    ('setup-ubuntu-amd64.sh', 'setup.sh')
    """
    return next((name for name in (f"setup-{platform}.sh", SETUP) if name in names), None)


def variables(name: str, version: str, build_id: str) -> dict[str, str]:
    """Return what every setup script finds in its environment, whatever the host is configured for.

    >>> variables("node-18", "1.0.0", "install-7")["RUNTIME_SPEC"]
    'node-18'
    """
    return {
        "PATH": "/usr/bin:/bin:/sbin:/usr/sbin",
        "HOME": "/root",
        "RUNTIME_NAME": name,
        "RUNTIME_SPEC": name,
        "RUNTIME_VERSION": version,
        "RUNTIME_DIR": RUNTIMES,
        "BUILD_ID": build_id,
        "JOBLET_CHROOT": "true",
        # Nobody is there to answer.
        "DEBIAN_FRONTEND": "noninteractive",
    }


def limits_of(resources: BuildLimits, defaults: Limits) -> Limits:
    """Return the cgroup limits that `resources` ask for, and `defaults` where they do not say.

    Raises:
        TerminalError: BuildFailed, they ask for what a build cannot be held to.
    """
    wanted = resources.limits
    unheld = Resources(limits=wanted).numbers().keys() - {"cpu", "memory", "pids"}
    if unheld - {"work"}:
        names = ", ".join(sorted(unheld - {"work"}))
        raise TerminalError(BUILD_FAILED, f"cannot limit {names} of a build: only cpu, memory and pids: leave it out")
    if unheld:
        why = "builds are ended when their disk is down to what must stay free, each has no limit of its own"
        raise TerminalError(BUILD_FAILED, f"cannot limit the ephemeral-storage of a build: {why}: leave it out")
    return Limits(
        memory_bytes=defaults.memory_bytes if wanted.memory_bytes is None else wanted.memory_bytes,
        cpu_millicpu=defaults.cpu_millicpu if wanted.millicpu is None else wanted.millicpu,
        pids=defaults.pids if wanted.pids is None else wanted.pids,
    )


@dataclass(frozen=True, slots=True)
class RecipeBuilder:
    """Runs recipes on this host: a `RecipeMaker`."""

    builds: BuildHost
    platform: str
    clock: Clock

    def __call__(
        self,
        package: Path,
        name: str,
        version: str,
        staging: Path,
        log: LogLine,
        *,
        env: Mapping[str, str] = _NO_ENVIRONMENT,
        resources: BuildLimits | None = None,
        tick: Callable[[], None] | None = None,
    ) -> Path:
        """Run the recipe in the directory `package`, which is gone afterwards; return the tree, below `staging`.

        Raises:
            TransientError: InsufficientSpace, CannotStart, or BuildFailed where its words are those of a bad network.
            TerminalError: PlatformUnsupported, BuildFailed, InvalidRuntime; its script's last words are in it.
        """
        self.builds.refuse_unless_held()
        script = script_for(self.platform, os.listdir(package))
        if script is None:
            raise TerminalError("PlatformUnsupported", _no_script(name, version, self.platform, package))
        asked = resources or BuildLimits()
        made = staging / "joblet"
        for directory in (made, made / "runtimes"):
            fresh_directory(directory)
        run = BuildRun(
            name=key(name, version),
            argv=("/bin/bash", "-e", script),
            env={**self.builds.environment, **self._variables(name, version), **env},
            cwd=SOURCE,
            root=HostOverlay(),
            scratch=staging / "scratch",
            limits=limits_of(asked, self.builds.default_limits),
            timeout_seconds=asked.timeout_seconds,
            writable=((package, SOURCE), (made, JOBLET)),
            readable=(
                *((path, str(path)) for path in local_indexes(self.builds.environment, self.builds.files)),
                *apt_config.shares(self.builds.environment),
            ),
            files=self.builds.files,
            network=True,
        )
        try:
            return self._carried(run, made, name, version, log, tick)
        finally:
            for place in (made, package):  # However deep the script made them; the tree is out by then.
                remove_tree(place)

    def _carried(
        self, run: BuildRun, made: Path, name: str, version: str, log: LogLine, tick: Callable[[], None] | None
    ) -> Path:
        with BuildLog(self.builds.logs, key(name, version)) as kept:
            both = kept.and_to(log)
            both(f"runwright: {run.argv[-1]} of {name}@{version} on {self.platform}")
            result = run_build(run, self.builds, both, tick=tick)
            both(f"runwright: {result.message}")
            _refuse_unless_ok(result, name, version)
            tree = run.scratch.parent / "tree"
            if not _take_out(made, name, tree):
                raise _made_nothing(name, version, result)
            taken_out.normalise(tree, f"{RUNTIMES}/{name}", both)
            for source in taken_out.add_missing_sources(tree):
                both(f"runwright: runtime.yml mounts {source}, which the script did not make: it is an empty directory")
        return tree

    def _variables(self, name: str, version: str) -> dict[str, str]:
        return variables(name, version, f"install-{int(self.clock.now().timestamp())}")


@dataclass(frozen=True, slots=True)
class RecipeSource:
    """A recipe as a source of its own: a directory or an archive on this host or, with its checksum, on another."""

    name: str
    version: str
    url: str
    checksum: str
    env: tuple[tuple[str, str], ...]
    resources: BuildLimits
    fingerprint: str = ""

    @property
    def kind(self) -> str:
        """What kind of source it is."""
        return "recipe"

    @property
    def offered_by(self) -> str:
        """Nobody."""
        return ""

    @property
    def size_bytes(self) -> int | None:
        """Not known."""
        return None

    def refuse(self, platform: str) -> str:
        """Nothing: what it is for is seen when it is there."""
        return ""

    def make(self, staging: Path, host: "Host", progress: Progress | None, log: LogLine) -> Made:
        """Bring the package into `staging` and run it."""
        if host.build_recipe is None:
            raise TerminalError("SourceUnsupported", f"cannot install {self.name}@{self.version}: no builds here")
        package = staging / "package"
        made = self._fetched(package, host, progress)

        def tick() -> None:
            if progress is not None:
                progress(made.archive_bytes, None)

        # A build of its own directory: what install.py moves away must not have the package beside it in it.
        payload = host.build_recipe(
            made.payload, self.name, self.version, fresh_directory(staging / "built"), log,
            env=dict(self.env), resources=self.resources, tick=tick,
        )  # fmt: skip
        return Made(payload, made.url, made.sha256, made.archive_bytes)

    def _fetched(self, package: Path, host: "Host", progress: Progress | None) -> Made:
        local = _local_path(self.url)
        if local is not None and local.is_dir():
            _copy_package(local, package)
            return Made(package, self.url)
        sha256 = self.checksum or _sha256(local)
        wanted = Archive(
            self.url if local is None else f"file://{quote(str(local))}", sha256, promised_by="spec.recipe"
        )
        descriptor = os.open(fresh_directory(package), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            got = download.fetch_into(
                descriptor, wanted, host.client, limits=host.limits, progress=progress, patience=host.patience,
                parts=Parts.below(host.root, host.clock, host.space_floor_bytes),
            )  # fmt: skip
        finally:
            os.close(descriptor)
        return Made(package / (got.unpacked.wrapper or ""), self.url, sha256, got.archive_bytes)


def _local_path(url: str) -> Path | None:
    """Return the path on this host that `url` is, if it is one."""
    if url.startswith("file://"):
        return Path(unquote(url.removeprefix("file://")))
    return Path(url) if url.startswith("/") else None


def _sha256(path: Path | None) -> str:
    """Return the checksum of a file of this host that is taken as it is."""
    if path is None:  # Admission refuses it: a recipe from the network has a checksum.
        raise TerminalError("ChecksumMismatch", "cannot use a recipe from the network without its checksum: add it")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TransientError("NotFound", f"cannot read the recipe {path}: {error.strerror}") from error


def _copy_package(directory: Path, package: Path) -> None:
    try:
        shutil.copytree(directory, package, symlinks=True)
    except (OSError, shutil.Error) as error:
        raise TransientError("Unreachable", f"cannot read the recipe {directory}: {error}") from error


def _refuse_unless_ok(result: BuildResult, name: str, version: str) -> None:
    if result.ok:
        return
    purpose = f"build {name}@{version}"
    if result.reason is BuildEnd.EXITED:
        raise failure(purpose, result.exit_code or 0, result.tail)
    message = f"cannot {purpose}: {result.message}: {_last_words(result)}"
    if result.reason in (BuildEnd.NO_SPACE, BuildEnd.LOST):
        raise TransientError("InsufficientSpace" if result.reason is BuildEnd.NO_SPACE else BUILD_FAILED, message)
    raise TerminalError(BUILD_FAILED, message)


def _take_out(made: Path, name: str, tree: Path) -> bool:
    """Move the directory NAME of `made`/runtimes to `tree`; False if there is none that holds a manifest.

    The script could put a link, or anything, in the place of each of these names: no link is followed. A manifest that
    is a link is none, and neither is a tree that is one.
    """
    try:
        with beneath.directory(made, "runtimes") as runtimes:
            if not beneath.is_file(made, f"runtimes/{name}/{MANIFEST}"):
                return False
            os.rename(name, tree, src_dir_fd=runtimes)
    except (FileNotFoundError, TerminalError):
        return False
    return True


def _made_nothing(name: str, version: str, result: BuildResult) -> TerminalError:
    why = f"its script ended with 0, but left no {RUNTIMES}/{name}/{MANIFEST}"
    return TerminalError(BUILD_FAILED, f"cannot build {name}@{version}: {why}: {_last_words(result)}")


def _last_words(result: BuildResult) -> str:
    said = [line for line in result.tail if line.strip()][-12:]
    return "it said last: " + " | ".join(line[:300] for line in said) if said else "it said nothing"


def _no_script(name: str, version: str, platform: str, package: Path) -> str:
    there = ", ".join(sorted(entry for entry in os.listdir(package) if entry.startswith("setup"))) or "none"
    return (
        f"cannot build {name}@{version}: it has no setup-{platform}.sh and no {SETUP} for this host; "
        f"its scripts: {there}"
    )
