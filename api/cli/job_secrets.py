"""`--secret-env` of `rnx job run`: values that go into a Secret of the job's own, and are not in the job.

The job is made suspended, then the Secret, which is the job's and goes with it, then the job goes on. Invariant: what
is secret is in no Job, no message and no output; a job whose Secret could not be made is not left behind.
"""

import contextlib
import dataclasses
import secrets
from collections.abc import Mapping

import click

from api import kinds
from api.cli import limits
from api.cli.connection import environment
from api.cli.flag_types import Read
from api.client import Client
from api.client_transport import Answer
from api.errors import NotFound
from api.meta import API_VERSION, Document

_LONGEST_STEM = 40


def read(text: str) -> tuple[str, str]:
    """Return the name and value of KEY=VALUE; of KEY alone the value is that of rnx's own environment.

    Raises:
        ValueError: it cannot be read, or there is no such variable; the message says how to write it, and no value.
    """
    name, equals, value = text.partition("=")
    limits.check_variable(name, 'cannot read a secret variable: write KEY=VALUE, or KEY to take the value of "$KEY"')
    if not equals and not (value := environment(name)):
        raise ValueError(f"${name} is not set here: set and export it, or write {name}=VALUE")
    return name, value


def variables(named: tuple[tuple[str, str], ...], job: str) -> list[Document]:
    """Return the variables as a Job has them, which name a Secret of this job's; its name is new each time."""
    secret = f"{(job or 'run')[:_LONGEST_STEM].rstrip('-.')}-env-{secrets.token_hex(4)}"
    return [{"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}} for name, _ in named]


def create(client: Client, namespace: str, document: Document, values: Mapping[str, str]) -> Answer:
    """Make the job, and before it may run the Secret that its variables name."""
    if not values:
        return client.create(kinds.JOB, namespace, document)
    held = document | {"spec": document["spec"] | {"suspend": True}}
    answer = client.create(kinds.JOB, namespace, held)
    metadata = answer.document["metadata"]
    name, uid = str(metadata["name"]), str(metadata["uid"])
    try:
        client.create(kinds.SECRET, namespace, _secret(document, values, name, uid))
        going = client.merge_patch(kinds.JOB, namespace, name, {"spec": {"suspend": False}})
    except BaseException:  # Interrupted too: it could never run.
        with contextlib.suppress(NotFound):
            client.delete(kinds.JOB, namespace, name, uid=uid)
        raise
    return dataclasses.replace(answer, document=going)


def _secret(document: Document, values: Mapping[str, str], job: str, uid: str) -> Document:
    references = (each.get("valueFrom", {}).get("secretKeyRef") for each in document["spec"]["env"])
    secret = next(reference["name"] for reference in references if reference)
    owner = {"apiVersion": API_VERSION, "kind": kinds.JOB.name, "name": job, "uid": uid}
    metadata = {"name": secret, "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(values)}


flag = click.option(
    "-s",
    "--secret-env",
    "secret_env",
    multiple=True,
    type=Read(read, "secret"),
    metavar="KEY[=VALUE]",
    help="Set a variable whose value is kept in a Secret, and shown nowhere; without =VALUE it is that of rnx's own "
    "environment, so that it is in no history. May be repeated.",
)
