"""A job whose run can be said to be in any state."""

import json

import pytest

from support.objects import a_job

MERGE = {"content-type": "application/merge-patch+json"}


@pytest.fixture
def pod(api):
    """A job `etl` that says it runs; returns the path of its run's Pod. `api.state(WORD)` says otherwise."""
    api.client.post(api.jobs(), json=a_job())

    def state(name):
        body = json.dumps({"status": {"runs": [{"attempt": 1, "state": name, "exitCode": 0}]}})
        assert api.client.patch(api.jobs("etl", "status"), content=body, headers=MERGE).status_code == 200

    state("Running")
    api.state = state
    return f"/api/v1/namespaces/{api.space}/pods/etl-1"
