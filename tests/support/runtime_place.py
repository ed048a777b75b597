"""A real daemon with a registry of small shell runtimes, served over HTTP, and short ways to ask it for things."""

import itertools
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.kinds import REGISTRY, RUNTIME, Kind
from api.meta import API_VERSION, Document
from controller.registry import platforms
from support import host
from support.daemon import Daemon, a_daemon
from support.registry_fixtures import RegistryOnDisk, Server, served
from support.shell_runtime import shell_package

HERE = platforms.host_platform(Path("/etc/os-release").read_text(), platform.machine())
SETTINGS = ("runtime.minimum_free=1Mi", "jobs.workers=8")


class Place:
    """A daemon, a registry on disk, and the server that shows it to the daemon."""

    def __init__(self, daemon: Daemon, registry: RegistryOnDisk, server: Server) -> None:
        self.daemon = daemon
        self.registry = registry
        self.server = server
        self.root = daemon.root / "opt/joblet/runtimes"
        self._looks = itertools.count()

    def offer(self, name: str, *versions: str, **changed: object) -> None:
        for version in versions:
            self.registry.add(name, version, shell_package(name, version), **{"platforms": [HERE], **changed})

    def declare(self, kind: Kind, name: str, **spec: object) -> Document:
        document = {"apiVersion": API_VERSION, "kind": kind.name, "metadata": {"name": name}, "spec": spec}
        return self.daemon.client.apply(kind, "", document).document

    def look_at_registry(self) -> None:
        """Have the daemon read the catalogue again, which it does by itself once in a while."""
        patch = {"metadata": {"annotations": {"tests/looks": str(next(self._looks))}}}
        self.daemon.client.merge_patch(REGISTRY, "", "tests", patch)

    def runtime(self, name: str) -> Document:
        return self.daemon.get(RUNTIME, name)

    def ready(self, name: str, reason: str = "Installed", kind: Kind = RUNTIME) -> Document:
        """Wait until the Ready condition of an object has `reason`; return the condition."""

        def said() -> Document | None:
            item = self.daemon.get(kind, name)
            conditions = item.get("status", {}).get("conditions", ())
            observed = item.get("status", {}).get("observedGeneration") == item.get("metadata", {}).get("generation")
            return next((c for c in conditions if observed and c["type"] == "Ready" and c["reason"] == reason), None)

        found: Document = self.daemon.until(f"{name} is {reason}, not {self.daemon.get(kind, name)}", said, 20)
        return found

    def versions(self, name: str) -> dict[str, Document]:
        return {v["version"]: v for v in self.runtime(name).get("status", {}).get("versions", ())}

    def gone(self, kind: Kind, name: str) -> None:
        self.daemon.until(f"{name} is gone", lambda: not self.daemon.get(kind, name))

    def waits(self, job: str, reason: str) -> str:
        """Wait until a job waits for `reason`; return what it says."""
        found: Document = self.daemon.until(
            f"{job} waits for {reason}",
            lambda: (s := self.daemon.status(job)).get("reason") == reason and s,
        )
        return str(found["message"])

    def output(self, job: str, script: str, **spec: object) -> str:
        """Run a shell script; return what it printed."""
        self.daemon.shell(job, script, **spec)
        status = self.daemon.ended(job)
        printed = self.daemon.log_of(job)
        assert status["phase"] == "Succeeded", (status, printed)
        return printed


@contextmanager
def a_place(directory: Path, *more_settings: str) -> Iterator[Place]:
    """A daemon whose host is as it was before when it is gone; the registry is in `directory`."""
    before = host.snapshot()
    registry = RegistryOnDisk(directory)
    registry.path.mkdir(exist_ok=True)
    registry.write()
    with served(registry.path) as server, a_daemon(*SETTINGS, *more_settings) as daemon:
        place = Place(daemon, registry, server)
        place.declare(REGISTRY, "tests", url=f"{server.url}/registry.json", cacheSeconds=0)
        place.ready("tests", "Fetched", REGISTRY)
        yield place
    host.assert_as_before(before)
