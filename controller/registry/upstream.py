"""All that a Registry object says of where a catalogue comes from, and with what right and whose signature.

Pure.
"""

import hashlib
from dataclasses import dataclass

from api.types.registry import RegistrySpec
from controller.registry import location
from controller.registry.access import ANYONE, Access, origin_of
from controller.registry.location import Location


@dataclass(frozen=True, slots=True)
class Upstream:
    """A registry, its mirrors in the order in which they are tried, its token and its key; compared by value."""

    location: Location
    mirrors: tuple[Location, ...] = ()
    access: Access = ANYONE
    public_key: str = ""

    @property
    def url(self) -> str:
        """The URL of the registry's own registry.json."""
        return self.location.url

    @property
    def key(self) -> str:
        """What a copy of the catalogue is kept under: two registries share one only if they ask in the same way."""
        ways = (self.public_key, self.access.token_file, self.access.token_env, *(m.url for m in self.mirrors))
        if not any(ways):
            return self.url
        return f"{self.url} {hashlib.sha256(repr(ways).encode()).hexdigest()}"

    def archive_urls(self, download_url: str) -> tuple[str, ...]:
        """Return where the archive is that the catalogue names so: at the registry's, then at each mirror.

        Raises:
            TerminalError: InvalidLocation.
        """
        own = location.archive_url(self.location, download_url)
        others = (location.mirrored_url(self.location, mirror, own) for mirror in self.mirrors)
        return tuple(dict.fromkeys((own, *(url for url in others if url is not None))))


def upstream_of(spec: RegistrySpec) -> Upstream:
    """Return what `spec` says.

    Raises:
        TerminalError: InvalidLocation, a URL is not written in a way that we know.
    """
    own = location.locate(spec.url)
    access = ANYONE
    if spec.credentials is not None:
        access = Access(origin_of(own.url), spec.credentials.token_file or "", spec.credentials.token_env or "")
    return Upstream(own, tuple(map(location.locate, spec.mirrors)), access, spec.public_key)
