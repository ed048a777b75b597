"""Looks whether a tree works, wherever it lies: in staging before it is used, or in its place later on.

Invariant: what could not be looked at is a problem, never silently healthy.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from api.packages.manifest import Manifest
from api.types.runtime_sources import HealthCheck
from controller.runtime.health import libraries
from controller.runtime.health.probes import CannotProbe, Probe, probes

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


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What was found. `shown` are the things that were seen to work."""

    problems: tuple[str, ...]
    shown: tuple[str, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether everything that was looked at works."""
        return not self.problems

    @property
    def message(self) -> str:
        """What to tell a person."""
        if self.is_healthy:
            return f"{', '.join(self.shown)}" if self.shown else "nothing in it can be started"
        told = list(self.problems[:_MOST_PROBLEMS])
        if more := len(self.problems) - len(told):
            told.append(f"and {more} more")
        return "; ".join(told)


def check(tree: Path, name: str, manifest: Manifest, wanted: HealthCheck, prober: Prober) -> HealthReport:
    """Look at the libraries of `tree`, then at what starts in it, as the runtime `name`."""
    problems = list(libraries.missing(tree, manifest))
    shown = [] if problems else ["all libraries are there"]
    try:
        commands = probes(name, manifest, wanted)
    except CannotProbe as error:
        return HealthReport((*problems, str(error)), tuple(shown))
    for probe in commands:
        problem = _try(probe, tree, manifest, wanted.timeout_seconds, prober)
        if problem:
            problems.append(problem)
        else:
            shown.append(probe.shows)
    return HealthReport(tuple(problems), tuple(shown))


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
