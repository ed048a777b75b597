"""`rnx get` on the real API."""

import json

import pytest
import yaml

from api.kinds import JOB, RUNTIME
from support.api_server import condition_of, run_status
from support.objects import a_job, a_runtime


def two_jobs(live):
    live.create(JOB, a_job("etl", metadata={"labels": {"team": "data"}}))
    live.create(JOB, a_job("report"))
    live.set_status(JOB, "etl", phase="Running", reason="Running", attempts=1, runs=[run_status("Running")])


def test_a_table_looks_as_kubectls(rnx, live):
    two_jobs(live)

    lines = rnx("get", "jobs").lines

    assert lines[0].split() == ["NAME", "PHASE", "REASON", "COMPLETIONS", "RUNS", "EXIT", "RUNTIME", "AGE"]
    assert lines[1].split()[:4] == ["etl", "Running", "Running", "0/1"]
    assert lines[1].index("Running") == lines[0].index("PHASE")


def test_wide_has_more_columns(rnx, live):
    two_jobs(live)

    assert "COMMAND" in rnx("get", "jobs", "-o", "wide").lines[0]


def test_json_is_what_the_api_said(rnx, live):
    two_jobs(live)

    assert json.loads(rnx("get", "jobs", "-o", "json").out) == live.client.list(JOB, "default")
    assert json.loads(rnx("get", "job/etl", "-o", "json").out) == live.get(JOB, "etl")


def test_yaml_has_no_managed_fields(rnx, live):
    two_jobs(live)

    assert "managedFields" not in yaml.safe_load(rnx("get", "job", "etl", "-o", "yaml").out)["metadata"]


def test_names_alone(rnx, live):
    two_jobs(live)

    assert rnx("get", "jobs", "-o", "name").lines == ["job.runwright.dev/etl", "job.runwright.dev/report"]


def test_a_path_alone(rnx, live):
    two_jobs(live)

    assert rnx("get", "jobs", "-o", "jsonpath={.items[*].metadata.name}").out == "etl report\n"


def test_labels_and_fields_select(rnx, live):
    two_jobs(live)

    assert rnx("get", "jobs", "-l", "team=data", "-o", "name").lines == ["job.runwright.dev/etl"]
    assert rnx("get", "jobs", "--field-selector", "metadata.name=report", "-o", "name").lines == [
        "job.runwright.dev/report"
    ]


def test_several_kinds_are_several_tables_with_whole_names(rnx, live):
    two_jobs(live)
    live.create(RUNTIME, a_runtime("python-3.11"))

    lines = rnx("get", "jobs,runtimes").lines

    assert [line.split()[0] for line in lines if line] == [
        "NAME", "job.runwright.dev/etl", "job.runwright.dev/report", "NAME", "runtime.runwright.dev/python-3.11",
    ]  # fmt: skip


def test_all_shows_jobs_and_their_runs(rnx, live):
    two_jobs(live)

    out = rnx("get", "all").out

    assert "job.runwright.dev/etl" in out
    assert "pod/etl-1" in out


def test_all_namespaces_have_a_column(rnx, live):
    two_jobs(live)

    lines = rnx("get", "jobs", "-A").lines

    assert lines[0].split()[:2] == ["NAMESPACE", "NAME"]
    assert lines[1].split()[:2] == ["default", "etl"]


def test_headers_can_be_left_out(rnx, live):
    two_jobs(live)

    assert rnx("get", "jobs", "--no-headers").lines[0].split()[0] == "etl"


def test_rows_can_be_sorted_by_a_field(rnx, live):
    for name, limit in (("a", 3), ("b", 1), ("c", 2)):
        live.create(JOB, a_job(name, backoffLimit=limit))

    lines = rnx("get", "jobs", "--sort-by", ".spec.backoffLimit", "--no-headers").lines

    assert [line.split()[0] for line in lines] == ["b", "c", "a"]


def test_manifests_are_listed(rnx, live):
    live.host.manifests.append(
        {
            "source": "directory",
            "file": "etl.yaml",
            "line": 3,
            "object": "",
            "state": "Invalid",
            "message": "no command",
        }
    )

    lines = rnx("get", "manifests").lines

    assert lines[0].split()[1:7] == ["SOURCE", "FILE", "LINE", "OBJECT", "STATE", "MESSAGE"]
    assert "no command" in lines[1]


