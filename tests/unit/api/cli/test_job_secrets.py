"""What `--secret-env` makes on the server: a Secret that is its job's, and never a job without it."""

import json

from api.kinds import JOB, SECRET


def test_a_job_gets_a_secret_of_its_own_and_goes_on_once_it_is_there(rnx, live):
    said = rnx("job", "run", "--detach", "--json", "--secret-env", "TOKEN=hunter2", "-s", "OTHER=x=y", "true")

    job = json.loads(said.out)
    [secret] = live.client.list(SECRET, "default")["items"]
    references = [variable["valueFrom"]["secretKeyRef"] for variable in job["spec"]["env"]]
    assert references == [{"name": secret["metadata"]["name"], "key": key} for key in ("TOKEN", "OTHER")]
    assert secret["data"] == {"TOKEN": "aHVudGVyMg==", "OTHER": "eD15"}
    [owner] = secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Job", job["metadata"]["uid"])
    assert not job["spec"].get("suspend")
    assert "hunter2" not in said.out + said.err


def test_a_dry_run_makes_neither_and_shows_no_value(rnx, live):
    said = rnx("job", "run", "--dry-run", "--json", "-s", "TOKEN=hunter2", "true")

    assert json.loads(said.out)["spec"]["env"][0]["name"] == "TOKEN"
    assert "hunter2" not in said.out + said.err
    assert live.client.list(SECRET, "default")["items"] == jobs(live) == []


def test_a_job_whose_secret_is_refused_is_not_left_behind(rnx, live):
    large = [f"--secret-env=V{number}={'x' * 100_000}" for number in range(11)]

    said = rnx("job", "run", "--detach", *large, "true")

    assert said.code == 125
    assert "1048576" in said.err
    assert [job["metadata"].get("deletionTimestamp") is not None for job in jobs(live)] == [True]
    assert live.client.list(SECRET, "default")["items"] == []


def jobs(live):
    return live.client.list(JOB, "default")["items"]
