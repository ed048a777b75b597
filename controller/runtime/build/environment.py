"""The variables of a declared build: those that its commands run with, and those that its jobs will have.

Both are the language's, then what the declaration says; PATH_PREPEND comes before PATH. Pure.
"""

from collections.abc import Mapping

from api.types.runtime_sources import BuildSource
from controller.runtime.build import manifest_text
from controller.runtime.build.language import LANGUAGES, Language
from controller.runtime.sources.compose import PATH_PREPEND

_ROOTS_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def of_commands(build: BuildSource) -> dict[str, str]:
    """Return what commands of `build` find in their environment."""
    language, own = _language(build), dict(build.environment)
    prepended = own.pop(PATH_PREPEND, "")
    path = f"{prepended}:{_ROOTS_PATH}" if prepended else _ROOTS_PATH
    return {**(language.environment if language else {}), "LC_ALL": "C.UTF-8", **own, "PATH": path}


def of_jobs(build: BuildSource, inherited: Mapping[str, str], prepended: str, java_home: str) -> dict[str, str]:
    """Return what the runtime.yml says for jobs.

    Args:
        inherited: the variables of the runtime that `build` begins with, and `prepended` its PATH_PREPEND.
        java_home: where Java is in the tree, if that is its language.
    """
    found, language = dict(inherited), _language(build)
    if language:
        found |= language.environment
        if language.path:
            found["PATH"] = f"{manifest_text.PATH}:{':'.join(language.path)}"
    if java_home:
        found["JAVA_HOME"] = java_home
    own = dict(build.environment)
    if path := ":".join(part for part in (own.pop(PATH_PREPEND, ""), prepended) if part):
        found[PATH_PREPEND] = path
    return found | own


def _language(build: BuildSource) -> Language | None:
    return LANGUAGES.get(build.base.language or "")
