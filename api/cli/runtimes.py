"""Runtime specs on the command line: which Runtime object is meant, whether it is ready, who uses it."""

from dataclasses import dataclass
from typing import Any

import click

from api import kinds, runtime_spec
from api.cli.finished import is_finished
from api.client import Client
from api.client_watch import condition
from api.errors import NotFound
from api.meta import Document
from api.runtime_spec import RuntimeSpec


def parse(text: str) -> RuntimeSpec:
    """Return what a spec asks for. Raises UsageError."""
    try:
        return runtime_spec.parse(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def order(version: str) -> Any:
    """Return a sort key of versions, such as are in a status."""
    return runtime_spec.version_order(version if runtime_spec.is_version(version) else None)


def find(client: Client, wanted: RuntimeSpec) -> Document:
    """Return the Runtime that a spec names. Raises NotFound with what there is, or UsageError."""
    if wanted.name is None:
        return _by_language(client, wanted)
    try:
        return client.get(kinds.RUNTIME, "", wanted.name)
    except NotFound:
        raise NotFound(_not_found(client, wanted)) from None


def _by_language(client: Client, wanted: RuntimeSpec) -> Document:
    """Return the Runtime whose name is LANGUAGE-VERSION and the tags; of several the one with the fewest more."""
    start = f"{wanted.language}-{wanted.language_version}"
    found = []
    for item in client.list(kinds.RUNTIME)["items"]:
        name = str(item["metadata"]["name"])
        extra = name.removeprefix(start).strip("-").split("-") if name.startswith(f"{start}-") else []
        if (name == start or extra) and set(wanted.tags) <= set(extra):
            found.append((len(extra), name, item))
    if not found:
        raise NotFound(_not_found(client, wanted))
    return dict(min(found, key=lambda pair: pair[:2])[2])


def _not_found(client: Client, wanted: RuntimeSpec) -> str:
    known = ", ".join(str(item["metadata"]["name"]) for item in client.list(kinds.RUNTIME)["items"])
    there = f"there are {known}" if known else "none is declared"
    return f'runtime "{wanted}" not found: {there}: rnx runtime install {wanted}'


def readiness(item: Document) -> tuple[str, str]:
    """Return the reason and message of a Runtime's Ready condition."""
    ready = condition(item, "Ready") or {}
    return str(ready.get("reason", "")), str(ready.get("message", ""))


def version_of(item: Document, version: str) -> Document:
    """Return what a Runtime's status says of one version; empty if nothing."""
    versions = item.get("status", {}).get("versions") or ()
    return next((dict(each) for each in versions if each["version"] == version), {})


def installed(item: Document) -> list[str]:
    """Return the versions of a Runtime that are on the host, as far as its status tells, lowest first."""
    versions = item.get("status", {}).get("versions") or ()
    return sorted((str(each["version"]) for each in versions if each.get("path")), key=order)


def reason_for(item: Document, asked: str) -> str:
    """Return why the version that is asked for is not there: its own reason, or that of Ready if it has none."""
    missing = [e for e in item.get("status", {}).get("versions") or () if e.get("state") != "Installed"]
    own = [str(e.get("reason") or "") for e in missing if may_mean(asked, str(e["version"]))]
    return next(filter(None, own), readiness(item)[0])


def may_mean(asked: str, version: str) -> bool:
    """Say whether an entry of spec.versions, or what is written in its place in a status, may mean a version."""
    return asked == version or (runtime_spec.is_version(version) and runtime_spec.matches(asked, version))


def meant(item: Document, wanted: RuntimeSpec) -> str | None:
    """Return the version of a Runtime that jobs get for a spec, as far as its status tells; None if there is none."""
    versions = item.get("status", {}).get("versions") or ()
    usable = [
        str(each["version"]) for each in versions
        if each.get("state") in ("Installed", "Removing") and each.get("health") != "Unhealthy"
    ]  # fmt: skip
    if wanted.version is not None:
        return wanted.version if version_of(item, wanted.version) else None
    said = [e["version"] for e in item.get("status", {}).get("history") or () if e.get("asked") == wanted.wanted]
    if said and said[-1] in usable:
        return str(said[-1])
    return runtime_spec.best(wanted.wanted, [version for version in usable if runtime_spec.is_version(version)])


@dataclass(frozen=True, slots=True)
class Users:
    """The unfinished jobs of all namespaces that run in a runtime, with the runtime that each says."""

    jobs: tuple[Document, ...]

    def of(self, name: str, version: str | None) -> list[str]:
        """Return those that run in a runtime, or in one version of it."""
        return [
            f"job/{job['metadata'].get('namespace', '')}/{job['metadata']['name']}"
            for job in self.jobs
            if _uses(job, name, version)
        ]


def all_users(client: Client) -> Users:
    """Return all jobs that are not finished."""
    return Users(tuple(job for job in client.list(kinds.JOB)["items"] if not is_finished(job)))


def users_of(client: Client, name: str, version: str | None) -> list[str]:
    """Return the unfinished jobs of all namespaces that run in a runtime, or in one version of it."""
    return all_users(client).of(name, version)


def _uses(job: Document, name: str, version: str | None) -> bool:
    said = job.get("status", {}).get("resolvedRuntime") or job.get("spec", {}).get("runtime") or ""
    used_name, _, used_version = said.partition("@")
    return used_name == name and (version is None or used_version in ("", version))