def test_a_name_that_is_not_there_is_told_beside_those_that_are(rnx, live):
    two_jobs(live)

    said = rnx("get", "job", "etl", "nope")

    assert said.code == 1
    assert said.err == 'Error from server (NotFound): jobs.runwright.dev "nope" not found\n'
    assert said.lines[1].split()[0] == "etl"


@pytest.mark.parametrize("output", ["json", "name", "jsonpath={.items[*].metadata.name}"])
def test_programs_too_are_given_those_that_are_there_and_told_of_the_other(rnx, live, output):
    two_jobs(live)

    said = rnx("get", "job", "nope", "etl", "-o", output)

    assert (said.code, "etl" in said.out) == (1, True)
    assert said.err == 'Error from server (NotFound): jobs.runwright.dev "nope" not found\n'


def test_a_field_that_nothing_has_is_no_order(rnx, live):
    two_jobs(live)

    said = rnx("get", "jobs", "--sort-by=.spec.nope")

    assert (said.code, len(said.lines)) == (0, 3)
    assert said.err == "--sort-by: nothing listed has .spec.nope, so it is not sorted\n"
    assert rnx("get", "jobs", "--sort-by=.metadata.name").err == ""


def test_no_server_is_exit_code_3_with_the_fix(rnx, live, tmp_path):
    said = rnx("get", "jobs", "--server", f"unix://{tmp_path}/nowhere.sock")

    assert said.code == 3
    assert f"cannot reach unix://{tmp_path}/nowhere.sock: there is no such socket: is runwrightd running?" in said.err


def test_an_address_that_cannot_be_read_is_wrong_usage(rnx):
    said = rnx("get", "jobs", "-s", "ftp://x")

    assert said.code == 2
    assert "use unix:///PATH or http://HOST:PORT" in said.err


def test_a_form_of_output_that_does_not_exist_is_wrong_usage(rnx):
    assert rnx("get", "jobs", "-o", "xml").code == 2


def test_a_watch_prints_changes_as_they_come_until_it_is_interrupted(live, started):
    two_jobs(live)
    watching = started("get", "jobs", "-w")

    first = [watching.line() for _ in range(3)]
    live.set_status(JOB, "report", phase="Failed", conditions=[condition_of("Failed")])
    change = watching.line()

    assert [line.split()[0] for line in first] == ["NAME", "etl", "report"]
    assert change.split()[:2] == ["report", "Failed"]
    assert change.index("Failed") == first[0].index("PHASE")
    assert watching.interrupted().code == 130


def test_a_watch_goes_on_after_the_server_was_away(live, started):
    two_jobs(live)
    watching = started("get", "job/report", "-w", "-o", "name")
    watching.line()

    live.stop()
    live.set_status(JOB, "report", phase="Failed")
    live.start()

    assert watching.line() == "job.runwright.dev/report\n"
    assert watching.interrupted().code == 130


_NAMES = {
    "": lambda said: [line.split()[0] for line in said.lines[1:]],
    "name": lambda said: [line.rpartition("/")[2] for line in said.lines],
    "json": lambda said: [item["metadata"]["name"] for item in json.loads(said.out)["items"]],
    "yaml": lambda said: [item["metadata"]["name"] for item in yaml.safe_load(said.out)["items"]],
    "jsonpath={.items[*].metadata.name}": lambda said: said.out.split(),
}


@pytest.mark.parametrize("output", _NAMES)
def test_every_output_is_sorted_by_what_was_said(rnx, live, output):
    for name, limit in (("a", 3), ("b", 1), ("c", 2)):
        live.create(JOB, a_job(name, backoffLimit=limit))

    said = rnx("get", "jobs", "--sort-by=.spec.backoffLimit", *(["-o", output] if output else []))

    assert _NAMES[output](said) == ["b", "c", "a"]


def test_named_objects_are_sorted_too(rnx, live):
    live.create(JOB, a_job("a", backoffLimit=3)), live.create(JOB, a_job("b", backoffLimit=1))

    said = rnx("get", "job", "a", "b", "--sort-by=.spec.backoffLimit", "-o", "name")

    assert said.lines == ["job.runwright.dev/b", "job.runwright.dev/a"]


@pytest.mark.parametrize(
    "arguments", [["--sort-by={.metadata"], ["-o", "jsonpath={.metadata.name"], ["-o", "jsonpath={.a[}"]]
)
def test_a_bad_path_is_wrong_usage_also_when_there_is_nothing(rnx, arguments):
    said = rnx("get", "jobs", *arguments)

    assert said.code == 2
    assert "cannot read" in said.err
    assert "Traceback" not in said.err
