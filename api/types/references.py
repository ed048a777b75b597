"""What of a job's environment and files comes out of Secrets and ConfigMaps: Pod's own field names.

Here: the references and their rules. What they stand for is looked up when a run starts, and never stored.
"""

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api.model import ApiModel
from api.types import stored_data


class KeySelector(ApiModel):
    """One key of a Secret or ConfigMap in the job's namespace."""

    name: str = Field(min_length=1, description="The object's name; it is in the job's namespace.")
    key: str = Field(min_length=1, description="Which of its keys.")
    optional: bool | None = Field(
        default=None, description="True leaves it out where it is not there; else the run waits for it."
    )

    @field_validator("key")
    @classmethod
    def _is_a_key(cls, key: str) -> str:
        stored_data.check_keys((key,))
        return key


class ObjectSelector(ApiModel):
    """A whole Secret or ConfigMap in the job's namespace."""

    name: str = Field(min_length=1, description="The object's name; it is in the job's namespace.")
    optional: bool | None = Field(
        default=None, description="True leaves it out where it is not there; else the run waits for it."
    )


class EnvVarSource(ApiModel):
    """Where a variable's value comes from, instead of the job; exactly one."""

    secret_key_ref: KeySelector | None = Field(default=None, description="A key of a Secret.")
    config_map_key_ref: KeySelector | None = Field(default=None, description="A key of a ConfigMap.")

    @model_validator(mode="after")
    def _is_one(self) -> "EnvVarSource":
        if (self.secret_key_ref is None) == (self.config_map_key_ref is None):
            raise PydanticCustomError("FieldValueInvalid", "needs exactly one of secretKeyRef and configMapKeyRef")
        return self


class EnvFromSource(ApiModel):
    """A Secret or ConfigMap each of whose keys is a variable; those that cannot be a variable's name are left out."""

    prefix: str = Field(default="", description="What is put before each key.")
    secret_ref: ObjectSelector | None = Field(default=None, description="A Secret.")
    config_map_ref: ObjectSelector | None = Field(default=None, description="A ConfigMap.")

    @model_validator(mode="after")
    def _is_one(self) -> "EnvFromSource":
        if (self.secret_ref is None) == (self.config_map_ref is None):
            raise PydanticCustomError("FieldValueInvalid", "needs exactly one of secretRef and configMapRef")
        return self
