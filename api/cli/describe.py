"""`rnx describe`: all that matters of an object for a person, with its events.

Jobs get their own summary of limits and runs; other kinds are shown field by field.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from api import kinds, quantity
from api.cli import events, many_runs, network_lines, targets, workflow_lines
from api.cli.completing import complete_target
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.output import age, coloured, columns, note, note_none, printable, several, show_json, size
from api.cli.problems import CommandFailed
from api.cli.problems import describe as describe_error
from api.cli.targets import Target
from api.client import Selection
from api.errors import ApiError
from api.meta import Document
from api.types import job_network
from api.types.job_spec import JobSpec

_WIDTH = 18
_INDENT = "  "
_IS_FIELD = re.compile(r"[a-z][A-Za-z0-9]*")
_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@click.command("describe")
@click.argument("words", nargs=-1, required=True, metavar="KIND [NAME…] | KIND/NAME…", shell_complete=complete_target)
@click.option("-l", "--selector", default="", metavar="SELECTOR", help="Only objects with these labels.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: a list, of each object and its events.")
@reaching
@pass_connection
def describe(
    connection: Connection, *, words: tuple[str, ...], selector: str, all_namespaces: bool, as_json: bool
) -> None:
    """Show all that matters of objects, with their events."""
    found_kinds, named = targets.parse(words)
    documents: list[tuple[Target, Document]] = []
    failed = False
    for target in named:
        try:
            documents.append((target, connection.client.get(target.kind, connection.namespace, target.name)))
        except ApiError as error:
            note(describe_error(error))
            failed = True
    for kind in () if named else found_kinds:
        namespace = None if all_namespaces or not kind.namespaced else connection.namespace
        listing = connection.client.list(kind, namespace, Selection(selector))
        documents += [(Target(kind, item["metadata"]["name"]), item) for item in listing["items"]]
    if as_json:
        show_json([{"object": each, "events": _events(connection, target, each)} for target, each in documents])
    for number, (target, document) in enumerate(() if as_json else documents):
        if number:
            click.echo("\n")
        show(connection, target, document)
    if failed:
        raise CommandFailed()
    if not documents and not as_json:
        is_placed = not all_namespaces and any(kind.namespaced for kind in found_kinds)
        note_none(connection.namespace if is_placed else "")


def show(connection: Connection, target: Target, document: Document) -> None:
    """Print one object and its events."""
    for line in lines_of(document):
        click.echo(line)
    found = _events(connection, target, document)
    if not found:
        click.echo("Events:  <none>")
        return
    click.echo("Events:")
    rows = [["AGE", "TYPE", "REASON", "MESSAGE"]]
    for event in found:
        seen, type_, reason, _, message = events.row_of(event)
        rows.append([seen, type_, reason, message])
    for line in columns(rows):
        click.echo(_INDENT + line)


def _events(connection: Connection, target: Target, document: Document) -> list[Document]:
    namespace = document["metadata"].get("namespace") or None
    selection = Selection(fields=events.selector_for(target))
    return events.in_order(connection.client.list(kinds.EVENT, namespace, selection)["items"])


def lines_of(document: Document) -> Iterator[str]:
    """Yield an object as lines for a person."""
    metadata, status = document["metadata"], document.get("status", {})
    yield _pair("Name", metadata["name"])
    if metadata.get("namespace"):
        yield _pair("Namespace", metadata["namespace"])
    yield from _labels("Labels", metadata.get("labels"))
    yield from _labels("Annotations", _worth_showing(metadata.get("annotations")))
    yield _pair("Created", f"{metadata.get('creationTimestamp', '')} ({age(metadata.get('creationTimestamp'))} ago)")
    if metadata.get("deletionTimestamp"):
        yield _pair("Deleting since", metadata["deletionTimestamp"])
    if metadata.get("ownerReferences"):
        yield _pair("Controlled By", ", ".join(f"{o['kind']}/{o['name']}" for o in metadata["ownerReferences"]))
    if document.get("kind") == "Secret":
        yield from _secret(document)
    else:
        yield from _BY_KIND.get(document.get("kind", ""), _generic)(document)
    yield from _conditions(status.get("conditions") or ())


def _job(document: Document) -> Iterator[str]:
    spec, status = document.get("spec", {}), document.get("status", {})
    yield _pair("Phase", " ".join(filter(None, (status.get("phase", "Pending"), _in_brackets(status.get("reason"))))))
    if status.get("message"):
        yield _pair("Message", status["message"])
    runtime = spec.get("runtime")
    yield _pair(
        "Runtime",
        f"{runtime} ({status.get('resolvedRuntime') or 'not resolved'})"
        if runtime
        else "<none: the host's directories>",
    )
    yield _pair("Command", " ".join(_quoted(word) for word in [*spec.get("command", ()), *spec.get("args", ())]))
    yield from _block("After", [_after(each, status.get("after") or ()) for each in spec.get("after") or ()])
    yield _pair("Working Dir", spec.get("workingDir", _default("working_dir")))
    yield from _limits(spec)
    yield from _enforced(status.get("runs") or ())
    yield from _devices(status.get("runs") or ())
    yield from _network(spec.get("network") or {}, status.get("runs") or ())
    yield from _block("Environment", [_variable(each) for each in spec.get("env") or ()])
    yield from _block("Environment from", [_whole(each) for each in spec.get("envFrom") or ()])
    yield from _block("Files", [_file(file) for file in spec.get("files") or ()])
    yield from _block("Volumes", [_mount(each) for each in spec.get("volumeMounts") or ()])
    yield from _artifacts(document)
    most = int(spec.get("backoffLimit", _default("backoff_limit")))
    retries = f"{min(status.get('failed', 0), most)} of {most} used"  # The failure after the last retry used none.
    if "backoffLimit" in spec or spec.get("backoffLimitPerIndex") is None:
        yield _pair(
            "Retries", retries + (f", next at {status['nextRetryTime']}" if status.get("nextRetryTime") else "")
        )
    yield from (_pair(name, text) for name, text in many_runs.rows(document))
    yield from _runs(status.get("runs") or ())
    yield from network_lines.refused(status)


def _after(wanted: Document, known: Any) -> str:
    condition = wanted.get("condition", "Complete")
    found = (each for each in known if (each["job"], each["condition"]) == (wanted["job"], condition))
    return f"job/{wanted['job']} {condition}: {next(found, {'state': 'Waiting'})['state']}"


def _file(file: Document) -> str:
    if file.get("link"):
        return f"/work/{file['path']} -> {file['link']}"
    return f"/work/{file['path']} (mode {file.get('mode', 0o644):o}){_origin(file)}"


def _mount(mount: Document) -> str:
    place = mount.get("mountPath") or f"/volumes/{mount['name']}"
    return f"{mount['name']} at {place}{', to read only' if mount.get('readOnly') else ''}"


def _artifacts(document: Document) -> Iterator[str]:
    """What is to be kept of its runs, and once one has left any what was, what was not, and how to fetch it."""
    if patterns := document.get("spec", {}).get("artifacts"):
        yield _pair("Artifacts", ", ".join(map(_quoted, patterns)))
    if kept := document.get("status", {}).get("artifacts"):
        count, left_out = int(kept.get("count") or 0), kept.get("leftOut")
        how = f"rnx job download {document['metadata']['name']}" if count else ""
        told = f"{several(count, 'file')}, {size(kept.get('sizeBytes') or 0)}, of run {kept['attempt']}"
        yield _pair("Kept", "; ".join(filter(None, (told, left_out and f"not kept: {left_out}", how))))


def _variable(variable: Document) -> str:
    return f"{variable['name']}={variable.get('value', '')}{_origin(variable.get('valueFrom') or {})}"


def _origin(source: Document) -> str:
    """Where a value comes from, in kubectl's words; nothing for one that is given."""
    for reference, kind in (("secretKeyRef", "secret"), ("configMapKeyRef", "config map")):
        if key := source.get(reference):
            optional = str(bool(key.get("optional"))).lower()
            return f" <set to the key '{key.get('key')}' in {kind} '{key.get('name')}'> Optional: {optional}"
    return ""


