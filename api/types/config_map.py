"""ConfigMap: settings and small files for jobs, from Kubernetes' core group."""

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api.definition import Column, Definition
from api.errors import Cause
from api.meta import Document
from api.model import Resource
from api.types import stored_data


class ConfigMap(Resource):
    """Values for jobs that anybody may see; what nobody should see goes into a Secret."""

    api_version: str = "v1"
    kind: str = "ConfigMap"
    data: dict[str, str] = Field(
        default_factory=dict,
        description="Text by key; at most 1 MiB together with binaryData. Keys are letters, digits, `-`, `_` and `.`; "
        "example `app.ini: debug=1`.",
    )
    binary_data: dict[str, str] = Field(
        default_factory=dict, description="What is no text, by key, each in base64; no key is in data too."
    )
    immutable: bool | None = Field(
        default=None, description="True keeps the values from ever being changed; it cannot be taken back."
    )

    @field_validator("data", "binary_data")
    @classmethod
    def _has_good_keys(cls, data: dict[str, str]) -> dict[str, str]:
        stored_data.check_keys(data)
        return data

    @model_validator(mode="after")
    def _fits(self) -> "ConfigMap":
        for key in self.data:
            if key in self.binary_data:
                raise PydanticCustomError("FieldValueForbidden", 'key "{key}" is in binaryData too', {"key": key})
        text_bytes = sum(len(text.encode(errors="surrogatepass")) for text in self.data.values())
        stored_data.check_size(text_bytes + stored_data.decoded_size(self.binary_data))
        return self


def problems_with_change(live: Document, changed: Document) -> list[Cause]:
    """Return why a ConfigMap may not become `changed`."""
    return stored_data.problems_with_change(live, changed, ("data", "binaryData"))


DEFINITION = Definition(
    type=ConfigMap,
    columns=(Column("Data", stored_data.count_of("data", "binaryData"), description="How many keys it has."),),
    problems_with_change=problems_with_change,
)
