"""What explanations look like, and fields explained from the types."""

import click
import pytest

from api.cli import explain

ANSWER = {
    "object": "job/default/etl",
    "summary": {"phase": "Held", "reason": "RuntimeNotReady", "message": ""},
    "reasons": ["runtime python-3.11 is being installed"],
    "plan": [{"step": "StartRun", "attempt": 1, "runtime": "python-3.11@1.0.0"}],
    "sandbox": [{"step": "MountTmpfs", "target": "/"}, {"step": "BindMount", "source": "/opt/x", "target": "/usr"}],
}


def test_an_explanation_names_the_reasons_and_the_next_steps():
    assert list(explain.reason_lines(ANSWER, wide=False)) == [
        f"{click.style('job/default/etl', bold=True)}: Held (RuntimeNotReady)",
        "Why:",
        "  - runtime python-3.11 is being installed",
        "Next:",
        "    1. StartRun attempt=1 runtime=python-3.11@1.0.0",
        "Sandbox: 2 operations (-o wide shows them)",
    ]


def test_wide_shows_the_sandbox():
    assert list(explain.reason_lines(ANSWER, wide=True))[-2:] == [
        "    1. MountTmpfs target=/",
        "    2. BindMount source=/opt/x target=/usr",
    ]


def test_nothing_to_do_is_said():
    assert "Next: nothing to do" in list(explain.reason_lines(ANSWER | {"plan": []}, wide=False))


def test_a_field_is_explained_from_its_type():
    lines = list(explain.field_lines("job.spec.backoffLimit", recursive=False))

    assert "FIELD: backoffLimit <integer>" in lines
    assert "DEFAULT: 6" in lines
    assert "    Retries after failures before the job has failed." in lines


def test_the_fields_below_a_field_are_listed_with_their_types():
    lines = list(explain.field_lines("job.spec.env", recursive=False))

    assert "FIELD: env <[]Object>" in lines
    assert "  name  <string> -required-" in lines


def test_an_unknown_field_is_refused_with_those_there_are():
    with pytest.raises(click.UsageError, match=r'"comand" does not exist in job.spec: it has runtime, .*command'):
        list(explain.field_lines("job.spec.comand", recursive=False))


def test_fields_of_members_of_any_name_are_explained_as_those_of_a_list_are():
    jobs = list(explain.field_lines("workflow.spec.jobs", recursive=False))
    below = list(explain.field_lines("workflow.spec.jobs.requires.job", recursive=False))

    assert "  requires  <[]Object>" in jobs
    assert "  template  <Object> -required-" in jobs
    assert "FIELD: job <string>" in below
    assert "  requires  <[]Object>" in (line[2:] for line in explain.field_lines("workflow.spec", recursive=True))


def test_when_it_is_looked_at_again_is_told_in_whole_seconds():
    lines = list(explain.reason_lines(ANSWER | {"plan": [], "checkAgainSeconds": 17.5215}, wide=False))

    assert "Next: nothing to do; it is looked at again in 18 s" in lines
