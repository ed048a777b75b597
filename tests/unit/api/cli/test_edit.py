"""An object in an editor: a script that changes the file as somebody would."""

import json
import re
from pathlib import Path

import pytest
import yaml

from api.kinds import JOB
from support.daemon import RNX
from support.objects import a_job

DEADLINE = "sed -i 's/^spec:/spec:\\n  activeDeadlineSeconds: 7/' \"$1\""


def kept(said):
    """Return the file that is told to hold what was typed."""
    return Path(re.search(r"kept, with the whole object, in (\S+)$", said.err, re.M)[1])


@pytest.fixture
def editor(tmp_path, monkeypatch):
    """Have each opening of the editor do the next of these shell scripts to its file, "$1"; return what it was shown."""

    def of(*scripts: str) -> list[Path]:
        for number, script in enumerate(scripts):
            (tmp_path / f"script-{number}").write_text(script)
        program = tmp_path / "editor"
        program.write_text(
            f"""#!/bin/sh -e
cd {tmp_path}
number=$(ls shown-* 2>/dev/null | wc -l)
cp "$1" shown-$number
test -e script-$number && . ./script-$number
"""
        )
        program.chmod(0o755)
        monkeypatch.setenv("VISUAL", str(program))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        return [tmp_path / f"shown-{number}" for number in range(len(scripts))]

    return of


def test_what_is_changed_in_the_editor_is_written_and_what_others_write_meanwhile_stays(rnx, live, editor):
    live.create(JOB, a_job(metadata={"labels": {"team": "data"}}))
    (shown,) = editor(f"{RNX} annotate job/etl by=another >/dev/null\nsed -i 's/team: data/team: web/' \"$1\"")

    said = rnx("edit", "job", "etl")

    assert (said.code, said.out) == (0, "job.runwright.dev/etl edited\n")
    now = live.get(JOB, "etl")
    assert now["metadata"]["labels"] == {"team": "web"}
    assert now["metadata"]["annotations"] == {"by": "another"}
    text = shown.read_text()
    assert text.startswith("# Change what should change")
    assert "status" not in yaml.safe_load(text)
    assert "managedFields" not in text
    assert "resourceVersion" not in text


@pytest.mark.parametrize("script", ["", "echo '# a note' >> \"$1\"", ': > "$1"'])
def test_nothing_is_written_where_nothing_is_changed_or_everything_removed(rnx, live, editor, script):
    live.create(JOB, a_job())
    before = live.get(JOB, "etl")
    editor(script or "true")

    said = rnx("edit", "job/etl")

    assert (said.code, said.out, said.err) == (0, "", "Edit cancelled, nothing is changed.\n")
    assert live.get(JOB, "etl") == before


@pytest.mark.parametrize(("script", "team"), [("s/: data/: web/", "web"), ("s/: data/: data/", "data")])
def test_the_object_is_shown_as_json_whether_it_was_changed_or_not(rnx, live, editor, script, team):
    live.create(JOB, a_job(metadata={"labels": {"team": "data"}}))
    editor(f"sed -i '{script}' \"$1\"")

    said = rnx("edit", "job/etl", "--json")

    assert json.loads(said.out)["metadata"]["labels"] == {"team": team}


def test_what_is_refused_is_shown_above_what_was_typed_until_it_is_mended(rnx, live, editor):
    live.create(JOB, a_job())
    shown = editor(
        "sed -i 's/^spec:/spec:\\n  backoffLimit: much/' \"$1\"",
        "sed -i 's/backoffLimit: much/backoffLimit: [/' \"$1\"",
        "sed -i 's/name: etl/name: other/; s/backoffLimit: \\[/backoffLimit: 3/' \"$1\"",
        "sed -i 's/name: other/name: etl/' \"$1\"",
    )

    said = rnx("edit", "job/etl")

    assert (said.code, said.out) == (0, "job.runwright.dev/etl edited\n")
    assert live.get(JOB, "etl")["spec"]["backoffLimit"] == 3
    texts = [each.read_text() for each in shown]
    assert "# Refused:" not in texts[0]
    assert "backoffLimit: much" in texts[1]
    assert [line for line in texts[1].splitlines() if line.startswith("# ") and "spec.backoffLimit" in line]
    assert "# line " in texts[2]
    assert "cannot read it as YAML" in texts[2]
    assert "# metadata.name cannot be changed from etl: put it back" in texts[3]
    assert texts[3].count("# Refused:") == 1


