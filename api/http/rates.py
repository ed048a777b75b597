"""How fast something is used: since somebody asked before, or over its life so far; nothing is sampled in between."""

from dataclasses import dataclass
from datetime import datetime

_SHORTEST_WINDOW = 1.0
_NANOCORES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """What had been used when, and how fast it was then."""

    moment: datetime
    cpu_seconds: float
    cores: float
    window: float

    @property
    def cpu(self) -> str:
        """The rate as metrics.k8s.io writes it."""
        return f"{round(self.cores * _NANOCORES)}n"


class Rates:
    """Remembers the newest sample of each key."""

    def __init__(self) -> None:
        """Begin with none."""
        self._samples: dict[str, Sample] = {}

    def sample(self, key: str, now: datetime, cpu_seconds: float, running_seconds: float) -> Sample:
        """Return the newest sample; one that is very young is used again, as a rate over nothing says nothing."""
        before = self._samples.get(key)
        if before is None:
            life = max(running_seconds, 1e-3)
            before = Sample(now, cpu_seconds, cpu_seconds / life, life)
        elif (window := (now - before.moment).total_seconds()) >= _SHORTEST_WINDOW:
            before = Sample(now, cpu_seconds, max(0.0, cpu_seconds - before.cpu_seconds) / window, window)
        self._samples[key] = before
        return before

    def forget_but(self, keys: set[str]) -> None:
        """Forget all others."""
        self._samples = {key: sample for key, sample in self._samples.items() if key in keys}
