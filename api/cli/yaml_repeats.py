"""Keys that a YAML file says twice: of two the loader keeps the last, and what the first one said is lost."""

import yaml


def first(node: yaml.Node | None) -> tuple[str, int] | None:
    """Return the first key of a document that is there before in its mapping, and its line; None if none is.

    A merge key (`<<`) may come again: it is no key of the mapping.
    """
    return _first(node, set())


def _first(node: yaml.Node | None, seen: set[int]) -> tuple[str, int] | None:
    if id(node) in seen or not isinstance(node, yaml.CollectionNode):
        return None
    seen.add(id(node))  # An alias leads to a node that was looked at, perhaps to one that this one is in.
    below = node.value
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, _ in node.value:
            if key.value == "<<" and not key.style:
                continue
            if str(key.value) in names:
                return str(key.value), key.start_mark.line + 1
            names.add(str(key.value))
        below = [value for _, value in node.value]
    return next((found for each in below if (found := _first(each, seen)) is not None), None)
