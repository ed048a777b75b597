"""A list of objects of one kind in the documents' words: the newest first, or as the API said it."""

from collections.abc import Callable, Sequence

from api.cli.connection import Connection
from api.cli.output import note, show_columns, show_json
from api.kind import Kind
from api.meta import Document


def show_newest(
    connection: Connection,
    kind: Kind,
    head: Sequence[str],
    row: Callable[[Document], list[str]],
    *,
    all_namespaces: bool,
    as_json: bool,
) -> None:
    """Print the objects of the namespace, or of all, as rows below `head`."""
    listing = connection.client.list(kind, None if all_namespaces else connection.namespace)
    if as_json:
        show_json(listing)
        return
    if not listing["items"]:
        note(f"No {kind.plural} found" + ("" if all_namespaces else f" in {connection.namespace} namespace"))
        return
    newest = sorted(listing["items"], key=_age_order, reverse=True)
    rows = [[*([item["metadata"]["namespace"]] if all_namespaces else []), *row(item)] for item in newest]
    show_columns([[*(["NAMESPACE"] if all_namespaces else []), *head], *rows])


def _age_order(item: Document) -> tuple[str, int]:
    """Return a sort key, oldest first; within a second, which is all that is kept, the one written last is newer."""
    metadata = item["metadata"]
    revision = str(metadata.get("resourceVersion", ""))
    return str(metadata.get("creationTimestamp", "")), int(revision) if revision.isdecimal() else 0
