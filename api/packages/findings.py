"""What checking a package found: what is right, what is doubtful, what is wrong; plain data, in words for people.

Never here: what is checked, and how it is shown on a terminal.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Level(StrEnum):
    """How grave a finding is; the value is the mark that stands before it."""

    RIGHT = "✓"
    WARNING = "⚠"
    ERROR = "✗"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about a package."""

    level: Level
    message: str

    def __str__(self) -> str:
        """Return it with its mark."""
        return f"{self.level} {self.message}"


@dataclass(slots=True)
class Report:
    """All that was found about one thing; `subject` is what people call it."""

    subject: str
    findings: list[Finding] = field(default_factory=list)

    def right(self, message: str) -> None:
        """Say that something is as it should be."""
        self.findings.append(Finding(Level.RIGHT, message))

    def warn(self, message: str) -> None:
        """Say that something is doubtful; it still works."""
        self.findings.append(Finding(Level.WARNING, message))

    def fail(self, message: str) -> None:
        """Say that something is wrong; it would be refused."""
        self.findings.append(Finding(Level.ERROR, message))

    @property
    def errors(self) -> tuple[str, ...]:
        """What is wrong."""
        return tuple(finding.message for finding in self.findings if finding.level is Level.ERROR)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful."""
        return tuple(finding.message for finding in self.findings if finding.level is Level.WARNING)


class Refused(ValueError):
    """A package cannot be used, packed or published; the message says why and what to do."""
