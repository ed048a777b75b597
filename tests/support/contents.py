"""Contents that were uploaded, in a directory of a test's."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from controller.contents.arriving import Arriving
from controller.contents.store import Contents, Limits
from controller.engine.clock import Clock
from controller.job.artifacts import KeptArtifacts
from controller.job.artifacts import Limits as ArtifactLimits

LIMITS = Limits(one=1 << 30, of_namespace=2 << 30, of_all=4 << 30, minimum_free=0, grace_seconds=3600)
BOOT = "this-boot"


def open_uploads(root: Path, clock: Clock, **limits: Any) -> Arriving:
    """Return what receives uploads below `root`, within the usual limits but for these."""
    return Arriving(Contents(root, clock, replace(LIMITS, **limits)), clock, BOOT)


def open_artifacts(root: Path, **limits: Any) -> KeptArtifacts:
    """Return what keeps artifacts below `root`."""
    usual = {"run_bytes": 1 << 30, "run_files": 1000, "all_bytes": 1 << 32, "minimum_free": 0}
    return KeptArtifacts(root, ArtifactLimits(**{**usual, **limits}))


def nothing() -> None:
    """Take back what was lent: of no use here."""


def upload(uploads: Arriving, content: bytes, namespace: str = "default", name: str = "a-file") -> str:
    """Hand in a content; return its digest."""
    with uploads.begin(namespace, "somebody", name, 0, len(content)) as sink:
        sink.write([content], nothing)
        return sink.finish().digest
