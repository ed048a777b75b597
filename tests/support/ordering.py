"""Jobs that others wait for, and those that wait, as the store has them."""

from typing import Any

from api.meta import API_VERSION, Document
from api.types.job_after import AfterStatus


def an_other(
    name: str, /, *, ended: str | None = None, reason: str = "", message: str = "", uid: str = "",
    generation: int = 1, observed: int | None = None, after: tuple[str, ...] = (), met: tuple[str, ...] = (),
    **metadata: Any,
) -> Document:  # fmt: skip
    """A Job that has `ended` with this condition, or has not; `after` names what it waits for, `met` what has come."""
    status: Document = {"phase": {"Complete": "Succeeded", "Failed": "Failed"}.get(ended or "", "Running")}
    status |= {"observedGeneration": generation if observed is None else observed, "reason": reason, "message": message}
    status["conditions"] = [{"type": ended, "status": "True", "reason": reason}] if ended else []
    states = [AfterStatus(job=each, condition="Complete", state="Met" if each in met else "Waiting") for each in after]
    status["after"] = [each.to_document() for each in states]
    return {
        "apiVersion": API_VERSION,
        "kind": "Job",
        "metadata": {
            "name": name, "namespace": "default", "uid": uid or f"uid-{name}", "generation": generation, **metadata,
        },
        "spec": {"command": ["true"], "after": [{"job": each} for each in after]},
        "status": status,
    }  # fmt: skip
