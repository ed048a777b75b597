"""Registry: a catalogue of runtimes to install from."""

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from api.conditions import Condition, ReasonEnum
from api.meta import ApiModel, Resource


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

    @field_validator("url")
    @classmethod
    def _is_a_location(cls, url: str) -> str:
        scheme, _, rest = url.partition("://")
        if not rest and url.count("/") == 1 and all(url.split("/")) and " " not in url:
            return url
        if scheme not in ("file", "http", "https") or not rest:
            raise PydanticCustomError(
                "FieldValueInvalid", "must be file://DIR, http(s)://HOST/registry.json or owner/repo"
            )
        return url


class RegistryStatus(ApiModel):
    """What the last look at the catalogue gave."""

    observed_generation: int = Field(default=0, description="The generation that this status is about.")
    conditions: tuple[Condition, ...] = Field(default=(), description="Ready: there is a catalogue to install from.")
    last_fetch_time: str | None = Field(default=None, description="When the catalogue was last fetched, RFC 3339.")
    runtimes: int = Field(default=0, description="Runtimes in the catalogue.")
    versions: int = Field(default=0, description="Versions in the catalogue, of all runtimes together.")


class Registry(Resource):
    """A catalogue of runtimes."""

    kind: str = "Registry"
    spec: RegistrySpec = Field(description="What is wanted.")
    status: RegistryStatus = Field(default_factory=RegistryStatus, description="What is.")
