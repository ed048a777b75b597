"""Writes the generated reference pages: `python -m scripts.reference docs/reference`, or `make docs`.

Here: which pages there are, and those of settings, conditions and modules. `reference_metrics.py` has the
metrics; the API's and the command line's pages are made beside their code. Pure, but for the writing.
"""

import ast
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import BaseModel

from api import conditions, reference
from api.cli import reference as cli_reference
from api.conditions import ReasonEnum
from api.types.cron_job import CronJobReason
from api.types.job import Reason
from api.types.registry import RegistryReason
from api.types.runtime import RuntimeReason
from api.types.volume import VolumeReason
from api.types.volume_snapshot import SnapshotReason
from controller.daemon.settings import Settings
from scripts import reference_metrics

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("api", "state", "controller")
_REASONS: tuple[tuple[str, str, type[ReasonEnum]], ...] = (
    (
        "Job",
        "As the reason of `status`, of a run in `status.runs`, and of the conditions `Complete`, `Failed` and "
        "`Suspended` and `Scheduled`.",
        Reason,
    ),
    ("CronJob", "As the reason of the condition `Ready`: it starts jobs at its times.", CronJobReason),
    ("Runtime", "As the reason of the condition `Ready`: every wanted version is installed.", RuntimeReason),
    ("Registry", "As the reason of the condition `Ready`: there is a catalogue to install from.", RegistryReason),
    ("Volume", "As the reason of the conditions `Ready`, that runs can have it, and `Resizing`.", VolumeReason),
    ("VolumeSnapshot", "As the reason of the condition `Ready`: volumes can be made of it.", SnapshotReason),
    ("Any kind", "When a pass of the reconcile loop fails.", conditions.CommonReason),
)
_CONDITIONS = """\
# Conditions and reasons

Conditions mean what they mean in Kubernetes: a fact about an object, with the time at which it last changed. A Job has
`Complete` or `Failed` once it has ended, and `Suspended` if it is, or was, suspended; a Runtime and a Registry have
`Ready`. A reason is one word for a program; the message beside it says what happened and what to do.
"""
_SETTINGS = """\
# Settings

They are in `/etc/runwright/config.yaml`, or in the file that `--config` names, and are read once, at start. A flag
`--set SECTION.KEY=VALUE` of `runwrightd` overrides one of them. What is not set has its default, so the file need not
exist. `runwrightd --check-config` says what is wrong with the file and exits with 1 if anything is.

A value of the wrong kind stops the start. A key that nobody knows is named in a warning and ignored, so that a newer
file does not break an older daemon; `--check-config` takes it for an error. Sizes are Kubernetes quantities, such as
`256Mi`. All paths are moved by `--root DIR` to below DIR. [examples/config.yaml](../../examples/config.yaml) has
every key with its default.
"""
_MODULES = """\
# Modules

Where any behaviour lives: each module by the beginning of its charter, which is its docstring. Packages import
downwards only: `controller`, then `state`, then `api`.
"""


def settings() -> str:
    """Return the page of the settings."""
    return f"{_generated('controller/daemon/settings.py')}{_SETTINGS}" + "".join(_sections())


def _sections() -> Iterator[str]:
    for name, section in Settings.model_fields.items():
        kind = section.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        yield f"\n## {name}\n\n{section.description}\n\n| key | type | default | meaning |\n|---|---|---|---|\n"
        for key, field in kind.model_fields.items():
            default = json.dumps(field.default)
            yield f"| `{name}.{key}` | {_type(field.annotation)} | `{default}` | {_cell(field.description or '')} |\n"


def _type(annotation: object) -> str:
    """Return what kind of value a setting has, in a word or two."""
    origin = get_origin(annotation)
    if origin is Literal:
        return " or ".join(map(str, get_args(annotation)))
    if origin in (tuple, dict):
        return {tuple: "list", dict: "lists by name"}[origin]
    assert isinstance(annotation, type)
    return _TYPES[annotation]


_TYPES: Mapping[type, str] = {bool: "true or false", str: "text", int: "whole number", float: "number"}


def reasons() -> str:
    """Return the page of the reasons that conditions and statuses give."""
    page = f"{_generated('the enums of reasons in api/types')}{_CONDITIONS}"
    for title, where, enum in _REASONS:
        page += f"\n## {title}\n\n{where}\n\n| reason | meaning |\n|---|---|\n"
        page += "".join(f"| `{reason.value}` | {_cell(reason.meaning)} |\n" for reason in enum)
    return page


def modules() -> str:
    """Return the page of all modules."""
    page = f"{_generated('the docstrings')}{_MODULES}"
    directories = sorted({path.parent for package in _PACKAGES for path in (_ROOT / package).rglob("*.py")})
    for directory in directories:
        name = ".".join(directory.relative_to(_ROOT).parts)
        page += f"\n## {name}\n\n{_charter(directory / '__init__.py')}\n\n| module | what it is |\n|---|---|\n"
        for path in sorted(directory.glob("*.py")):
            if path.name != "__init__.py":
                page += f"| `{path.name}` | {_cell(_charter(path))} |\n"
    return page


def _charter(path: Path) -> str:
    """Return the first paragraph of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(text.partition("\n\n")[0].split())


def _generated(source: str) -> str:
    return f"<!-- Generated by `make docs` from {source}. Do not edit. -->\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


PAGES: Mapping[str, Callable[[], str]] = {
    "api.md": reference.render,
    "cli.md": cli_reference.render,
    "conditions.md": reasons,
    "metrics.md": reference_metrics.render,
    "modules.md": modules,
    "settings.md": settings,
}


def main() -> int:
    """Write every page into the directory that the command line names."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m scripts.reference DIRECTORY\n")
        return 2
    directory = Path(sys.argv[1])
    for name, render in PAGES.items():
        (directory / name).write_text(render())
    return 0


if __name__ == "__main__":
    sys.exit(main())