def _whole(source: Document) -> str:
    is_secret = bool(source.get("secretRef"))
    reference = source.get("secretRef") or source.get("configMapRef") or {}
    prefix = f" with prefix '{source['prefix']}'" if source.get("prefix") else ""
    return f"{reference.get('name')}  {'Secret' if is_secret else 'ConfigMap'}{prefix}"


def _default(field: str) -> Any:
    return JobSpec.model_fields[field].default


_RARE_LIMITS = ("tmp-storage", "shm-storage", "openFiles", "fileSize", "coreSize")
_RARE_RECEIPT = ("openFiles", "fileSize", "coreSize")


def _limits(spec: Document) -> Iterator[str]:
    resources = spec.get("resources", {})
    limits = resources.get("limits", {})
    shown = [f"{name} {limits[name]}" for name in ("cpu", "memory", "pids", "ephemeral-storage") if limits.get(name)]
    shown += [f"{name} {count}" for name, count in limits.items() if "/" in name and count]
    shown += [f"{name} {limits[name]}" for name in _RARE_LIMITS if limits.get(name) is not None]
    shown += [f"io {name} {rate}" for name, rate in (limits.get("io") or {}).items()]
    shown += [f"{name} {resources[name]}" for name in ("cpuWeight", "cpuSet") if resources.get(name) is not None]
    bandwidth = (spec.get("network") or {}).get("bandwidth") or {}
    shown += [f"network {name} {bandwidth[name]}bit/s" for name in ("ingress", "egress") if bandwidth.get(name)]
    if spec.get("activeDeadlineSeconds"):
        shown.append(f"deadline {spec['activeDeadlineSeconds']:g}s")
    yield _pair("Limits", ", ".join(shown) or "<none>")


