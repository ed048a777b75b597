"""RuntimeTemplate: a build with parameters, from which Runtimes are made by name.

A template builds nothing itself. A Runtime with `spec.template` gets the build that the template and the values of
its parameters make; whether that is a valid build is said by the Runtime.
"""

import re
from typing import Any

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api.definition import Column, Definition, field
from api.meta import Document
from api.model import ApiModel, Resource
from api.types.runtime_sources import Requirements

_PARAMETER = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,62}")


class TemplateParameter(ApiModel):
    """A value that a template leaves open."""

    name: str = Field(description="Used as ${NAME} in any text of the build.")
    default: str | None = Field(default=None, description="Its value where none is given; without one it is required.")
    description: str = Field(default="", description="What it is for.")
    allowed: tuple[str, ...] = Field(default=(), description="The values it may have; empty allows any.")

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not _PARAMETER.fullmatch(name):
            raise PydanticCustomError("FieldValueInvalid", "must be letters, digits and _, starting with a letter")
        return name

    @model_validator(mode="after")
    def _allows_its_default(self) -> "TemplateParameter":
        if self.default is not None and self.allowed and self.default not in self.allowed:
            raise PydanticCustomError("FieldValueInvalid", "its default is not one of the values that are allowed")
        return self


class TemplateFile(ApiModel):
    """A file of the build."""

    path: str = Field(description="As of a build.")
    text: str | None = Field(default=None, description="As of a build.")
    base64: str | None = Field(default=None, description="As of a build.")
    mode: int = Field(default=0o644, ge=0, le=0o777, description="As of a build.")


class TemplateBuild(ApiModel):
    """A build with ${PARAMETER} in its texts; it is checked whole when it is instantiated."""

    description: str = Field(default="", description="As of a build.")
    base: dict[str, Any] = Field(default_factory=dict, description="As of a build.")
    apt: tuple[str, ...] = Field(default=(), description="As of a build.")
    pip: tuple[str, ...] = Field(default=(), description="As of a build.")
    npm: tuple[str, ...] = Field(default=(), description="As of a build.")
    files: tuple[TemplateFile, ...] = Field(default=(), description="As of a build.")
    environment: dict[str, str] = Field(default_factory=dict, description="As of a build.")
    run: tuple[str, ...] = Field(default=(), description="As of a build.")
    requirements: Requirements = Field(default_factory=Requirements, description="As of a build.")
    resources: dict[str, Any] = Field(default_factory=dict, description="As of a build.")


class RuntimeTemplateSpec(ApiModel):
    """The build, and what it leaves open."""

    description: str = Field(default="", max_length=256, description="What it is a template of.")
    parameters: tuple[TemplateParameter, ...] = Field(
        default=(),
        description="What is left open, and its defaults.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    build: TemplateBuild = Field(
        default_factory=TemplateBuild,
        description="The build; ${NAME} of a declared parameter stands for its value, any other ${…} for itself.",
    )

    @field_validator("parameters")
    @classmethod
    def _are_different(cls, parameters: tuple[TemplateParameter, ...]) -> tuple[TemplateParameter, ...]:
        names = [parameter.name for parameter in parameters]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError("FieldValueDuplicate", '"{name}" is there twice', {"name": name})
        return parameters


class RuntimeTemplate(Resource):
    """A build with parameters; a Runtime's `spec.template` names it and says their values."""

    kind: str = "RuntimeTemplate"
    spec: RuntimeTemplateSpec = Field(default_factory=RuntimeTemplateSpec, description="The build and its parameters.")


def _parameters(document: Document) -> str:
    parameters = document.get("spec", {}).get("parameters", ())
    return ",".join(p["name"] if p.get("default") is None else f"{p['name']}={p['default']}" for p in parameters)


DEFINITION = Definition(
    type=RuntimeTemplate,
    columns=(
        Column("Parameters", _parameters, description="What is left open, and its defaults."),
        Column("Description", field("spec.description"), description="What it is a template of."),
    ),
)
