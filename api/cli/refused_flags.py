"""A refused Job in the words of whoever typed `rnx job run`: paths in the spec become the flags they came from.

Pure. Invariant: no cause is dropped; a refusal of what no flag says stays the server's own.
"""

import re

import click

from api.errors import Cause, Invalid
from api.meta import Document

_FLAGS = {
    "spec.securityContext.capabilities.add": "--cap-add",
    "spec.securityProfile": "--security-profile",
    "spec.env": "--env", "spec.files": "--upload", "spec.artifacts": "--artifact",
    "spec.resources.limits.memory": "--max-memory",
    "spec.resources.limits.ephemeral-storage": "--max-disk",
    "spec.resources.limits.cpu": "--max-cpu", "spec.resources.limits.io": "--max-iobps",
    "spec.resources.requests.cpu": "--request-cpu", "spec.resources.requests.memory": "--request-memory",
    "spec.resources.requests.ephemeral-storage": "--request-disk",
    "spec.resources.requests": "--request-cpu, --request-memory or --request-disk",
    "spec.priorityClassName": "--priority",
    "spec.resources.cpuSet": "--cpu-cores", "spec.activeDeadlineSeconds": "--max-runtime",
    "spec.volumeMounts": "--volume", "spec.workingDir": "--workdir",
    "spec.network.aliases": "--alias", "spec.network.ports": "--publish", "spec.network.egress": "--egress",
    "spec.network.ingress": "--ingress", "spec.network.bandwidth.ingress": "--max-receive",
    "spec.network.bandwidth.egress": "--max-send", "spec.network": "--network",
    "spec.completions": "--completions", "spec.parallelism": "--parallelism", "spec.completionMode": "--indexed",
    "spec.runtime": "--runtime", "spec.backoffLimit": "--backoff-limit", "spec.ttlSecondsAfterFinished": "--ttl",
    "spec.resources.limits[nvidia.com/gpu]": "--gpu", "spec.command": "COMMAND", "metadata.name": "--name",
}  # fmt: skip
_ELEMENT = re.compile(r"^spec\.(env|files|volumeMounts)\[(\d+)\]")
_NAMED_BY = {"env": "name", "files": "path", "volumeMounts": "name"}


def as_usage(error: Invalid, document: Document) -> Exception:
    """Return the refusal of `document` as wrong usage of flags; `error` itself if a cause is about no flag."""
    said = [_said(cause, document) for cause in error.causes]
    if not said or None in said:
        return error
    return click.UsageError("; ".join(line for line in said if line))


def _said(cause: Cause, document: Document) -> str | None:
    flag = next((flag for path, flag in _FLAGS.items() if _is_at_or_below(cause.field, path)), None)
    if flag is None:
        return None
    message = cause.message.partition("; write ")[0]  # How to write it in a file; flags have units of their own.
    element = _ELEMENT.match(cause.field)
    items = document["spec"].get(element[1], ()) if element else ()
    if element and int(element[2]) < len(items):
        return f"{flag} {items[int(element[2])][_NAMED_BY[element[1]]]}: {message}"
    return f"{flag}: {message}"


def _is_at_or_below(field: str, path: str) -> bool:
    return field.startswith(path) and field[len(path) : len(path) + 1] in ("", ".", "[")
