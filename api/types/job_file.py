"""What a job finds in /work when its command starts: files, links and directories, and where their contents come from.

Texts are in the Job itself, so they are small. An `upload` names a content by its digest that was sent to this host
before, for this namespace (`api.http.uploads`); whether it is here, or the policy allows a `hostPath`, is no rule of
this module.
Invariant: no path, and no link as written, leads out of /work.
"""

import base64
import binascii
import posixpath
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api.model import ApiModel
from api.types.references import KeySelector

FILES_MOST_BYTES = 1_000_000
"""Of all contents together that are in the Job itself, or in Secrets and ConfigMaps."""
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
"""How a content is called: by what it is."""
_DIRECTORY_MODE = 0o755


class JobFile(ApiModel):
    """A file, a symbolic link or a directory, put into /work before the command starts."""

    path: str = Field(description="Where in /work, relative, without `..`; example `conf/app.ini`.")
    text: str | None = Field(default=None, description="Its content as text.")
    base64: str | None = Field(default=None, description="Its content as base64, for anything that is not text.")
    link: str | None = Field(
        default=None, description="Instead of a content: where a symbolic link leads, relative, inside /work."
    )
    secret_key_ref: KeySelector | None = Field(
        default=None, description="Its content is a key of a Secret, looked up when a run starts."
    )
    config_map_key_ref: KeySelector | None = Field(
        default=None, description="Its content is a key of a ConfigMap, looked up when a run starts."
    )
    upload: str | None = Field(
        default=None,
        description="Its content was uploaded to this host, for this namespace: sha256: and 64 hexadecimal digits, as "
        "`rnx job run --upload` writes it.",
    )
    host_path: str | None = Field(
        default=None,
        description="It is a copy of this file or directory of the host, made when a run starts, where the policy "
        "allows it: policy.host_files. A file's mode is kept unless mode is set; a directory's links stay links.",
    )
    directory: bool = Field(
        default=False, description="True makes a directory of it, which may be empty; it needs none to have files."
    )
    mode: int = Field(
        default=0o644,
        ge=0,
        le=0o777,
        description="Permission bits as a number; 420 is 0644, 493 is 0755, which is what directories have by default.",
    )

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        parts = path.split("/")
        if not path or path.startswith("/") or ".." in parts or "" in parts or "." in parts or "\0" in path:
            raise PydanticCustomError("FieldValueInvalid", "must be a relative path inside /work, without . or ..")
        if len(path) > 1024 or any(len(part.encode()) > 255 for part in parts):
            raise PydanticCustomError("FieldValueInvalid", "is too long for a file name")
        return path

    @field_validator("host_path")
    @classmethod
    def _is_plain(cls, path: str | None) -> str | None:
        parts = path.split("/")[1:] if path else ()
        if path is not None and (
            not path.startswith("/") or len(path) > 4096 or not all(part not in ("", ".", "..") for part in parts)
        ):
            raise PydanticCustomError("FieldValueInvalid", "must be an absolute path, without . or ..")
        if path is not None and not path.isprintable():
            raise PydanticCustomError("FieldValueInvalid", "must be printable")
        return path

    @field_validator("upload")
    @classmethod
    def _is_a_digest(cls, upload: str | None) -> str | None:
        if upload is not None and not DIGEST.fullmatch(upload):
            raise PydanticCustomError("FieldValueInvalid", "must be sha256: and 64 hexadecimal digits, in lower case")
        return upload

    @model_validator(mode="after")
    def _leads_inside(self) -> "JobFile":
        if self.link is not None:
            end = posixpath.normpath(posixpath.join(posixpath.dirname(self.path), self.link))
            if not self.link or "\0" in self.link or end.startswith(("/", "..")):
                raise PydanticCustomError("FieldValueInvalid", "link must be a relative path that stays inside /work")
        return self

    @model_validator(mode="after")
    def _has_one_content(self) -> "JobFile":
        contents = (
            self.text, self.base64, self.link, self.secret_key_ref, self.config_map_key_ref, self.upload,
            self.host_path, self.directory or None,
        )  # fmt: skip
        if contents.count(None) != len(contents) - 1:
            what = "text, base64, link, secretKeyRef, configMapKeyRef, upload, hostPath and directory"
            raise PydanticCustomError("FieldValueInvalid", "needs exactly one of {what}", {"what": what})
        if self.base64 is not None:
            try:
                base64.b64decode(self.base64, validate=True)
            except (binascii.Error, ValueError):
                raise PydanticCustomError("FieldValueInvalid", "base64 cannot be decoded") from None
        return self

    @property
    def content(self) -> bytes:
        """The bytes that are in the Job itself; a link has none, nor has what is elsewhere."""
        return self.text.encode() if self.text is not None else base64.b64decode(self.base64 or "")

    @property
    def permissions(self) -> int:
        """The permission bits that it gets."""
        return _DIRECTORY_MODE if self.directory and "mode" not in self.model_fields_set else self.mode


def refuse_files_that_do_not_fit(files: Iterable[JobFile]) -> None:
    """Refuse files that cannot lie beside each other, or whose texts are too large together.

    Raises:
        PydanticCustomError: it names the file, or the limit.
    """
    files = tuple(files)
    solid = {file.path for file in files if not file.directory}
    for above in sorted({str(above) for file in files for above in PurePosixPath(file.path).parents} & solid):
        raise PydanticCustomError("FieldValueInvalid", '"{at}" cannot be both a file and a directory', {"at": above})
    total = sum(len(file.content) for file in files)
    if total > FILES_MOST_BYTES:
        raise PydanticCustomError(
            "FieldValueInvalid",
            "must be at most 1 MB together, these are {n} bytes: upload what is larger (rnx job run --upload)",
            {"n": total},
        )
