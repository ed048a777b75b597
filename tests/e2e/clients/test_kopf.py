"""An operator made with kopf against a real daemon over TLS, with a token: handlers, finalizers, timers, resuming."""

import itertools
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from api.errors import NotFound
from api.kinds import JOB
from support.served import SECONDS, a_shell_job, a_space, kubeconfig_of

pytestmark = pytest.mark.needs_root

OPERATOR = Path(__file__).with_name("operator_of_tests.py")
WITH_DEFAULTS = Path(__file__).with_name("operator_with_defaults.py")
_numbers = itertools.count(1)


class Operator:
    """The operator as a process. What it says is in `log`."""

    def __init__(self, kubeconfig, directory, *arguments):
        self.log = directory / "operator.log"
        self._kubeconfig, self._directory, self._arguments = kubeconfig, directory, arguments
        self._process = None

    def start(self):
        command = [sys.executable, "-m", "kopf", "run", "--standalone", *map(str, self._arguments)]
        env = {"HOME": str(self._directory), "PATH": os.defpath, "KUBECONFIG": str(self._kubeconfig)}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=self._directory)

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(SECONDS) == 0, self.text()

    def text(self):
        return self.log.read_text()


@pytest.fixture(scope="module")
def operator(served, tmp_path_factory):
    directory = tmp_path_factory.mktemp("operator")
    kubeconfig = kubeconfig_of(served, directory, "operator", "--groups", "admins", "--token")
    operator = Operator(kubeconfig, directory, "--namespace=kopf-*", OPERATOR)
    operator.start()
    yield operator
    operator.stop()


@pytest.fixture
def space(served, operator):
    return a_space(served, f"kopf-{next(_numbers)}")


class Jobs:
    """Jobs of a namespace, as the daemon has them."""

    def __init__(self, served, space):
        self.served, self.space = served, space

    def create(self, name="etl", labels=None, annotations=None, **spec):
        document = a_shell_job(name, "true", labels, **({"suspend": True} | spec))
        document["metadata"]["annotations"] = annotations or {}
        return self.served.client.create(JOB, self.space, document).document

    def patch(self, name, **document):
        self.served.client.merge_patch(JOB, self.space, name, document)

    def get(self, name):
        return self.served.client.get(JOB, self.space, name)

    def annotated(self, key, value, name="etl"):
        """Wait until the operator has written this."""
        return self.served.until(
            f"{name} has {key}={value}", lambda: self.get(name)["metadata"].get("annotations", {}).get(key) == value
        )

    def gone(self, name="etl"):
        return self.served.until(f"{name} is gone", lambda: not self.exists(name))

    def exists(self, name):
        try:
            return self.get(name)
        except NotFound:
            return None


@pytest.fixture
def jobs(served, space):
    return Jobs(served, space)


def test_a_handler_of_creation_is_called_and_may_write(jobs):
    jobs.create()

    assert jobs.annotated("seen", "created")


def test_a_handler_of_updates_is_told_what_changed(jobs):
    jobs.create()
    jobs.annotated("seen", "created")
    jobs.patch("etl", spec={"backoffLimit": 5})

    assert jobs.annotated("changed", "0->5")


def test_a_finalizer_holds_the_object_until_its_handler_is_done(served, operator, jobs):
    jobs.create()
    jobs.annotated("seen", "created")
    finalizers = jobs.get("etl")["metadata"]["finalizers"]
    served.client.delete(JOB, jobs.space, "etl")

    assert "tests.example.com/operator" in finalizers
    assert jobs.gone()
    assert f"deleting {jobs.space}/etl" in operator.text()


def test_an_index_knows_all_objects(jobs):
    jobs.create("first", {"team": "data"})
    jobs.annotated("seen", "created", "first")
    jobs.create("second", {"team": "data"})
    jobs.annotated("seen", "created", "second")

    listed = jobs.get("second")["metadata"]["annotations"]["team-data"]
    assert {"first", "second"} <= set(listed.split(","))


def test_progress_is_kept_in_annotations_until_a_handler_succeeds(jobs):
    jobs.create(annotations={"stubborn": "yes"})

    assert jobs.annotated("tries", "2")
    assert not [key for key in jobs.get("etl")["metadata"]["annotations"] if key.endswith("/retried")]


def test_a_handler_that_gives_up_is_told_of_in_an_event(served, operator, jobs):
    jobs.create(annotations={"hopeless": "yes"})

    def reported():
        return [each for each in served.events("etl") if each["reason"] == "Hopeless"]

    (event,) = served.until("kopf has posted an event", reported)
    assert (event["type"], event["message"]) == ("Warning", "it will never be")
    assert event["metadata"]["namespace"] == jobs.space
    assert re.match(r"kopf-event-", event["metadata"]["name"])


def test_a_timer_ticks(jobs):
    jobs.create(annotations={"ticking": "yes"})

    assert jobs.annotated("ticks", "3")


def test_a_daemon_runs_as_long_as_its_object(served, operator, jobs):
    jobs.create(annotations={"guarded": "yes"})
    served.until("it is guarded", lambda: f"guarding {jobs.space}/etl" in operator.text())
    served.client.delete(JOB, jobs.space, "etl")

    assert jobs.gone()
    assert served.until("its daemon has ended", lambda: f"guarded {jobs.space}/etl" in operator.text())


def test_fields_of_the_status_are_followed(jobs):
    jobs.create(suspend=False)

    assert jobs.annotated("phase", "Succeeded")


def test_pods_are_followed(served, operator, jobs):
    jobs.create("runs", suspend=False)

    assert served.until("a pod was seen", lambda: "pod runs-1 Succeeded" in operator.text())


def test_after_a_restart_it_resumes_where_it_was(served, operator, jobs):
    jobs.create()
    jobs.annotated("seen", "created")
    jobs.patch("etl", metadata={"annotations": {"seen": None}})
    operator.stop()
    jobs.patch("etl", spec={"backoffLimit": 7})
    operator.start()

    assert jobs.annotated("changed", "0->7")
    assert jobs.annotated("resumed", "yes")
    assert "seen" not in jobs.get("etl")["metadata"]["annotations"]


def test_an_operator_that_sets_nothing_keeps_its_progress_too(served, kubeconfig, tmp_path):
    jobs = Jobs(served, a_space(served, "defaults"))
    jobs.create()
    operator = Operator(kubeconfig, tmp_path, "--namespace=defaults", WITH_DEFAULTS)
    operator.start()
    try:
        assert jobs.annotated("tries", "2")
        jobs.patch("etl", spec={"backoffLimit": 5})
        assert jobs.annotated("seen", "updated")
    finally:
        operator.stop()


def test_nothing_that_it_asked_was_refused(operator):
    text = operator.text()

    assert "Traceback" not in text
    assert not re.findall(r"Forbidden|Unauthorized|APIClientError|inconsistencies", text)