def _enforced(runs: Any) -> Iterator[str]:
    """What the newest run that has a receipt was held to, defaults of the settings included."""
    receipt = next((run["receipt"] for run in reversed(runs) if run.get("receipt")), None)
    if receipt is None:
        return
    shown = [f"cpu {quantity.from_millicpu(receipt['cpuMillicpu'])}"] if receipt.get("cpuMillicpu") else []
    shown += [f"memory {size(receipt['memoryBytes'])}"] if receipt.get("memoryBytes") else []
    shown += [f"pids {receipt['pids']}"] if receipt.get("pids") else []
    shown += [f"{name} {receipt[name]}" for name in (*_RARE_RECEIPT, "cpuWeight", "cpuSet") if name in receipt]
    shown += [f"io of {' '.join(f'{name} {rate}' for name, rate in disk.items())}" for disk in receipt.get("io", ())]
    shown += [f"but not {text}" for text in receipt.get("notEnforced", ())]
    yield _pair("Enforced", ", ".join(shown) or "<none>")


def _devices(runs: Any) -> Iterator[str]:
    """Which devices the newest run has, or had."""
    if runs and runs[-1].get("devices"):
        yield _pair("Devices", ", ".join(runs[-1]["devices"]))


def _network(wanted: Document, runs: Any) -> Iterator[str]:
    """Where the newest run is in its network and which ports of the host lead to it; before it is, what is wanted."""
    if not wanted:
        return
    given: Document = next((run["network"] for run in reversed(runs) if run.get("network")), {})
    given = given if given.get("name") == wanted["name"] else {}  # It was changed since: that address is elsewhere.
    addresses = [given[name] for name in ("address", "ipv6Address") if given.get(name)]
    names = given.get("names") or wanted.get("aliases") or ()
    called = [f"names {' '.join(names)}"] if names else []
    yield _pair("Network", ", ".join([wanted["name"], *addresses, *called]))
    if ports := given.get("ports") or wanted.get("ports"):
        yield _pair("Ports", ", ".join(job_network.port_of(port) for port in ports))


def _runs(runs: Any) -> Iterator[str]:
    if not runs:
        yield _pair("Runs", "<none>")
        return
    yield "Runs:"
    rows = [["RUN", "STATE", "REASON", "EXIT", "STARTED", "FINISHED", "CPU", "MEMORY PEAK", "MESSAGE"]]
    has_indexes = any("index" in run for run in runs)
    rows[0][1:1] = ["INDEX"] if has_indexes else []
    for run in runs:
        usage = run.get("usage") or {}
        cpu = f"{usage['cpuSeconds']:.2f}s" if usage.get("cpuSeconds") is not None else ""
        exit_code = "" if run.get("exitCode") is None else str(run["exitCode"])
        row = [
            str(run["attempt"]),
            *([str(run.get("index", ""))] if has_indexes else []),
            run.get("state", ""),
            run.get("reason", ""),
            exit_code,
            run.get("startedAt", ""),
        ]
        rows.append([*row, run.get("finishedAt", ""), cpu, size(usage.get("memoryPeakBytes")), run.get("message", "")])
    for line in columns(rows):
        yield _INDENT + line


