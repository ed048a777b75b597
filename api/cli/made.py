"""An object that was made and is waited for until jobs can have it: a volume, a network.

Invariant: what was made and cannot be used is told as being there, so that nobody makes it once more in vain.
"""

from collections.abc import Callable

from api.cli.connection import Connection
from api.cli.problems import TIMED_OUT, CommandFailed
from api.client_transport import Unreachable
from api.client_watch import TimedOut, wait_for
from api.conditions import Condition, ConditionStatus, find
from api.errors import ApiError, Forbidden, NotFound
from api.kinds import Kind
from api.meta import Document


def made_ready(
    connection: Connection, kind: Kind, name: str, is_settled: Callable[[Document | None], bool], timeout: float
) -> Document:
    """Return an object that was just made, as soon as it is settled whether jobs can have it. Raises CommandFailed."""
    what = f"{kind.singular}/{name}"
    try:
        made = wait_for(connection.client, kind, connection.namespace, name, until=is_settled, timeout_seconds=timeout)
    except TimedOut:
        why = f"{what} was made, and not ready in time: {_why_not(connection, kind, name)}"
        raise CommandFailed(f"{why}: {_remove(kind, name)}", exit_code=TIMED_OUT) from None
    if made is None:
        raise CommandFailed(f"{what} was removed before it was ready: make it again")
    return made


def require_there(connection: Connection, kind: Kind, name: str, fix: str) -> None:
    """Refuse to make something of what is not there, which would be waited for. Raises CommandFailed.

    Who may not look at it may still have it: then the server says what becomes of it.
    """
    try:
        connection.client.get(kind, connection.namespace, name)
    except NotFound:
        why = f'there is no {kind.name} "{name}" in namespace {connection.namespace}'
        raise CommandFailed(f"{why}: {fix}") from None
    except Forbidden:
        return


def check_usable(kind: Kind, made: Document) -> None:
    """Refuse to go on with an object that jobs cannot have. Raises CommandFailed."""
    ready, name = ready_of(made), str(made["metadata"]["name"])
    if ready is None or ready.status is not ConditionStatus.TRUE:
        why = _told(ready)
        raise CommandFailed(
            f"{kind.singular}/{name} was made, and cannot be used so far: {why}: it stays: {_remove(kind, name)}"
        )


def ready_of(item: Document) -> Condition | None:
    """Return the condition Ready of an object, if it has it."""
    conditions = [Condition.model_validate(each) for each in item.get("status", {}).get("conditions", ())]
    return find(conditions, "Ready")


def _why_not(connection: Connection, kind: Kind, name: str) -> str:
    try:
        return _told(ready_of(connection.client.get(kind, connection.namespace, name)))
    except (ApiError, Unreachable):  # Neither is what the command was for.
        return f"rnx describe {kind.singular} {name} tells why"


def _told(ready: Condition | None) -> str:
    return f"{ready.reason}: {ready.message}" if ready else "nothing is known of it"


def _remove(kind: Kind, name: str) -> str:
    return f"rnx delete {kind.singular} {name} removes it"
