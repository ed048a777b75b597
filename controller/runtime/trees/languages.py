"""Which language a runtime offers, and which runtime a `python:3.11+ml` means.

Pure. Used for what is installed and for what a catalogue offers alike.
Invariant: the answer depends on the set of candidates only, never on their order.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from api.runtime_spec import RuntimeSpec

_NAME = re.compile(r"([a-z][a-z0-9]*?)-?([0-9]+(?:\.[0-9]+)*)((?:-[a-z0-9.]+)*)")
_CHANNEL = re.compile(r"([a-z][a-z0-9]*)-([a-z0-9.]+)((?:-[a-z0-9.]+)*)")  # rust-stable

# What else these are called. A tag that plain Java lacks keeps `java:21` from meaning GraalVM when there is OpenJDK.
_FAMILIES: dict[str, tuple[str, frozenset[str]]] = {
    "openjdk": ("java", frozenset()),
    "graalvmjdk": ("java", frozenset({"graalvm"})),
}


@dataclass(frozen=True, slots=True)
class Offer:
    """A runtime by `name`, and the language it offers. `language` is as its author calls it, say openjdk."""

    name: str
    language: str
    language_version: str
    tags: frozenset[str] = frozenset()

    @property
    def family(self) -> str:
        """The language that `language` is a kind of."""
        return _FAMILIES.get(self.language, (self.language, frozenset()))[0]


def offer(name: str, language: str = "", language_version: str = "") -> Offer | None:
    """Return what the runtime `name` offers, by its manifest's fields where given, else by its name.

    >>> offer("python-3.11-ml").tags == {"ml"}, offer("openjdk-21").family
    (True, 'java')
    """
    match = _NAME.fullmatch(name) or _CHANNEL.fullmatch(name)
    if match is None:
        return Offer(name, language, language_version) if language and language_version else None
    spoken = language or match[1]
    tags = frozenset(tag for tag in match[3].split("-") if tag)
    implied = _FAMILIES.get(spoken, (spoken, frozenset[str]()))[1]
    return Offer(name, spoken, language_version or match[2], tags | implied)


def choose(spec: RuntimeSpec, offers: Iterable[Offer]) -> tuple[str, ...]:
    """Return the names that `spec` may mean: one if it is clear, several if it is not, none if there is none.

    Every tag asked for must be there; of those runtimes the ones with the fewest other tags are meant,
    and of these the ones that are called exactly as the language.
    """
    wanted = frozenset(spec.tags)
    matching = [
        offered
        for offered in offers
        if spec.language in (offered.language, offered.family)
        and offered.language_version == spec.language_version
        and wanted <= offered.tags
    ]
    fewest = min((len(offered.tags - wanted) for offered in matching), default=0)
    nearest = [offered for offered in matching if len(offered.tags - wanted) == fewest]
    exact = [offered for offered in nearest if offered.language == spec.language]
    return tuple(sorted({offered.name for offered in exact or nearest}))
