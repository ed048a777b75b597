"""Manifests as people write them, and files as they are left behind."""

import os
from pathlib import Path

from support.hand_clock import START


def a_manifest(
    name: str = "etl", *, memory: str = "64Mi", command: str = "print(1)", kind: str = "Job", extra: str = ""
) -> str:
    return f"""\
apiVersion: runwright.dev/v1alpha1
kind: {kind}
metadata:
  name: {name}
spec:
  command: [python3, -c, "{command}"]
  resources:
    limits:
      memory: {memory}
{extra}"""


def put(path: Path, text: str | bytes) -> None:
    """Leave a file as one that was written long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    long_ago = START.timestamp() - 1000 + path.stat().st_size % 1000
    os.utime(path, (long_ago, long_ago))


def put_fresh(path: Path, text: str) -> None:
    """Leave a file as one that is being written this moment."""
    path.write_text(text)
    os.utime(path, (START.timestamp() + 100_000, START.timestamp() + 100_000))
