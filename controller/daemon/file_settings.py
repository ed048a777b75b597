"""The settings of jobs' files: how much may be uploaded, how long what nobody needs is kept, how much runs may leave.

Here: the keys, their checks, and what they make of the limits of contents and of artifacts.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from api import quantity
from controller.contents.store import Limits
from controller.daemon.section import Section
from controller.job.artifacts import Limits as ArtifactLimits


def _is_quantity(text: str) -> str:
    quantity.to_bytes(text)
    return text


_Quantity = Annotated[str, AfterValidator(_is_quantity)]


class FileSettings(Section):
    """Files of jobs that are kept on this host."""

    upload_size: _Quantity = Field(default="64Gi", description="Size of the largest file that may be uploaded.")
    namespace_size: _Quantity = Field(default="128Gi", description="Size of all uploads of a namespace together.")
    total_size: _Quantity = Field(default="256Gi", description="Size of all uploads together.")
    minimum_free: _Quantity = Field(
        default="1Gi", description="Space that uploads and artifacts leave free on the disk."
    )
    upload_grace_seconds: float = Field(
        default=86_400, gt=0, description="Seconds that an upload is kept which no object refers to."
    )

    artifacts_size: _Quantity = Field(default="1Gi", description="Size of all artifacts of a run together.")
    artifacts_count: int = Field(default=10_000, ge=0, description="How many artifacts of a run are kept.")
    artifacts_total_size: _Quantity = Field(
        default="64Gi",
        description="Size of the artifacts of all jobs together; a run that begins may leave what is left of it then.",
    )

    def artifact_limits(self) -> ArtifactLimits:
        """Return how much artifacts may take."""
        return ArtifactLimits(
            run_bytes=quantity.to_bytes(self.artifacts_size),
            run_files=self.artifacts_count,
            all_bytes=quantity.to_bytes(self.artifacts_total_size),
            minimum_free=quantity.to_bytes(self.minimum_free),
        )

    def limits(self) -> Limits:
        """Return how much contents may take."""
        return Limits(
            one=quantity.to_bytes(self.upload_size),
            of_namespace=quantity.to_bytes(self.namespace_size),
            of_all=quantity.to_bytes(self.total_size),
            minimum_free=quantity.to_bytes(self.minimum_free),
            grace_seconds=self.upload_grace_seconds,
        )
