"""Token and Certificate: what a user may prove itself by. A secret is in neither of them.

Deleting one revokes it. Who may make one for whom is decided in `api/access/giving.py`.
"""

import re

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from api.definition import Column, Definition, field
from api.meta import ACCESS_API_VERSION, Document, read_time
from api.model import ApiModel, Resource

_DIGEST = re.compile(r"[0-9a-f]{64}")


class _Identity(ApiModel):
    user: str = Field(min_length=1, max_length=64, description="The user's name.")
    groups: tuple[str, ...] = Field(default=(), description="The groups that the user is in.")
    expires: str = Field(description="When it ends, RFC 3339.")

    @field_validator("user")
    @classmethod
    def _is_printable(cls, user: str) -> str:
        if not user.isprintable():
            raise PydanticCustomError("FieldValueInvalid", "must be printable")
        return user

    @field_validator("groups")
    @classmethod
    def _are_names(cls, groups: tuple[str, ...]) -> tuple[str, ...]:
        if any(not group or len(group) > 64 or not group.isprintable() for group in groups):
            raise PydanticCustomError("FieldValueInvalid", "must be 1 to 64 printable characters each")
        return groups

    @field_validator("expires")
    @classmethod
    def _is_a_time(cls, expires: str) -> str:
        try:
            read_time(expires)
        except ValueError:
            raise PydanticCustomError("FieldValueInvalid", "must be a time such as 2026-01-02T03:04:05Z") from None
        return expires


class TokenScope(ApiModel):
    """Part of what a token is for."""

    verbs: tuple[str, ...] = Field(min_length=1, description="As in a rule of a role.")
    api_groups: tuple[str, ...] = Field(default=("*",), description="As in a rule of a role.")
    resources: tuple[str, ...] = Field(default=("*",), description="As in a rule of a role.")
    resource_names: tuple[str, ...] = Field(default=(), description="As in a rule of a role.")
    namespaces: tuple[str, ...] = Field(default=(), description="The namespaces that it is for; empty is everywhere.")

    @field_validator("verbs", "resources", "resource_names", "namespaces")
    @classmethod
    def _are_words(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if "" in words:  # Of namespaces, it would stand for all that is in none, and for all of them asked for at once.
            raise PydanticCustomError("FieldValueInvalid", "must not be empty: name one, or leave it out")
        return words


class TokenSpec(_Identity):
    """Whose token it is, until when, and for what."""

    sha256: str = Field(description="SHA-256 of the token, in hexadecimal. The token itself is nowhere.")
    scope: tuple[TokenScope, ...] | None = Field(
        default=None, description="What of the user's rights the token has; without it all of them."
    )
    description: str = Field(default="", max_length=256, description="What it is used for.")

    @field_validator("sha256")
    @classmethod
    def _is_a_digest(cls, sha256: str) -> str:
        if not _DIGEST.fullmatch(sha256):
            raise PydanticCustomError("FieldValueInvalid", "must be 64 hexadecimal digits")
        return sha256


class Token(Resource):
    """A bearer token of a user, known by its digest. `rnx admin token create` makes one and prints it once."""

    api_version: str = ACCESS_API_VERSION
    kind: str = "Token"
    spec: TokenSpec = Field(description="Whose token it is, until when, and for what.")


class CertificateSpec(_Identity):
    """Whose certificate it is, and until when."""

    request: str | None = Field(
        default=None, max_length=16384, description="The PEM request for it: when it is made only, and not kept."
    )
    certificate: str = Field(default="", description="The certificate, PEM.")


class Certificate(Resource):
    """A client certificate that the host's CA has given. `rnx admin kubeconfig` asks for one."""

    api_version: str = ACCESS_API_VERSION
    kind: str = "Certificate"
    spec: CertificateSpec = Field(description="Whose certificate it is, and until when.")


def _in_groups(document: Document) -> str:
    return ",".join(document.get("spec", {}).get("groups", ()))


_OF_IDENTITIES = (
    Column("User", field("spec.user"), description="Who is known by it."),
    Column("Groups", _in_groups, description="The groups that the user is in."),
    Column("Expires", field("spec.expires"), description="When it ends."),
)


TOKEN_DEFINITION = Definition(
    type=Token,
    columns=(*_OF_IDENTITIES, Column("Description", field("spec.description"), wide=True, description="Its use.")),
)
CERTIFICATE_DEFINITION = Definition(type=Certificate, columns=_OF_IDENTITIES)
