"""Files that a job's runs leave: which are to be kept, as patterns, and which were, as its status tells.

How patterns match: `*`, `?` and `[…]` within a name, `**` any directories; a directory that matches is all that is in
it.
"""

from pydantic import Field
from pydantic_core import PydanticCustomError

from api.model import ApiModel

MOST_PATTERNS = 100
LONGEST_PATTERN = 1024
SHOWN = 100
"""How many of the files a status names; the API's `artifacts` of the job has all."""


def check_patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the patterns, if each can match something in /work; a `/` at the end, as shells complete it, is no more.

    Raises:
        PydanticCustomError: it says what is wrong with which.
    """
    if len(patterns) > MOST_PATTERNS:
        raise PydanticCustomError("FieldValueInvalid", "must be at most {most} patterns", {"most": MOST_PATTERNS})
    for pattern in patterns:
        parts = pattern.rstrip("/").split("/")
        if not pattern or len(pattern) > LONGEST_PATTERN or not pattern.isprintable():
            raise PydanticCustomError("FieldValueInvalid", "has a pattern that is empty, too long or not printable")
        if {"", ".", ".."} & set(parts):
            raise PydanticCustomError(
                "FieldValueInvalid",
                '"{pattern}" must be relative to /work, without . or .. or //',
                {"pattern": pattern},
            )
    return tuple(pattern.rstrip("/") for pattern in patterns)


class Artifact(ApiModel):
    """One file that was kept."""

    path: str = Field(description="Where it was in /work.")
    size_bytes: int = Field(description="Its size.")
    digest: str = Field(description="The sha256 of its content.")
    mode: int = Field(default=0o644, description="Its permission bits as a number.")


class Artifacts(ApiModel):
    """What was kept of a run."""

    attempt: int = Field(description="The run that they are of: the last that left any.")
    count: int = Field(default=0, description="How many files were kept.")
    size_bytes: int = Field(default=0, description="Their size together.")
    files: tuple[Artifact, ...] = Field(
        default=(), description=f"The first {SHOWN} of them; `rnx job download --list` has all."
    )
    left_out: str = Field(
        default="", description="How many files that matched were not kept, why, and the first of each reason."
    )
