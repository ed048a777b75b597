"""`rnx explain`: why an object is where it is, and what a field of a kind means.

`job/etl` asks the server, which plans without doing; `job.spec.env` is read from the types.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import click

from api import kinds
from api.cli import targets
from api.cli.completing import complete_target
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.json_flag import also_json
from api.cli.output import coloured, printable, show_json, show_yaml
from api.meta import Document

_INDENT = "  "


@click.command("explain")
@click.argument("words", nargs=-1, required=True, metavar="KIND/NAME | KIND[.FIELD…]", shell_complete=complete_target)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["wide", "json", "yaml"]),
    help="wide also shows the sandbox; json and yaml all of it.",
)
@click.option("--recursive", is_flag=True, help="Show the fields below the field too.")
@also_json
@reaching
@pass_connection
def explain(connection: Connection, *, words: tuple[str, ...], output: str | None, recursive: bool) -> None:
    """Say why a job is where it is, or what a field means.

    \b
    rnx explain job/etl              rnx explain job/etl -o wide
    rnx explain job.spec.env         rnx explain runtime --recursive
    """
    if len(words) == 1 and "/" not in words[0] and output in ("json", "yaml"):
        (show_json if output == "json" else show_yaml)(_at(words[0])[2])
        return
    if len(words) == 1 and "/" not in words[0]:
        for line in field_lines(words[0], recursive=recursive):
            click.echo(line)
        return
    answers: list[Document] = []
    for target in targets.parse_objects(words):
        if not target.kind.is_explained:
            what = f"{target.kind.singular}/{target.name}"
            raise click.UsageError(f"cannot explain {what}: nothing is to be done for it: use rnx describe {what}")
        namespace = connection.namespace if target.kind.namespaced else ""
        answer = connection.client.explain(target.kind, namespace, target.name)
        if output == "json":
            answers.append(answer)
            continue
        if output == "yaml":
            show_yaml(answer)
            continue
        for line in reason_lines(answer, wide=output == "wide"):
            click.echo(line)
    if output == "json":
        show_json(answers[0] if len(answers) == 1 else answers)


def reason_lines(answer: Document, *, wide: bool) -> Iterator[str]:
    """Yield an explanation for a person."""
    summary = answer.get("summary") or {}
    phase, reason = coloured(printable(summary.get("phase", ""))), printable(summary.get("reason", ""))
    name = click.style(printable(answer.get("object", "")), bold=True)
    yield f"{name}: {phase}{f' ({reason})' if reason else ''}"
    if answer.get("reasons"):
        yield "Why:"
        yield from (f"{_INDENT}- {printable(reason)}" for reason in answer["reasons"])
    yield "Next:" if answer.get("plan") else f"Next: {_nothing(answer)}"
    yield from _steps(answer.get("plan") or ())
    sandbox = answer.get("sandbox") or ()
    if sandbox and wide:
        yield "Sandbox:"
        yield from _steps(sandbox)
    elif sandbox:
        yield f"Sandbox: {len(sandbox)} operations (-o wide shows them)"


def _nothing(answer: Document) -> str:
    again = answer.get("checkAgainSeconds")
    return "nothing to do" + (f"; it is looked at again in {max(1, round(again))} s" if again else "")


def _steps(steps: Iterable[Document]) -> Iterator[str]:
    for number, step in enumerate(steps, 1):
        rest = [f"{name}={_brief(value)}" for name, value in step.items() if name != "step" and value not in (None, "")]
        yield f"{number:>5}. {printable(step.get('step', ''))} {printable(' '.join(rest))}".rstrip()


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _at(path: str) -> tuple[kinds.Kind, list[str], Document]:
    """Return the kind, the names of fields, and the schema of the field at `KIND.FIELD.FIELD`. Raises UsageError."""
    from api import crd

    word, *names = path.split(".")
    kind = targets.kind_of(word)
    schema = crd.schema_of(kind)
    for depth, name in enumerate(names):
        below = _fields(schema)
        if name not in below:
            where = ".".join([kind.singular, *names[:depth]])
            known = f"it has {', '.join(below)}" if below else "it has no fields"
            raise click.UsageError(f'field "{name}" does not exist in {where}: {known}')
        schema = below[name]
    return kind, names, schema


def field_lines(path: str, *, recursive: bool) -> Iterator[str]:
    """Yield what the field at `KIND.FIELD.FIELD` means, as kubectl explain does. Raises UsageError."""
    kind, names, schema = _at(path)
    yield f"GROUP:      {kind.group}" if kind.group else "GROUP:      (core)"
    yield f"KIND:       {kind.name}"
    yield f"VERSION:    {kind.version}"
    yield ""
    if names:
        yield f"FIELD: {names[-1]} <{_type(schema)}>"
        yield from _facts(schema)
        yield ""
    yield "DESCRIPTION:"
    yield f"    {schema.get('description', '<empty>')}"
    if _fields(schema):
        yield ""
        yield "FIELDS:"
        yield from _field_list(schema, _INDENT, recursive=recursive)


def _inner(schema: Document) -> Document:
    """Return the schema of what a list, or an object with members of any name, is made of; of what is none, its own."""
    while True:
        below = schema.get("items") if schema.get("type") == "array" else schema.get("additionalProperties")
        if not isinstance(below, dict):
            return schema
        schema = below


def _fields(schema: Document) -> dict[str, Document]:
    return dict(_inner(schema).get("properties", {}))


def _field_list(schema: Document, indent: str, *, recursive: bool) -> Iterator[str]:
    inner = _inner(schema)
    for name, below in _fields(schema).items():
        required = " -required-" if name in inner.get("required", ()) else ""
        yield f"{indent}{name}  <{_type(below)}>{required}"
        if recursive:
            yield from _field_list(below, indent + _INDENT, recursive=True)
        else:
            yield f"{indent}{_INDENT}{below.get('description', '')}"
            yield ""


def _facts(schema: Document) -> Iterator[str]:
    if "enum" in schema:
        yield f"ENUM: {', '.join(map(str, schema['enum']))}"
    if schema.get("default") not in (None, "", [], {}):
        yield f"DEFAULT: {schema['default']}"


def _type(schema: Document) -> str:
    if schema.get("type") == "array":
        return f"[]{_type(schema.get('items', {}))}"
    if "additionalProperties" in schema:
        return f"map[string]{_type(schema['additionalProperties'])}"
    if schema.get("x-kubernetes-int-or-string"):
        return "Quantity"
    return {"object": "Object"}.get(str(schema.get("type", "")), str(schema.get("type", "Object")))
