"""Looks whether a tree works, wherever it lies: in staging before it is used, or in its place later on.

Invariant: what could not be looked at is a problem, never silently healthy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from api.packages.manifest import Manifest
from api.types.runtime_sources import HealthCheck
from controller.runtime.health import libraries
from controller.runtime.health.probes import CannotProbe, Probe, probes
from controller.runtime.trees.source import HealthReport

_MOST_PROBLEMS = 10
_MOST_CHARACTERS = 400
_NOT_FOUND = 127


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How a command in the sandbox ended. `exit_code` is None where it never ran; `reason` then says why."""

    exit_code: int | None
    output: str
    reason: str = ""


class Prober(Protocol):
    """Runs a command in the very sandbox that a job of the runtime would get."""

    def run(self, tree: Path, manifest: Manifest, argv: tuple[str, ...], timeout_seconds: float) -> ProbeResult:
        """Return how `argv` ended in the runtime whose tree is `tree`."""
        ...


def check(tree: Path, name: str, manifest: Manifest, wanted: HealthCheck, prober: Prober) -> HealthReport:
    """Look at the libraries of `tree`, then at what starts in it, as the runtime `name`."""
    lacking = libraries.missing(tree, manifest)
    shown = [] if lacking else ["all libraries are there"]
    broken = list[str]()
    try:
        commands = probes(name, manifest, wanted)
    except CannotProbe as error:
        return _report(lacking, [str(error)], shown)
    for probe in commands:
        problem = _try(probe, tree, manifest, wanted.timeout_seconds, prober)
        if problem:
            broken.append(problem)
        else:
            shown.append(probe.shows)
    return _report(lacking, broken, shown)


def _report(lacking: Sequence[str], broken: Sequence[str], shown: Sequence[str]) -> HealthReport:
    """Return the report of the libraries that are lacking, of what does not work, and of what was seen to work."""
    problems = [*broken, *lacking]
    if not problems:
        return HealthReport(healthy=True, message=", ".join(shown) or "nothing in it can be started")
    told = list(problems[:_MOST_PROBLEMS])
    if more := len(problems) - len(told):
        told.append(f"and {more} more")
    # A program that nobody starts may lack a library, and all that counts still works.
    return HealthReport(healthy=False, message="; ".join(told), works=not broken and bool(shown))


def _try(probe: Probe, tree: Path, manifest: Manifest, timeout_seconds: float, prober: Prober) -> str:
    """Return what is wrong; empty if nothing is."""
    result = prober.run(tree, manifest, probe.argv, timeout_seconds)
    for argv in probe.instead:
        if result.exit_code != _NOT_FOUND:
            break
        result = prober.run(tree, manifest, argv, timeout_seconds)
    if result.exit_code == 0:
        return ""
    said = " ".join(result.output.split())[-_MOST_CHARACTERS:]
    how = result.reason or f"exit code {result.exit_code}"
    return f"not true that {probe.shows}: {how}" + (f": {said}" if said else "")
