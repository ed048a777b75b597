"""Manifest: what became of one object that a source declares. `controller/manifests` says it; nothing is stored."""

from enum import StrEnum

from pydantic import ConfigDict, Field

from api.definition import Column, Definition, field
from api.meta import API_VERSION
from api.model import Resource


class ManifestState(StrEnum):
    """What became of a manifest."""

    APPLIED = "Applied"
    PENDING = "Pending"
    INVALID = "Invalid"
    CONFLICT = "Conflict"
    UNREADABLE = "Unreadable"


class Manifest(Resource):
    """One object that the watched directory or the inbox declares, or one thing that is wrong in there.

    It is shown and not stored: what is declared is changed in its file or its row.
    """

    model_config = ConfigDict(defer_build=True)

    api_version: str = Field(
        default=API_VERSION, description="Group and version of the schema, runwright.dev/v1alpha1."
    )
    kind: str = Field(default="Manifest", description="Manifest.")
    source: str = Field(default="", description="Where it is from: `directory`, or `inbox`, the table.")
    file: str = Field(
        default="", description="The file below the directory, such as team-a/train.yaml, or the row of the table."
    )
    line: int = Field(
        default=0,
        description="The line that the object starts at, or that is wrong, counted from 1; 0 is the whole file.",
    )
    object: str = Field(
        default="", description="The object that it declares, such as job/default/train; empty where it cannot be read."
    )
    state: ManifestState = Field(
        default=ManifestState.PENDING,
        description="Applied; Pending, which is to be applied; Invalid, whose last good version stays; Conflict, as "
        "another source declares it or owns a field; or Unreadable.",
    )
    message: str = Field(default="", description="What is wrong, and what to do.")
    since: str = Field(default="", description="Since when it reads so, RFC 3339, such as 2026-12-31T23:59:00Z.")


DEFINITION = Definition(
    type=Manifest,
    columns=(
        Column("Source", field("source"), description="The directory or table that it is in."),
        Column("File", field("file"), description="The file, or the row, in it."),
        Column("Line", field("line"), description="The line that it starts at, or where it is wrong."),
        Column("Object", field("object"), description="The object that it declares."),
        Column("State", field("state"), description="Whether it is applied, or why not."),
        Column("Message", field("message"), description="What is wrong and what to do."),
    ),
)
