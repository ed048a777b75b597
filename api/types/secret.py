"""Secret: values that nobody is shown by accident, from Kubernetes' core group.

Here: its fields, its rules, and how `stringData` becomes `data`. How it is kept from the disk in clear is
`state/encryption.py`'s; that no error quotes it, `api/objects/causes.py`'s.
Invariant: what is stored has no `stringData`, so nobody reads it back.
"""

import base64
from collections.abc import Mapping

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api.definition import Column, Definition, field
from api.errors import Cause
from api.meta import Document
from api.model import Resource
from api.types import stored_data

OPAQUE = "Opaque"
_NEEDED_KEYS: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
}
_NEEDED_ONE_OF: Mapping[str, tuple[str, ...]] = {"kubernetes.io/basic-auth": ("username", "password")}


class Secret(Resource):
    """Values for jobs that are stored encrypted; who may read the object may read them."""

    api_version: str = "v1"
    kind: str = "Secret"
    data: dict[str, str] = Field(
        default_factory=dict,
        description="The values by their keys, each in base64; at most 1 MiB together, decoded. "
        "Keys are letters, digits, `-`, `_` and `.`; example `password: aHVudGVyMg==`.",
    )
    string_data: dict[str, str] = Field(
        default_factory=dict,
        description="Values as plain text, for whoever writes; they are put into data, win over what is there, and "
        "are never shown.",
    )
    type: str = Field(
        default=OPAQUE,
        description="What it is for; Opaque is anything. kubernetes.io/tls, ssh-auth, basic-auth, dockerconfigjson "
        "and dockercfg want certain keys. It never changes.",
    )
    immutable: bool | None = Field(
        default=None, description="True keeps the values from ever being changed; it cannot be taken back."
    )

    @field_validator("data", "string_data")
    @classmethod
    def _has_good_keys(cls, data: dict[str, str]) -> dict[str, str]:
        stored_data.check_keys(data)
        return data

    @field_validator("data")
    @classmethod
    def _fits(cls, data: dict[str, str]) -> dict[str, str]:
        stored_data.check_size(stored_data.decoded_size(data))
        return data

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> "Secret":
        missing = [key for key in _NEEDED_KEYS.get(self.type, ()) if key not in self.data]
        one_of = _NEEDED_ONE_OF.get(self.type, ())
        if one_of and not any(key in self.data for key in one_of):
            missing = [" or ".join(one_of)]
        if missing:
            why = 'data needs {keys}, for its type is "{type}"'
            raise PydanticCustomError("FieldValueRequired", why, {"keys": ", ".join(missing), "type": self.type})
        return self


def fold(document: Document) -> Document:
    """Return a Secret with its stringData put into data; what is no text is left for the rules to refuse."""
    texts, data = document.get("stringData"), document.get("data", {})
    if not (isinstance(texts, dict) and isinstance(data, dict)):
        return document
    if not all(isinstance(text, str) for text in texts.values()):
        return document
    rest = {name: value for name, value in document.items() if name != "stringData"}
    if not texts:
        return rest
    encoded = {key: base64.b64encode(text.encode(errors="surrogatepass")).decode() for key, text in texts.items()}
    return rest | {"data": data | encoded}


def problems_with_change(live: Document, changed: Document) -> list[Cause]:
    """Return why a Secret may not become `changed`."""
    found = stored_data.problems_with_change(live, changed, ("data",))
    if live.get("type", OPAQUE) != changed.get("type", OPAQUE):
        found.append(Cause("type", "FieldValueInvalid", "Invalid value: field is immutable"))
    return found


DEFINITION = Definition(
    type=Secret,
    columns=(
        Column("Type", field("type"), description="What it is for."),
        Column("Data", stored_data.count_of("data"), description="How many keys it has."),
    ),
    fold=fold,
    given=(("type", OPAQUE),),
    problems_with_change=problems_with_change,
)
