"""An operator made with kopf that sets nothing: its progress goes where kopf's defaults have it."""

import kopf


@kopf.on.create("jobs.runwright.dev")
def created(retry, patch, **_):
    if retry < 2:
        raise kopf.TemporaryError("not yet", delay=0.1)
    patch.metadata.annotations["tries"] = str(retry)


@kopf.on.update("jobs.runwright.dev")
def updated(patch, **_):
    patch.metadata.annotations["seen"] = "updated"
