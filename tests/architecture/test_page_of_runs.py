"""The page that says how a job lives names what a run is made of: all of it, and nothing else."""

import re
from pathlib import Path

from api.types.job_spec import JobSpec

PAGE = Path(__file__).parents[2] / "docs/explanation/running-jobs.md"
MADE_OF = {
    "runtime": "python-3.11",
    "command": ["b"],
    "args": ["a"],
    "env": [{"name": "A", "value": "b"}],
    "envFrom": [{"secretRef": {"name": "a"}}],
    "workingDir": "/work/a",
    "files": [{"path": "a", "text": ""}],
    "stdin": False,
    "stdinOnce": True,
    "artifacts": ["a"],
    "volumeMounts": [{"name": "data"}],
    "network": {"name": "isolated"},
    "securityProfile": "baseline",
    "securityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"]}},
    "resources": {"limits": {"cpu": "1"}},
}
"""A field of each run, and what it might be changed to."""

OTHERS = {
    "installPolicy", "priorityClassName", "completions", "parallelism", "completionMode", "backoffLimitPerIndex",
    "maxFailedIndexes", "backoffLimit", "backoffSeconds", "activeDeadlineSeconds", "terminationGracePeriodSeconds",
    "ttlSecondsAfterFinished", "suspend", "startAt", "after",
}  # fmt: skip


def template_hash(**fields):
    return JobSpec.model_validate({"command": ["a"], "stdin": True, **fields}).template_hash()


def test_each_field_of_a_job_is_told_whether_a_run_is_made_of_it():
    assert {field.alias for field in JobSpec.model_fields.values()} == MADE_OF.keys() | OTHERS
    assert [name for name, value in MADE_OF.items() if template_hash(**{name: value}) == template_hash()] == []
    assert template_hash(resources={"requests": {"cpu": "1"}}) == template_hash()


def test_the_page_names_what_a_run_is_made_of():
    (said,) = re.findall(r"What a run is made of is its template: (.*?)\. ", PAGE.read_text(), re.DOTALL)

    assert set(re.findall(r"`(\w+)`", said)) == MADE_OF.keys() | {"requests"}  # Which it excepts.
