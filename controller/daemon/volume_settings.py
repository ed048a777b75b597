"""The settings of volumes: where they are, how large, and whether jobs make those that nobody declared."""

from typing import Annotated

from pydantic import AfterValidator, Field

from api import quantity
from api.types.volume import SMALLEST_BYTES
from controller.daemon.section import Section


def _is_size(text: str) -> str:
    if quantity.to_bytes(text) < SMALLEST_BYTES:
        raise ValueError("must be at least 4Ki; write 64Mi, not 64, for mebibytes")
    return text


def is_path(path: str) -> str:
    """Return `path` if it is a plain absolute one. Raises ValueError."""
    if not path.startswith("/") or "\0" in path or not all(part not in ("", ".", "..") for part in path.split("/")[1:]):
        raise ValueError("must be an absolute path without .., below /")
    return path


_Size = Annotated[str, AfterValidator(_is_size)]


class VolumeSettings(Section):
    """Volumes on this host."""

    directory: Annotated[str, AfterValidator(is_path)] = Field(
        default="/var/lib/runwright/volumes", description="Where volumes are kept."
    )
    default_size: _Size = Field(default="1Gi", description="Size of a volume that does not say.")
    most_size: _Size = Field(default="1Ti", description="The largest that a volume may be.")
    auto_create: bool = Field(
        default=True,
        description="Whether a volume that a job names and nobody declared is made for it, with the default size; "
        "false lets the job wait until somebody declares it.",
    )
    most_auto_created: int = Field(
        default=100, ge=0, description="So many volumes a namespace may have, for jobs to have another one made."
    )
