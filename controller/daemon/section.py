"""What all sections of the settings are: immutable, lenient about numbers written for text, and keeping unknown keys.

Unknown ones are kept so that they can be named, with their line; see `settings`.
"""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One section of the settings."""

    model_config = ConfigDict(frozen=True, extra="allow", coerce_numbers_to_str=True, allow_inf_nan=False)
