"""Server-side apply: lay a manager's fields over the live object, remove what it no longer wants.

Pure. Equal values never conflict: two managers may own a field together, and it stays until both
have let it go. Documents here are owned parts (`field_sets.owned_part`); shapes say how lists merge.
Source: Kubernetes, "Server-Side Apply"; structured-merge-diff v4, package merge.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from api.errors import About, Cause, Conflict
from api.meta import Document
from api.objects import field_sets
from api.objects.field_sets import FieldSet, Path
from api.objects.managed_fields import Entry
from api.objects.shapes import Form, Shape


@dataclass(frozen=True, slots=True)
class Applied:
    """The object after an apply, and who owns what of it."""

    document: Document
    entries: tuple[Entry, ...]


def apply(
    live: Document,
    applied: Document,
    shape: Shape,
    entries: Sequence[Entry],
    applier: Entry,
    *,
    force: bool,
    about: About,
) -> Applied:
    """Return `live` with `applied` laid over it for the manager `applier`, whose `fields` are ignored.

    Raises:
        Conflict: another manager owns a field that would change, and `force` is not set.
    """
    wanted = field_sets.leaves(applied, shape)
    want = frozenset(wanted) - {()}
    last = next((entry.fields for entry in entries if entry.key == applier.key), frozenset())
    others = [entry for entry in entries if entry.key != applier.key]

    laid = _overlay(live, applied, shape)
    taken = _taken(live, laid, want, shape)
    _refuse_conflicts(others, taken, about, force=force)
    others = [replace(entry, fields=entry.fields - taken) for entry in others]
    unwanted = [path for path in last - want if not _is_inside(path, wanted)]
    result = _let_go(laid, unwanted, want, others, shape)

    mine = replace(applier, fields=want)
    if want == last:
        mine = next((entry for entry in entries if entry.key == applier.key), mine)
    left = _still_there([*others, mine], result, shape)
    return Applied(result, tuple(_in_order(left, entries)))


def _in_order(entries: Iterable[Entry], before: Sequence[Entry]) -> list[Entry]:
    """Keep the order that entries had, so that an apply that changes nothing changes nothing."""
    rank = {entry.key: index for index, entry in enumerate(before)}
    return sorted((entry for entry in entries if entry.fields), key=lambda entry: rank.get(entry.key, len(rank)))


def _taken(live: Document, laid: Document, want: FieldSet, shape: Shape) -> FieldSet:
    """Return what the apply makes another: leaves whose value it changes, and what was a leaf, or one was in it.

    Where anything goes, a leaf may become a map, and a map a leaf. An empty map or list that is filled is none of it.
    """
    old, old_containers = field_sets.leaves_and_containers(live, shape)
    new = field_sets.leaves(laid, shape)
    changed = {path for path in want if path in new and path in old and old[path] != new[path]}
    gone = {path for path, value in old.items() if path not in new and value not in ({}, [])}
    return frozenset(changed | gone | (old_containers & new.keys()))


def _refuse_conflicts(others: Sequence[Entry], taken: FieldSet, about: About, *, force: bool) -> None:
    clashes = [(entry, path) for entry in others for path in sorted(entry.fields & taken)]
    if not clashes or force:
        return
    causes = [
        Cause(field_sets.display(path), "FieldManagerConflict", f"conflict with {entry}") for entry, path in clashes
    ]
    count = len(clashes)
    if count == 1:
        raise Conflict(f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}", about, causes)
    by_entry: dict[Entry, list[Path]] = {}
    for entry, path in clashes:
        by_entry.setdefault(entry, []).append(path)
    lines = []
    for entry in sorted(by_entry, key=str):
        lines.append(f"conflicts with {entry}:")
        lines += [f"- {field_sets.display(path)}" for path in by_entry[entry]]
    raise Conflict(f"Apply failed with {count} conflicts: " + "\n".join(lines), about, causes)


def _still_there(entries: Iterable[Entry], document: Document, shape: Shape) -> list[Entry]:
    """Return entries without the paths that the document no longer has."""
    found, containers = field_sets.leaves_and_containers(document, shape)
    present = found.keys() | containers
    return [entry if entry.fields <= present else _limited(entry, present) for entry in entries]


def _limited(entry: Entry, present: set[Path]) -> Entry:
    return replace(entry, fields=entry.fields & present)


def _overlay(live: Any, applied: Any, shape: Shape) -> Any:
    """Return `live` with `applied` over it; neither is changed."""
    if shape.form in (Form.SET, Form.KEYED) and isinstance(live, list) and isinstance(applied, list):
        return _overlay_list(live, applied, shape)
    if not isinstance(live, dict) or not isinstance(applied, dict) or shape.form is Form.LEAF:
        return applied
    merged = dict(live)
    for name, value in applied.items():
        merged[name] = _overlay(live[name], value, shape.child(name)) if name in live else value
    return merged


def _overlay_list(live: list[Any], applied: list[Any], shape: Shape) -> list[Any]:
    """Merge lists by key: applied items in their order, those of others where they were between them."""
    if field_sets.members(live, shape) is None or field_sets.members(applied, shape) is None:
        return applied if applied else live
    here = {field_sets.item_element(item, shape): item for item in live}
    wanted = {field_sets.item_element(item, shape): item for item in applied}
    position = {element: index for index, element in enumerate(here)}
    waiting = deque(element for element in here if element not in wanted)
    merged: list[Any] = []
    for element, before in zip(wanted, _next_positions(list(wanted), position), strict=True):
        while waiting and position[waiting[0]] < before:
            merged.append(here[waiting.popleft()])
        item = wanted[element]
        merged.append(_overlay(here[element], item, shape.item()) if element in here else item)
    return merged + [here[element] for element in waiting]


def _next_positions(wanted: list[str | None], position: dict[str | None, int]) -> list[int]:
    """Return for each wanted item where it is, or, being new, where the next old one after it is."""
    found, following = [], len(position)
    for element in reversed(wanted):
        following = position.get(element, following)
        found.append(following)
    return found[::-1]


def _is_inside(path: Path, wanted: Mapping[Path, Any]) -> bool:
    """Return whether `path` lies inside a value that is wanted whole, so that there is nothing to remove."""
    above = (wanted.get(path[:depth]) for depth in range(1, len(path)))
    return any(value is not None and value is not field_sets.ITEM and value not in ({}, []) for value in above)


@dataclass(slots=True)
class _Gone:
    """What of a value is to go: all of it, or something inside."""

    is_whole: bool = False
    inside: dict[str, "_Gone"] = field(default_factory=dict)


def _let_go(document: Any, unwanted: Iterable[Path], want: FieldSet, others: Sequence[Entry], shape: Shape) -> Any:
    """Remove what the manager applied before and does not want now, unless somebody still has it.

    In one walk over the document, however much it is: a list of thousands may be let go at once.
    """
    kept = {path[:depth] for path in want.union(*(entry.fields for entry in others)) for depth in range(len(path) + 1)}
    gone = _Gone()
    for path in unwanted:
        if path in kept:
            continue
        node = gone
        for element in path:
            node = node.inside.setdefault(element, _Gone())
        node.is_whole = True
    return _without(document, gone, shape, kept, ()) if gone.inside else document


def _without(value: Any, gone: _Gone, shape: Shape, kept: set[Path], above: Path) -> Any:
    """Return `value` without what is `gone`; a container that this empties goes too."""
    if isinstance(value, list) and shape.form in (Form.SET, Form.KEYED):
        return _without_items(value, gone, shape, kept, above)
    if not isinstance(value, dict):
        return value
    left = {}
    for name, child in value.items():
        element = f"f:{name}"
        node = gone.inside.get(element)
        if node is None:
            left[name] = child
            continue
        inside = (*above, element)
        rest = None if node.is_whole else _without(child, node, shape.child(name), kept, inside)
        is_emptied = rest in ({}, []) and child not in ({}, []) and above and inside not in kept
        if not node.is_whole and not is_emptied:
            left[name] = rest
    return left


def _without_items(items: list[Any], gone: _Gone, shape: Shape, kept: set[Path], above: Path) -> list[Any]:
    left = []
    for item in items:
        element = field_sets.item_element(item, shape)
        node = None if element is None else gone.inside.get(element)
        if element is None or node is None:
            left.append(item)
        elif not node.is_whole:
            # An item that somebody keeps would not be that item without its keys.
            inside = {name: each for name, each in node.inside.items() if name[2:] not in shape.keys}
            left.append(_without(item, _Gone(inside=inside), shape.item(), kept, (*above, element)))
    return left
