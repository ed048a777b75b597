"""Where everything lies: one root moves it all, for trials and tests."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from controller.cgroup import slice as slices
from controller.daemon.settings import Settings

_LONGEST_UNIX_PATH = 107  # Source: unix(7).
_ASIDE_BYTES = len(".new") + 1  # Sockets are made aside and renamed.


class PathsError(OSError):
    """A directory of the daemon's cannot be made; the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Absolute paths of all that the daemon reads and writes, below `root`."""

    root: Path
    config: Path
    runtimes: Path
    credentials: Path
    state: Path
    run: Path
    logs: Path
    manifests: Path
    inbox: Path
    volumes: Path

    @classmethod
    def of(cls, root: Path, settings: Settings) -> "Paths":
        """Return the paths that `settings` name, moved under `root`."""

        def under(path: str) -> Path:
            return root / path.lstrip("/")

        return cls(
            root=root,
            config=under("/etc/runwright/config.yaml"),
            runtimes=under(settings.runtime.base_path),
            credentials=under(settings.runtime.credentials_directory),
            state=under(settings.state.directory),
            run=under("/run/runwright"),
            logs=under(settings.logs.directory),
            manifests=under(settings.manifests.directory),
            inbox=under(settings.manifests.inbox),
            volumes=under(settings.volumes.directory),
        )

    @property
    def database(self) -> Path:
        """The store's SQLite file."""
        return self.state / "store.db"

    @property
    def runs(self) -> Path:
        """Run directories: on disk, not in /run, so that exit records survive a restart of the host."""
        return self.state / "runs"

    @property
    def memory_places(self) -> tuple[Path, ...]:
        """Where secret files of runs may be, if it is in memory: below /run, else in a place of this root's own."""
        own = hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:8]
        return (self.run / "secrets", Path(f"/dev/shm/runwright-{own}"))

    @property
    def registry_cache(self) -> Path:
        """Catalogues as last fetched."""
        return self.state / "registries"

    @property
    def package_caches(self) -> Path:
        """What package managers in runs keep; runs of all jobs write there."""
        return self.state / "caches"

    @property
    def contents(self) -> Path:
        """What was uploaded for jobs; on the disk of the runs' directories, which have further names of it."""
        return self.state / "contents"

    @property
    def artifacts(self) -> Path:
        """What is kept of runs after their end."""
        return self.state / "artifacts"

    @property
    def api_socket(self) -> Path:
        """The HTTP API's unix socket."""
        return self.run / "api.sock"

    @property
    def launcher_socket(self) -> Path:
        """The launcher's unix socket."""
        return self.run / "launcher.sock"

    @property
    def launcher_dir(self) -> Path:
        """The launcher's own: the control FIFOs of its runs."""
        return self.run / "launcher"

    @property
    def authority(self) -> Path:
        """The CA's key, and the server's certificate."""
        return self.state / "pki"

    @property
    def audit_log(self) -> Path:
        """Who did what."""
        return self.logs / "audit.log"

    @property
    def audit_log_of_unknown(self) -> Path:
        """What was asked for by nobody who is known."""
        return self.logs / "audit-unknown.log"

    @property
    def job_logs(self) -> Path:
        """The logs of runs."""
        return self.logs / "jobs"

    @property
    def build_logs(self) -> Path:
        """The logs of the builds of runtimes."""
        return self.logs / "builds"

    @property
    def launcher_log(self) -> Path:
        """What goes wrong in the launcher and in supervisors."""
        return self.logs / "launcher.log"

    @property
    def daemon_lock(self) -> Path:
        """Held by the one daemon of this root."""
        return self.run / "runwrightd.lock"

    def cgroup_parent(self, settings: Settings) -> str:
        """The cgroup under which all runs of this root are."""
        return f"{self.cgroup_slice(settings)}/{slices.RUNS}"

    def cgroup_slice(self, settings: Settings) -> str:
        """The cgroup of runs, builds and supervisors together: its own for each root but `/`."""
        if settings.cgroup.parent:
            return settings.cgroup.parent
        if self.root == Path("/"):
            return "runwright"
        return f"runwright-{hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:8]}"

    def make(self) -> None:
        """Make the directories that the daemon writes to, closed to others where they hold secrets.

        Raises:
            PathsError: one cannot be made, or the sockets would have too long a path.
        """
        longest = len(os.fsencode(self.launcher_socket)) + _ASIDE_BYTES
        if longest > _LONGEST_UNIX_PATH:
            raise PathsError(f"cannot use {self.run}: its path is too long for a unix socket: use a shorter --root")
        for directory in (
            self.state,
            self.run,
            self.logs,
            self.job_logs,
            self.runs,
            self.registry_cache,
            self.package_caches,
            self.volumes,
            self.launcher_dir,
        ):
            _make(directory)
            directory.chmod(0o700)
        for directory in (self.runtimes, self.inbox.parent):
            _make(directory)
        if not self.database.exists():
            # Only at the first start: later, a directory that is missing may be a disk that is not mounted, and an
            # empty one in its place would be believed, and everything pruned.
            _make(self.manifests)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "make it a directory that root can write to, or use another --root"
        raise PathsError(f"cannot make the directory {directory}: {error.strerror}: {fix}") from error
