"""Checks declared runtimes, `kind: Runtime` and `RuntimeTemplate`, offline: by the very rules of admission.

Pure: documents to a `Report`. Never here: reading files (`api/cli/files.py`) and carrying a build out.
"""

from api.errors import ApiError, BadRequest
from api.meta import Document
from api.objects import admission
from api.objects.admission import WriteOptions
from api.packages import checks
from api.packages.findings import Report
from api.types.runtime import SOURCES

KINDS = ("Runtime", "RuntimeTemplate")


def check(document: Document, subject: str) -> Report:
    """Return what is right and wrong with one document."""
    report = Report(subject)
    try:
        kind = admission.identify(document)
        if kind.name not in KINDS:
            raise BadRequest(f"it is a {kind.name}: packages are a Runtime or a RuntimeTemplate")
        received = admission.receive(kind, document, "", WriteOptions(field_validation="Strict"))
        admission.validate(kind, received.document)
    except ApiError as error:
        for cause in error.causes or (error.message,):
            report.fail(str(cause))
    name = (document.get("metadata") or {}).get("name") if isinstance(document, dict) else None
    if isinstance(name, str) and name:
        checks.check_name(name, report)
    if not report.errors:
        report.right(_summary(document))
    return report


def source_of(document: Document) -> str:
    """Return which source a Runtime document names: archive, recipe, build, extends or template; else registry."""
    spec = document.get("spec") or {}
    return next((source for source in SOURCES if spec.get(source)), "registry")


def _summary(document: Document) -> str:
    if document["kind"] == "RuntimeTemplate":
        return "RuntimeTemplate can be applied"
    versions = ", ".join(document.get("spec", {}).get("versions") or ("latest",))
    return f"Runtime can be applied: {versions} from its {source_of(document)}"
