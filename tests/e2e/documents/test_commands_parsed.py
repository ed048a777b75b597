"""Every command of the documents, word by word: what Job or Runtime it means is in `commands.json`.

After a change that is meant: `PYTHONPATH=.:tests .venv/bin/python tests/e2e/documents/test_commands_parsed.py`.
"""

import json
import shlex
from pathlib import Path

import click
import pytest

from api import runtime_spec
from api.cli.job_run import run
from api.cli.main import rnx

HERE = Path(__file__).parent
COMMANDS = [line for line in (HERE / "commands.txt").read_text().splitlines() if line and not line.startswith("#")]
GOLDEN = HERE / "commands.json"


def meaning_of(command, printed):
    """Return what a command means: the Job that `--dry-run` prints, or the runtime and flags of another."""
    words = shlex.split(command)
    assert words.pop(0) == "rnx"
    if words[0] == "run" or words[:2] == ["job", "run"]:
        words = words[2:] if words[0] == "job" else words[1:]
        for word in words:
            option, _, name = word.partition("=")
            if option == "--upload":
                Path(name).write_text("")
            elif option == "--upload-dir":
                Path(name).mkdir(exist_ok=True)
        run.main(["--dry-run", "--json", *words], standalone_mode=False, obj=None)
        return json.loads(printed())
    context, found = click.Context(rnx), rnx
    while isinstance(found, click.Group):
        found = found.get_command(context, words.pop(0))
    parsed = found.make_context(found.name, words).params
    asked = parsed.get("spec") or parsed.get("name") or ""
    wanted = runtime_spec.parse(asked) if asked else None
    return {"command": found.name, "runtime": str(wanted) if wanted else "", "registry": parsed.get("registry") or ""}


@pytest.fixture
def printed(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("runtime", "python-3.11-ml")
    monkeypatch.setenv("RNX_CONFIG", str(tmp_path / "config.yaml"))
    (tmp_path / "config.yaml").write_text("")
    return lambda: capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_documents_means_what_it_says(printed, command):
    wanted = json.loads(GOLDEN.read_text())[command]

    assert meaning_of(command.replace("$runtime", "python-3.11-ml"), printed) == wanted


def test_nothing_is_golden_that_no_document_has():
    assert list(json.loads(GOLDEN.read_text())) == COMMANDS


def write_golden():
    """Write what the commands mean now."""
    import contextlib
    import io
    import os
    import tempfile

    os.chdir(tempfile.mkdtemp())
    found = {}
    for command in COMMANDS:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            found[command] = meaning_of(command.replace("$runtime", "python-3.11-ml"), said.getvalue)
    GOLDEN.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_golden()
