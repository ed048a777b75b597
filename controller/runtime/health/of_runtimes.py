"""Whether trees of Runtimes work, by what each Runtime says must: at installs, and whenever somebody asks.

Never here: how that is looked at (`health/`).
Invariant: `rnx runtime test`, the Healthy condition and the check before a version is used are this one look.
"""

from dataclasses import dataclass
from pathlib import Path

from api.packages.manifest import Manifest
from api.types.runtime import Runtime
from controller.runtime.health import check
from controller.runtime.health.check import Prober
from controller.runtime.trees import locks, origin, tree
from controller.runtime.trees.install import Host
from controller.runtime.trees.source import HealthLook, HealthReport, TreeSource


@dataclass(frozen=True, slots=True)
class HealthOfRuntimes:
    """Looks at trees with `prober`; without one nobody looks, and nothing is known."""

    host: Host
    prober: Prober | None = None

    def of(self, runtime: Runtime) -> HealthLook | None:
        """Return what looks at a tree of `runtime` before it is used."""
        prober = self.prober
        if prober is None:
            return self.host.health

        def look(payload: Path, manifest: Manifest, source: TreeSource) -> HealthReport:
            return _look(source.name, runtime, payload, manifest, prober)

        return look

    def test(self, runtime: Runtime, version: str) -> str:
        """Look at an installed version, keep in its record how it is, and say so; empty if it works."""
        name, root = runtime.meta.name, self.host.root
        found = tree.inspect(root / origin.key(name, version))
        if found.manifest is None:
            return "; ".join(found.problems)
        if self.prober is None:
            return "this host cannot look whether runtimes work"
        report = _look(name, runtime, found.path, found.manifest, self.prober)
        with locks.exclusive(root, found.path.name, wait=True):
            record = origin.read(root, name, version)
            if record is not None:
                origin.note_health(root, record, report, self.host.clock.now())
        return "" if report.healthy else report.message


def _look(name: str, runtime: Runtime, path: Path, manifest: Manifest, prober: Prober) -> HealthReport:
    return check.check(path, name, manifest, runtime.spec.health_check, prober)
