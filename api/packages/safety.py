"""What may lie in any package: the rules by which installs refuse archives, told to authors before they publish.

Pure: judges a `Listing`. Installs do not rely on it: they judge each entry again while they unpack.
"""

from collections.abc import Iterator

from api.packages import links, names
from api.packages.findings import Report
from api.packages.listing import Entry, EntryKind, Listing

MOST_ENTRIES = 500_000
MOST_BYTES = 32 << 30
MOST_PATH_BYTES = 1024
MOST_NAME_BYTES = 255
_SET_ID = 0o6000
_SHOWN = 5


def check(listing: Listing, report: Report) -> None:
    """Add to `report` what installs would refuse in a package, and what they would change."""
    problems = [*_too_much(listing), *_names(listing.entries), *_kinds(listing.entries), *_twins(listing.entries)]
    escape = links.first_escape({e.path: e.link for e in listing.entries if e.kind is EntryKind.LINK})
    problems += [f"the link {escape}"] if escape else []
    for problem in problems[:_SHOWN]:
        report.fail(problem)
    if len(problems) > _SHOWN:
        report.fail(f"and {len(problems) - _SHOWN} more entries that may not be in it")
    with_ids = [entry.path for entry in listing.entries if entry.kind is EntryKind.FILE and entry.mode & _SET_ID]
    if with_ids:
        report.warn(f"{_first_of(with_ids)} set user or group ids: installs take that away")
    if not problems:
        count = sum(1 for entry in listing.entries if entry.kind is not EntryKind.DIRECTORY)
        report.right(f"Found {count} file(s), all of names, links and kinds that are allowed")


def _too_much(listing: Listing) -> Iterator[str]:
    if not listing.entries:
        yield "it is empty"
    if len(listing.entries) > MOST_ENTRIES:
        yield f"it has {len(listing.entries)} entries: at most {MOST_ENTRIES} are installed"
    expanded = sum(entry.size for entry in listing.entries)
    if expanded > MOST_BYTES:
        yield f"it holds {expanded} bytes: at most {MOST_BYTES} are installed"


def _names(entries: tuple[Entry, ...]) -> Iterator[str]:
    for entry in entries:
        parts = entry.path.split("/")
        raw = entry.path.encode(errors="surrogateescape")
        if entry.said.startswith("/"):
            yield f"{entry.said}: the name is absolute"
        elif ".." in parts:
            yield f"{entry.said}: the name leads out of the package"
        elif len(raw) > MOST_PATH_BYTES or any(
            len(part.encode(errors="surrogateescape")) > MOST_NAME_BYTES for part in parts
        ):
            yield f"{entry.path[:80]}…: the name is too long: use at most {MOST_PATH_BYTES} bytes"


def _kinds(entries: tuple[Entry, ...]) -> Iterator[str]:
    files = {entry.path for entry in entries if entry.kind is EntryKind.FILE}
    for entry in entries:
        if entry.kind is EntryKind.OTHER:
            yield f"{entry.path} is {entry.what}: only files, directories and links may be in a package"
        elif entry.kind is EntryKind.LINK and not entry.link:
            yield f"{entry.path} links to nothing"
        elif entry.kind is EntryKind.HARDLINK and entry.link not in files:
            yield f"{entry.path} is a hard link to {entry.link}, which is no file of the package"


def _twins(entries: tuple[Entry, ...]) -> Iterator[str]:
    seen: dict[str, Entry] = {}
    for entry in entries:
        first = seen.setdefault(names.folded(entry.path), entry)
        if first is entry or first.kind is entry.kind is EntryKind.DIRECTORY:
            continue
        if first.path == entry.path:
            yield f"{entry.path} is in it twice"
        else:
            yield f"{first.path} and {entry.path} differ in case or Unicode form only: rename one of them"


def _first_of(paths: list[str]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0]}{more}"
