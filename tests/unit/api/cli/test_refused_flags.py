"""What the server refuses of `rnx job run` is told as the flags that were typed."""

import click

from api.cli.refused_flags import as_usage
from api.errors import About, Cause, Invalid

DOCUMENT = {
    "metadata": {"generateName": "run-"},
    "spec": {"env": [{"name": "A", "value": "1"}], "files": [{"path": "x/y", "text": ""}]},
}


def refused(*fields: str, message: str = "must be better") -> Exception:
    causes = [Cause(field, "FieldValueInvalid", message) for field in fields]
    return as_usage(Invalid.of(About("runwright.dev", "Job", "run-"), causes), DOCUMENT)


def test_a_path_in_the_spec_becomes_the_flag_and_its_element():
    said = refused("spec.env[0].name", "spec.files[0].path", "spec.resources.limits.cpu")

    assert isinstance(said, click.UsageError)
    assert said.message == ("--env A: must be better; --upload x/y: must be better; --max-cpu: must be better")


def test_how_to_write_it_in_a_file_is_left_out():
    said = refused("spec.resources.limits.memory", message="must be at least 4Mi; write 64Mi, not 64, for mebibytes")

    assert str(said) == "--max-memory: must be at least 4Mi"


def test_what_is_about_no_flag_stays_the_servers_refusal():
    assert isinstance(refused("spec.env[0].name", "spec.stopSignal"), Invalid)
    assert isinstance(refused(), Invalid)


def test_the_real_server_s_refusal_is_told_by_its_flag(rnx):
    said = rnx("job", "run", "--name=No!", "true")

    assert said.code == 2
    assert "Error: --name: " in said.err
    assert "metadata.name" not in said.err
