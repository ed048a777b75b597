"""Registry: a catalogue of runtimes to install from."""

import base64
import re

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api import conditions, urls
from api.conditions import Condition, ReasonEnum
from api.definition import Column, Definition, condition, field
from api.model import ApiModel, Resource

TOKEN_PREFIX = "RUNWRIGHT_TOKEN_"
"""What the names of variables begin with that may be sent to a registry."""
_VARIABLE = re.compile(TOKEN_PREFIX + r"[A-Za-z0-9_]{1,112}")
_KEY_BYTES = 32


class RegistryReason(ReasonEnum):
    """Why a registry is, or is not, ready; listed in docs/reference/conditions.md."""

    FETCHED = "Fetched", "Its catalogue was fetched."
    STALE = "Stale", "It cannot be read now; the catalogue that was kept is used meanwhile."
    UNREACHABLE = "Unreachable", "It cannot be read, and nothing is kept of it; it is tried again every minute."
    NOT_FOUND = "NotFound", "There is no registry.json at its URL."
    REFUSED = "Refused", "Its server refuses to give the catalogue."
    TOO_LARGE = "TooLarge", "Its catalogue is larger than one may be."
    INVALID_CATALOGUE = "InvalidCatalogue", "What is there is no catalogue."
    INVALID_LOCATION = "InvalidLocation", "spec.url is not written in a way that is known."
    DISABLED = "Disabled", "spec.enabled is false."
    SIGNATURE_INVALID = (
        "SignatureInvalid",
        "Its catalogue is not signed by spec.publicKey; nothing of it is used, and what was kept serves on.",
    )
    CREDENTIALS_UNUSABLE = (
        "CredentialsUnusable",
        "spec.credentials names no token, one that others may read or change, one that is not beneath "
        "runtime.credentials_directory, or the registry is asked by http.",
    )
    REDIRECT_REFUSED = (
        "RedirectRefused",
        "Its server redirects in circles, or to where it may not: a file, another scheme, from https to http.",
    )
    SIZE_MISMATCH = "SizeMismatch", "What its server sends changed while it was read."


def _check_location(url: str) -> str:
    urls.refuse_password(url, "put a token where spec.credentials says")
    scheme, _, rest = url.partition("://")
    if not rest and url.count("/") == 1 and all(url.split("/")) and " " not in url:
        return url
    if scheme not in ("file", "http", "https") or not rest:
        raise PydanticCustomError("FieldValueInvalid", "must be file://DIR, http(s)://HOST/registry.json or owner/repo")
    return url


class RegistryCredentials(ApiModel):
    """Where the registry's bearer token is; exactly one is set. The token itself is never in an object."""

    token_file: str | None = Field(
        default=None,
        description="The path of a file beneath the setting runtime.credentials_directory; "
        "it is root's, and only root and its group may read it.",
    )
    token_env: str | None = Field(
        default=None, description=f"An environment variable of the daemon whose name begins with {TOKEN_PREFIX}."
    )

    @field_validator("token_file")
    @classmethod
    def _is_absolute(cls, path: str | None) -> str | None:
        if path is not None and (not path.startswith("/") or "\0" in path):
            raise PydanticCustomError("FieldValueInvalid", "must be an absolute path")
        return path

    @field_validator("token_env")
    @classmethod
    def _is_a_variable(cls, name: str | None) -> str | None:
        if name is not None and not _VARIABLE.fullmatch(name):
            raise PydanticCustomError("FieldValueInvalid", f"must be a name that begins with {TOKEN_PREFIX}")
        return name

    @model_validator(mode="after")
    def _has_one(self) -> "RegistryCredentials":
        if (self.token_file is None) == (self.token_env is None):
            raise PydanticCustomError("FieldValueInvalid", "needs exactly one of tokenFile and tokenEnv")
        return self


class RegistrySpec(ApiModel):
    """Where the catalogue is and how it is used."""

    url: str = Field(
        min_length=1,
        max_length=2048,
        description="A file:// directory, an http(s)://…/registry.json, or owner/repo for a repository on GitHub.",
    )
    enabled: bool = Field(default=True, description="False takes it out of use without deleting it.")
    priority: int = Field(
        default=0, ge=-1000, le=1000, description="Registries are asked from the highest to the lowest."
    )
    cache_seconds: int = Field(
        default=3600, ge=0, le=604800, description="How long a fetched catalogue is used, in seconds."
    )

    credentials: RegistryCredentials | None = Field(
        default=None, description="Sent to the registry's own server, by https, and to no other."
    )
    mirrors: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        description="Where else the same registry is, written as url is; asked in this order where it fails.",
    )
    public_key: str = Field(
        default="",
        description="An ed25519 public key, 32 bytes in base64. With it a catalogue needs a signature beside it, "
        "registry.json.sig, or is not used.",
    )

    _check_url = field_validator("url")(_check_location)

    @field_validator("mirrors")
    @classmethod
    def _are_locations(cls, mirrors: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_check_location, mirrors))

    @field_validator("public_key")
    @classmethod
    def _is_a_key(cls, key: str) -> str:
        try:
            is_key = len(base64.b64decode(key, validate=True)) == _KEY_BYTES
        except ValueError:
            is_key = False
        if not is_key:
            why = "must be the 32 bytes of an ed25519 public key in base64"
            why += "" if key else ": empty, nothing would be verified: leave it out if that is meant"
            raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": why})
        return key


CONDITIONS = frozenset({"Ready"})
"""The types of conditions that runwright sets on registries."""


class RegistryStatus(ApiModel):
    """What the last look at the catalogue gave."""

    observed_generation: int = Field(default=0, description="The generation that this status is about.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Ready: there is a catalogue to install from; what others add is left as it is.",
        json_schema_extra=conditions.LIST,
    )
    last_fetch_time: str | None = Field(default=None, description="When the catalogue was last fetched, RFC 3339.")
    fetched_from: str = Field(
        default="", description="Where it was fetched: the URL of its own registry.json, or of the mirror that served."
    )
    runtimes: int = Field(default=0, description="Runtimes in the catalogue.")
    versions: int = Field(default=0, description="Versions in the catalogue, of all runtimes together.")


class Registry(Resource):
    """A catalogue of runtimes."""

    kind: str = "Registry"
    spec: RegistrySpec = Field(description="What is wanted.")
    status: RegistryStatus = Field(default_factory=RegistryStatus, description="What is.")


DEFINITION = Definition(
    type=Registry,
    conditions=CONDITIONS,
    columns=(
        Column("Ready", condition("Ready", "status"), description="Whether there is a catalogue to install from."),
        Column("Reason", condition("Ready", "reason"), description="Why it is, or is not, ready."),
        Column("Runtimes", field("status.runtimes"), description="Runtimes in the catalogue."),
        Column("URL", field("spec.url"), description="Where the catalogue is."),
        Column("Message", condition("Ready", "message"), wide=True, description="What happened and what to do."),
    ),
)