def test_what_is_given_up_is_kept_in_a_file_and_nothing_is_changed(rnx, live, editor, tmp_path):
    live.create(JOB, a_job())
    before = live.get(JOB, "etl")
    editor("sed -i 's/^spec:/spec:\\n  backoffLimit: much/' \"$1\"", "true")

    said = rnx("edit", "job/etl")

    assert said.code == 1
    assert "backoffLimit: much" in kept(said).read_text()
    assert kept(said).stat().st_mode & 0o077 == 0
    assert "spec.backoffLimit" in said.err
    assert live.get(JOB, "etl") == before


def test_an_object_that_was_made_anew_meanwhile_is_left_alone(rnx, live, editor, tmp_path):
    live.create(JOB, a_job())
    (tmp_path / "made.yaml").write_text(json.dumps(a_job()))
    anew = f"{RNX} delete job etl >/dev/null\n{RNX} apply -f made.yaml >/dev/null"
    editor(f"{anew}\n{DEADLINE}", "true")

    said = rnx("edit", "job/etl")

    assert said.code == 1
    assert "job.runwright.dev/etl was deleted and made anew meanwhile" in said.err
    assert "activeDeadlineSeconds: 7" in kept(said).read_text()
    assert "activeDeadlineSeconds" not in live.get(JOB, "etl")["spec"]


def test_a_list_that_others_changed_meanwhile_is_not_replaced(rnx, live, editor):
    live.create(JOB, a_job(command=["a", "b"]))
    other = f"""{RNX} patch job/etl -p '{{"spec": {{"command": ["a", "c"]}}}}' >/dev/null"""
    editor(f"{other}\nsed -i 's/^  - a$/  - x/' \"$1\"", "true")

    said = rnx("edit", "job/etl")

    assert said.code == 1
    assert "spec.command was changed by others meanwhile" in said.err
    assert live.get(JOB, "etl")["spec"]["command"] == ["a", "c"]


@pytest.mark.parametrize("then", ["exit 1", "printf '\\377' >> \"$1\"\nexit 1", "kill -9 $$"])
def test_what_was_typed_is_kept_however_the_editor_ends(rnx, live, editor, then):
    live.create(JOB, a_job())
    editor("sed -i 's/^spec:/spec:\\n  backoffLimit: much/' \"$1\"", then)

    said = rnx("edit", "job/etl")

    assert said.code == 1
    assert b"backoffLimit: much" in kept(said).read_bytes()


def test_what_is_no_text_is_refused_and_kept(rnx, live, editor):
    live.create(JOB, a_job())
    editor("printf '\\377' >> \"$1\"", "true")

    said = rnx("edit", "job/etl")

    assert said.code == 1
    assert "what was typed is not UTF-8 text" in said.err


def test_a_script_that_types_something_wrong_for_ever_is_given_up(rnx, live, editor, tmp_path):
    live.create(JOB, a_job())
    (tmp_path / "wrong").write_text("sed -i 's/^spec:/spec:\\n  backoffLimit: much/' \"$1\"")
    editor(*[". ./wrong"] * 60)

    assert rnx("edit", "job/etl").code == 1


def test_values_that_only_look_like_numbers_stay_as_they_are(rnx, live, editor):
    live.create(JOB, a_job(command=["08", "1e3", "0o17", "-.5", "a\x85b"], metadata={"labels": {"commit": "12e03"}}))
    before = live.get(JOB, "etl")
    editor(DEADLINE)

    assert rnx("edit", "job/etl").code == 0

    now = live.get(JOB, "etl")
    assert now["spec"] == before["spec"] | {"activeDeadlineSeconds": 7}
    assert now["metadata"]["labels"] == {"commit": "12e03"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("job/a", "job/b"), "cannot edit several objects at once: name one, such as job.runwright.dev/a"),
        (("jobs",), "name the job: job/NAME, or job NAME"),
        (("pod/x-1",), "cannot edit a Pod: runwright writes it, from what is declared"),
        (("job/none",), 'jobs.runwright.dev "none" not found'),
    ],
)
def test_one_object_is_edited_that_is_there(rnx, live, editor, words, told):
    editor("true")

    said = rnx("edit", *words)

    assert said.code in (1, 2)
    assert told in said.err


def test_an_editor_that_fails_changes_nothing(rnx, live, monkeypatch):
    live.create(JOB, a_job())
    before = live.get(JOB, "etl")
    monkeypatch.setenv("VISUAL", "false")

    said = rnx("edit", "job/etl")

    assert said.code == 1
    assert "false" in said.err
    assert live.get(JOB, "etl") == before
