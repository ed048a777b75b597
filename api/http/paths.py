"""Kubernetes' resource paths: `/apis/GROUP/VERSION/namespaces/NS/PLURAL/NAME/SUBRESOURCE`. Pure."""

from dataclasses import dataclass

_OF_NAMESPACES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """What a path names; parts that it leaves out are empty."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def parse(path: str) -> ResourcePath | None:
    """Return what a path names, or None if it is no path of a resource.

    >>> parse("/api/v1/namespaces/default/pods/etl-1/log")
    ResourcePath(group='', version='v1', plural='pods', namespace='default', name='etl-1', subresource='log')
    >>> parse("/api/v1/namespaces/default")
    ResourcePath(group='', version='v1', plural='namespaces', namespace='', name='default', subresource='')
    """
    parts = path.strip("/").split("/")
    if not all(parts):
        return None
    match parts:
        case ["api", version, *rest]:
            return _parse_rest("", version, rest)
        case ["apis", group, version, *rest]:
            return _parse_rest(group, version, rest)
        case _:
            return None


def _parse_rest(group: str, version: str, rest: list[str]) -> ResourcePath | None:
    match rest:
        case ["namespaces", name, subresource] if not group and subresource in _OF_NAMESPACES:
            return ResourcePath(group, version, "namespaces", name=name, subresource=subresource)
        case ["namespaces", namespace, plural, *more] if len(more) <= 2:
            return ResourcePath(group, version, plural, namespace, *more)
        case [plural, *more] if len(more) <= 2:
            return ResourcePath(group, version, plural, "", *more)
        case _:
            return None
