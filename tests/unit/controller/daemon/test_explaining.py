import pytest

from api.errors import NotFound
from api.kinds import WORKFLOW
from api.meta import ObjectKey
from api.objects.verbs import Verbs
from controller.daemon.explaining import Explaining
from state.store import Store
from support.hand_clock import HandClock
from support.objects import by
from support.workflows import a_child, a_workflow, a_workflow_document, as_reported, with_children

KEY = ObjectKey("Workflow", "default", "etl")


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store.db", HandClock())
    yield store
    store.close()


def test_of_a_workflow_it_is_told_how_each_job_is_and_why(store):
    jobs = {"a": {}, "b": {"requires": [{"job": "a"}]}}
    document = a_workflow_document(**jobs) | {"metadata": {"name": "etl"}}
    verbs = Verbs(store, HandClock())
    verbs.bootstrap()
    stored = verbs.create(WORKFLOW, "default", document, by("me")).document
    failed = with_children(a=a_child("Failed", reason="Error", message="exited with 3"))
    status = as_reported(a_workflow(**jobs), failed).status
    store.update_status(stored | {"status": status.to_document()})

    told = Explaining(store, jobs=None, cron_jobs=None).explain(KEY)

    assert told["summary"] == {"phase": "Failed", "reason": "JobsFailed", "message": "a failed: Error: exited with 3"}
    assert told["reasons"] == [
        "Failed is True: JobsFailed: a failed: Error: exited with 3",
        "a is Failed: Error: exited with 3",
        "b is Skipped: RequirementsFailed: it requires a=COMPLETED, and a is Failed",
    ]


def test_what_is_not_there_cannot_be_explained(store):
    with pytest.raises(NotFound):
        Explaining(store, jobs=None, cron_jobs=None).explain(KEY)
