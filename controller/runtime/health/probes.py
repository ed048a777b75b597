"""Which commands show that a runtime works: its interpreter's start, the imports and the command that were asked for.

Pure. Never here: running them (`check.py`), and how a sandbox is made.
"""

from dataclasses import dataclass

from api.packages.manifest import Manifest
from api.types.runtime_sources import HealthCheck
from controller.runtime.trees import languages

_STARTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "python": (("python3", "-c", "import sys, encodings, os, zipimport"), ("python", "-c", "import sys, os")),
    "java": (("java", "-version"),),
    "node": (("node", "--eval", "process.exit(0)"),),
    "go": (("go", "version"),),
    "ruby": (("ruby", "--version"),),
    "php": (("php", "--version"),),
    "perl": (("perl", "-e", "exit 0"),),
    "rust": (("rustc", "--version"),),
    "dotnet": (("dotnet", "--version"),),
}
"""Commands by language; where the first is not there, the next one serves."""

_PYTHON_IMPORTS = """
import importlib, sys
failed = 0
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed = 1
        print(f"cannot import {name}: {type(error).__name__}: {error}")
sys.exit(failed)
"""
_NODE_IMPORTS = """
let failed = 0;
for (const name of process.argv.slice(1)) {
  try { require(name); } catch (error) { failed = 1; console.log(`cannot import ${name}: ${error.message}`); }
}
process.exit(failed);
"""


@dataclass(frozen=True, slots=True)
class Probe:
    """A command that must exit with 0, and what it shows. `instead` are tried where its program is not there."""

    shows: str
    argv: tuple[str, ...]
    instead: tuple[tuple[str, ...], ...] = ()


class CannotProbe(ValueError):
    """What was asked for cannot be looked at in this runtime; the message says what can."""


def family(name: str, manifest: Manifest) -> str:
    """Return the language that the runtime offers, such as java; empty if it offers none that is known."""
    offer = languages.offer(name, manifest.language, manifest.language_version)
    return offer.family if offer is not None else ""


def probes(name: str, manifest: Manifest, wanted: HealthCheck) -> tuple[Probe, ...]:
    """Return the commands that show that the runtime `name` works.

    Raises:
        CannotProbe: imports are asked for in a language that has none that we know of.
    """
    language = family(name, manifest)
    starts = _STARTS.get(language, ())
    found = [Probe(f"{language} starts", starts[0], starts[1:])] if starts else []
    if wanted.imports:
        found.append(_imports(language, wanted.imports))
    if wanted.command:
        found.append(Probe("healthCheck.command works", wanted.command))
    return tuple(found)


def _imports(language: str, names: tuple[str, ...]) -> Probe:
    shows = f"{', '.join(names)} can be imported"
    if language == "python":
        return Probe(shows, ("python3", "-c", _PYTHON_IMPORTS, *names), (("python", "-c", _PYTHON_IMPORTS, *names),))
    if language == "node":
        return Probe(shows, ("node", "--eval", _NODE_IMPORTS, *names))
    if language == "java":
        return Probe(shows, ("javap", *names))
    kind = f"a runtime of {language}" if language else "a runtime of no known language"
    raise CannotProbe(
        f"cannot check healthCheck.imports in {kind}: they are for python, node and java: use healthCheck.command"
    )
