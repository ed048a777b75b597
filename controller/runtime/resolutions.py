"""What specs were found to mean, kept for as long as nothing that says so has changed.

Each pass of each job asks again what its spec means, and mostly nothing came or went since: among a thousand versions
the answer costs 2 ms, and to see that it still holds a tenth of that.
Never here: what a spec means (`resolve.py`).
Invariant: an answer is equal to that of `resolve.resolve`, which remembers nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from api.runtime_spec import RuntimeSpec
from controller.runtime import resolve
from controller.runtime.resolve import Resolution, Standing
from controller.runtime.trees.tree import InstalledRuntime

_MOST = 1024
"""So many specs are remembered; jobs may ask for any number of them."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a spec meant while each name in `asked` stood as it did."""

    asked: tuple[tuple[str, Standing], ...]
    meant: Resolution


@dataclass(frozen=True, slots=True)
class _Known:
    """All answers for one look at the trees."""

    installed: tuple[InstalledRuntime, ...] = ()
    answers: dict[RuntimeSpec, _Answer] = field(default_factory=dict)


class Resolutions:
    """The answers for the trees that were looked at last. Safe from many threads."""

    def __init__(self) -> None:
        """Know none."""
        self._known = _Known()

    def resolve(
        self, spec: RuntimeSpec, installed: tuple[InstalledRuntime, ...], standing: Callable[[str], Standing]
    ) -> Resolution:
        """Return which of `installed` is meant by `spec`, or why none is, as `resolve.resolve` does."""
        known = self._known
        # The same look, by identity: to compare a thousand trees costs more than to resolve among them.
        if installed is not known.installed:
            known = self._known = _Known(installed)
        answer = known.answers.get(spec)
        if answer is not None and all(standing(name) == then for name, then in answer.asked):
            return answer.meant
        asked: list[tuple[str, Standing]] = []

        def noted(name: str) -> Standing:
            asked.append((name, standing(name)))
            return asked[-1][1]

        meant = resolve.resolve(spec, installed, noted)
        if len(known.answers) >= _MOST:
            known = self._known = _Known(installed)
        known.answers[spec] = _Answer(tuple(asked), meant)
        return meant
