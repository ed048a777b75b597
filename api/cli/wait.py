"""`rnx wait`: wait until a condition, a field, or the end of objects."""

import time
from collections.abc import Callable

import click

from api.cli import jsonpath, targets
from api.cli.completing import complete_target
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.durations import SECONDS
from api.cli.output import show_json
from api.cli.problems import CommandFailed
from api.cli.targets import Target
from api.client_watch import TimedOut, condition, wait_for
from api.errors import NotFound
from api.meta import Document

Test = Callable[[Document | None], bool]
_OPPOSITE = {"complete": "Failed", "failed": "Complete"}
_ENDING = ("Job", "Workflow")


@click.command("wait")
@click.argument("words", nargs=-1, required=True, metavar="KIND/NAME…", shell_complete=complete_target)
@click.option(
    "--for",
    "wanted",
    required=True,
    metavar="WHAT",
    help="condition=Complete, Complete, condition=Ready=false, jsonpath={.status.phase}=Running, create or delete.",
)
@click.option(
    "--timeout", type=SECONDS, default="60s", show_default=True, metavar="DURATION", help="Give up after this long."
)
@click.option("--all", "everything", is_flag=True, help="Wait for all objects of the kind.")
@click.option("-l", "--selector", default="", metavar="SELECTOR", help="Wait for objects with these labels.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: the objects as they were then, null for one deleted.")
@reaching
@pass_connection
def wait(
    connection: Connection, *, words: tuple[str, ...], wanted: str, timeout: float, everything: bool, selector: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Wait until something is true of objects.

    \b
    rnx wait job/etl --for=Complete --timeout=10m
    rnx wait runtime/python-3.11 --for=condition=Ready
    rnx wait job/etl --for=delete

    \b
    Exit status: 0 it is so, 1 it cannot become so any more, 4 not in time.
    """
    deadline = time.monotonic() + timeout
    found = _targets(connection, words, everything=everything, selector=selector)
    tests = [test_of(wanted, target) for target in found]
    ended: list[Document | None] = []
    for target, holds in zip(found, tests, strict=True):
        left = max(0.0, deadline - time.monotonic())
        namespace = connection.namespace if target.kind.namespaced else ""
        try:
            ended.append(
                wait_for(connection.client, target.kind, namespace, target.name, until=holds, timeout_seconds=left)
            )
        except TimedOut:
            raise TimedOut(f"timed out waiting for {wanted} of {target}: see rnx describe {target}") from None
        if not as_json:
            click.echo(f"{target} {_met(wanted)}")
    if as_json:
        show_json(ended[0] if len(words) == 1 and len(ended) == 1 and not (everything or selector) else ended)


def _targets(connection: Connection, words: tuple[str, ...], *, everything: bool, selector: str) -> tuple[Target, ...]:
    if not everything and not selector:
        return targets.parse_objects(words)
    found = targets.chosen(connection, words, everything=everything, selector=selector)
    if not found:
        raise CommandFailed("no matching resources found")
    return found


def _met(wanted: str) -> str:
    return {"delete": "deleted", "create": "created"}.get(wanted, "condition met")


def test_of(wanted: str, target: Target) -> Test:
    """Return the test that `--for=wanted` means. Raises UsageError."""
    if wanted == "delete":
        return lambda document: document is None
    if wanted == "create":
        return lambda document: document is not None
    if wanted.startswith("jsonpath="):
        return _field_test(wanted.removeprefix("jsonpath="), target)
    type_, _, status = wanted.removeprefix("condition=").partition("=")
    if not type_ or "{" in type_:
        raise click.UsageError(
            f'cannot wait for "{wanted}": use condition=NAME, delete, create or jsonpath={{.PATH}}=VALUE'
        )
    _check_condition(type_, target)
    return _condition_test(type_, status or "True", target)


def _check_condition(type_: str, target: Target) -> None:
    """Refuse a condition that objects of that kind never have: it would be waited for in vain."""
    known = sorted(target.kind.definition.conditions)
    if type_.lower() not in [name.lower() for name in known]:
        kind = target.kind.singular
        article = "an" if kind[0] in "aeiou" else "a"
        listed = ", ".join([*known, "create", "delete"])
        raise click.UsageError(f'{article} {kind} has no condition "{type_}": use {listed} or jsonpath={{.PATH}}=VALUE')


def _condition_test(type_: str, status: str, target: Target) -> Test:
    opposite = _OPPOSITE.get(type_.lower()) if target.kind.name in _ENDING and status.lower() == "true" else None

    def holds(document: Document | None) -> bool:
        if document is None:
            raise NotFound(f'{target.kind.resource} "{target.name}" not found')
        found = condition(document, type_)
        if found is not None and str(found["status"]).lower() == status.lower():
            return True
        other = condition(document, opposite) if opposite else None
        if other is not None and other["status"] == "True":
            why = other.get("message") or other.get("reason") or ""
            raise CommandFailed(f"{target} cannot become {type_} any more: it is {opposite}: {why}")
        return False

    return holds


def _field_test(text: str, target: Target) -> Test:
    path, brace, value = text.partition("}")
    path = path.strip("'\"") + brace
    value = value.strip("'\"").removeprefix("=").strip("'\"")
    try:
        jsonpath.find(path, {})
    except jsonpath.BadPath as error:
        raise click.UsageError(str(error)) from error

    def holds(document: Document | None) -> bool:
        if document is None:
            raise NotFound(f'{target.kind.resource} "{target.name}" not found')
        found = [jsonpath.text(item) for item in jsonpath.find(path, document)]
        return value in found if value else bool(found)

    return holds
