"""The runtime.yml of a tree that was built: its mounts are the top directories of isolated/, as they are seen by jobs.

Pure but for listing those directories. Never here: reading such files (`api.packages.runtime_yaml`).
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from api.packages.links import ISOLATED
from api.types.runtime_sources import Requirements

PATH = "/usr/local/bin:/usr/bin:/bin"
NEVER_MOUNTED = frozenset({"proc", "sys", "dev", "tmp", "run", "work", "volumes"})
"""What belongs to the sandbox, or is each job's own."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a runtime.yml says beside its mounts. `machine` is what the kernel calls the processor."""

    name: str
    version: str
    description: str
    language: str
    language_version: str
    environment: Mapping[str, str]
    requirements: Requirements
    machine: str
    architecture: str


def text(tree: Path, about: Description) -> str:
    """Return the file for the directory `tree`, which has isolated/ in it; JSON texts are YAML ones too."""
    tops = sorted(set(os.listdir(tree / ISOLATED)) - NEVER_MOUNTED)
    mounts = [f"  - {{source: {_q(f'{ISOLATED}/{top}')}, target: {_q(f'/{top}')}, readonly: true}}" for top in tops]
    lines = [
        f"name: {_q(about.name)}",
        'type: "system"',
        f"version: {_q(about.language_version or about.version)}",
        *([f"description: {_q(about.description)}"] if about.description else []),
        *([f"language: {_q(about.language)}"] if about.language else []),
        *([f"language_version: {_q(about.language_version)}"] if about.language_version else []),
        "mounts:",
        *mounts,
        "environment:",
        *(f"  {name}: {_q(value)}" for name, value in sorted(_variables(about).items())),
        "requirements:",
        *_requirements(about),
    ]
    return "\n".join(lines) + "\n"


def _variables(about: Description) -> dict[str, str]:
    return {"PATH": PATH, "RUNTIME_VERSION": about.version, **about.environment}


def _requirements(about: Description) -> list[str]:
    wanted = about.requirements
    lines = [f"  architectures: {json.dumps(sorted({about.machine, about.architecture}))}"]
    if wanted.min_memory:
        lines.append(f"  min_memory: {_q(wanted.min_memory)}")
    if wanted.recommended_memory:
        lines.append(f"  recommended_memory: {_q(wanted.recommended_memory)}")
    return lines


def _q(value: str) -> str:
    return json.dumps(value)