def _conditions(conditions: Any) -> Iterator[str]:
    if not conditions:
        return
    yield "Conditions:"
    rows = [["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]]
    for condition in conditions:
        since = age(condition.get("lastTransitionTime"))
        rows.append(
            [condition["type"], condition["status"], condition.get("reason", ""), since, condition.get("message", "")]
        )
    for line in columns(rows):
        yield _INDENT + line


def _secret(document: Document) -> Iterator[str]:
    """Its values by their sizes: who wants to see them asks for `-o yaml`."""
    yield _pair("Type", document.get("type", ""))
    yield from (["Immutable:        true"] if document.get("immutable") else ())
    yield from _block("Data", [f"{key}: {decoded_bytes(value)} bytes" for key, value in _sorted(document.get("data"))])


def _sorted(values: Document | None) -> list[tuple[str, str]]:
    return sorted((values or {}).items())


def decoded_bytes(encoded: str) -> int:
    """Return how many bytes a base64 text stands for.

    >>> decoded_bytes("aHVudGVyMg==")
    7
    """
    return len(encoded) * 3 // 4 - encoded[-2:].count("=")


def _worth_showing(annotations: Document | None) -> Document:
    """Leave out the copy of the whole object that `kubectl apply` keeps for itself, values of Secrets among it."""
    return {name: value for name, value in (annotations or {}).items() if name != _LAST_APPLIED}


def _generic(document: Document) -> Iterator[str]:
    from api import crd

    kind = targets.of_document(document)
    schema = crd.schema_of(kind) if kind else {}
    for name, value in document.items():
        if name not in ("apiVersion", "kind", "metadata", "status"):
            yield from _tree(title_of(name), value, "", _below(schema, name))
    refused = list(network_lines.refused(document.get("status", {})))
    apart = ("conditions", "refused", "refusals") if refused else ("conditions",)
    status = {name: value for name, value in document.get("status", {}).items() if name not in apart}
    if status:
        yield from _tree("Status", status, "", _below(schema, "status"))
    yield from refused


def _tree(name: str, value: Any, indent: str, schema: Document) -> Iterator[str]:
    if isinstance(value, dict) and value:
        yield f"{indent}{name}:"
        for key, below in value.items():
            yield from _tree(_title(key, schema), below, indent + _INDENT, _below(schema, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield f"{indent}{name}:"
        of_items = schema.get("items") or {}
        for item in value:
            for number, (key, below) in enumerate(item.items()):
                title = ("- " if number == 0 else "  ") + _title(key, of_items)
                yield from _tree(title, below, indent + _INDENT, _below(of_items, key))
    else:
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        yield f"{indent}{_pair(name, shown)}"


_BY_KIND: Mapping[str, Callable[[Document], Iterator[str]]] = {"Job": _job, "Workflow": workflow_lines.detailed}


def _title(key: str, schema: Document) -> str:
    """Return the key of an object as words, if it is a field: what people chose, as in `data`, is left as it is."""
    is_field = key in schema.get("properties", ()) or not schema.get("additionalProperties")
    return title_of(key) if is_field and _IS_FIELD.fullmatch(key) else key


def _below(schema: Document, key: str) -> Document:
    known = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
    return known if isinstance(known, dict) else {}


def title_of(name: str) -> str:
    """Return the name of a field as words."""
    spaced = _WORD_BEGINS.sub(" ", name)
    return spaced[:1].upper() + spaced[1:]


def _pair(name: str, value: object) -> str:
    text = printable(value)
    return f"{name + ':':<{_WIDTH - 1}} {coloured(text)}".rstrip()


def _labels(name: str, labels: Any) -> Iterator[str]:
    lines = [f"{key}={value}" for key, value in sorted((labels or {}).items())]
    yield _pair(name, lines[0] if lines else "<none>")
    yield from (f"{'':<{_WIDTH}}{printable(line)}" for line in lines[1:])


def _block(name: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield f"{name}:"
        yield from (_INDENT + printable(line) for line in lines)


def _in_brackets(text: str | None) -> str:
    return f"({text})" if text else ""


def _quoted(word: str) -> str:
    import shlex

    return shlex.quote(word)
