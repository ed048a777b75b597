"""Whether symbolic links stay in a tree, decided from their words alone.

Pure: takes every link of an archive at once, because a link may lead out only through another one.
A link that leads out on the host is refused. One exception: below `isolated/`, which becomes the root
that jobs see, an absolute target counts from there; whoever reads such a tree on the host opens it
with `openat2`, which keeps links in.
"""

from collections.abc import Mapping

ISOLATED = "isolated"
_MAX_STEPS = 255
_MAX_LINKS = 40  # As the kernel does: path_resolution(7).


def first_escape(links: Mapping[str, str]) -> str | None:
    """Return which of `links` (path in the tree to target) leads out of the tree and how, or None.

    >>> first_escape({"bin/python": "python3", "bin/sh": "../../bin/sh"})
    'bin/sh -> ../../bin/sh leads out of the tree'
    """
    known = {"/".join(_parts(path)): target for path, target in links.items()}
    for path in sorted(known):
        why = _why_bad(path, known)
        if why:
            return f"{path} -> {known[path]} {why}"
    return None


def _why_bad(link: str, links: Mapping[str, str]) -> str:
    """Walk from `link` as the kernel would, in the tree, and return what is wrong with where it goes."""
    *at, last = _parts(link)
    left = [last]
    followed = 0
    while left:
        part = left.pop()
        if part == "..":
            if not at:
                return "leads out of the tree"
            at.pop()
            continue
        target = links.get("/".join((*at, part)))
        if target is None:
            at.append(part)
            continue
        followed += 1
        if followed > _MAX_LINKS or len(left) > _MAX_STEPS:
            return "never ends"
        if target.startswith("/"):
            if (*at, part)[0] != ISOLATED:
                return "is absolute: only links below isolated/ may be"
            at = [ISOLATED]
        left += reversed(_parts(target))
    return ""


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
