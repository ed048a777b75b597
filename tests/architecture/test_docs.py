"""The documentation is whole: nothing undocumented, no page that the code has left behind, no link to nowhere."""

import ast
import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from api.cli.main import rnx
from api.conditions import CommonReason
from api.types.job import Reason
from api.types.registry import RegistryReason
from api.types.runtime import RuntimeReason
from controller.daemon import settings
from controller.daemon.settings import Settings
from scripts import reference
from support import doc_runner

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
UNIT = ROOT / "examples" / "systemd" / "runwrightd.service"
EXAMPLE = ROOT / "examples" / "config.yaml"
_SAYS_WHY = ("TransientError", "TerminalError", "Plan.wait")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def links_of(page: Path) -> list[str]:
    return _LINK.findall(_CODE.sub("", page.read_text()))


def anchors_of(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", _CODE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", sorted(reference.PAGES))
def test_a_generated_page_is_what_the_code_says(page):
    """When this fails: `make docs`."""
    assert (DOCS / "reference" / page).read_text() == reference.PAGES[page]()


def test_every_page_of_the_reference_is_generated():
    assert {path.name for path in (DOCS / "reference").glob("*.md")} == set(reference.PAGES)


@pytest.mark.parametrize("page", ["published-escapes.md", "kubernetes-clients.md"])
def test_every_test_that_a_page_names_is_there(page):
    page = (DOCS / "explanation" / page).read_text()
    written = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    files = re.findall(r"`(tests/[\w/.]+)`", page)

    assert [name for name in re.findall(r"`(test_\w+)`", page) if name not in written] == []
    assert [path for path in files if not (ROOT / path).exists()] == []


def test_every_row_of_what_clients_need_has_a_test_or_a_reason():
    page = (DOCS / "explanation" / "kubernetes-clients.md").read_text()
    needed, _, not_met = page.partition("## What is not met")
    rows = [line for line in needed.splitlines() if line.startswith("| ") and not line.endswith("tests |")]

    assert len(rows) > 100
    assert [row for row in rows if "`test_" not in row and "tests/e2e/clients" not in row and "below" not in row] == []
    assert all(
        len(line.split("|")[2]) > 20 for line in not_met.splitlines() if line.startswith("| ") and "why" not in line
    )


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=name_of)
def test_every_link_leads_somewhere(page):
    broken = []
    for link in links_of(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_the_index():
    reached, queue = set(), [DOCS / "README.md"]
    while queue:
        page = queue.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = [(page.parent / link.partition("#")[0]).resolve() for link in links_of(page) if "://" not in link]
        queue += [
            target for target in targets if target.suffix == ".md" and target.is_file() and DOCS in target.parents
        ]

    assert [name_of(page) for page in PAGES if page not in reached and page.parent != DOCS / "changes"] == []


def test_the_example_of_settings_has_every_key_with_its_default():
    loaded = settings.load(EXAMPLE, required=True)
    written = {f"{name}.{key}" for name, section in yaml.safe_load(EXAMPLE.read_text()).items() for key in section}
    known = {
        f"{name}.{key}"
        for name, field in Settings.model_fields.items()
        for key in field.annotation.model_fields  # type: ignore[union-attr]
    }

    assert loaded.settings == Settings()
    assert loaded.warnings == ()
    assert written == known


def commands_of(group: click.Group, context: click.Context) -> list[tuple[str, click.Command]]:
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append((f"{context.command_path} {name}", command))
        if isinstance(command, click.Group):
            found += commands_of(command, click.Context(command, info_name=name, parent=context))
    return found


def test_every_command_of_rnx_and_each_of_its_options_has_help():
    silent = []
    for title, command in commands_of(rnx, click.Context(rnx, info_name="rnx")):
        silent += [] if command.help else [title]
        options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
        silent += [f"{title} {option.opts[0]}" for option in options if not option.help]
    assert silent == []


def test_every_reason_that_the_code_gives_is_in_the_enums_that_the_page_is_made_of():
    """Words written into the code itself; what it takes from the enums is there anyway."""
    known = {reason.value for enum in (Reason, RuntimeReason, RegistryReason, CommonReason) for reason in enum}
    unknown = []
    for path in (ROOT / "controller").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "TransientError",
                "TerminalError",
                "Plan.wait",
            ):
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and first.value not in known:
                    unknown.append(f"{name_of(path)}: {first.value}")
    assert unknown == []


@pytest.mark.parametrize("enum", [Reason, RuntimeReason, RegistryReason, CommonReason], ids=lambda enum: enum.__name__)
def test_every_reason_is_one_word_with_one_sentence(enum):
    badly = [r.value for r in enum if not re.fullmatch(r"[A-Z]\w+", r.value) or not re.fullmatch(r"\S.+\.", r.meaning)]

    assert badly == []
    assert all(str(reason) == reason.value for reason in enum)


@pytest.mark.parametrize("page", sorted((DOCS / "how-to").glob("*.md")), ids=name_of)
def test_a_how_to_has_commands_and_they_can_be_read(page):
    commands = [item for item in doc_runner.parse(page.read_text()) if isinstance(item, doc_runner.Command)]

    assert commands or "```sh\n" in page.read_text()


def test_the_unit_leaves_runs_alive_when_the_service_is_stopped():
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(UNIT)

    assert unit["Service"]["KillMode"] == "process"
    assert "PrivateTmp" not in unit["Service"]


def test_the_unit_is_good_in_the_eyes_of_systemd(tmp_path):
    """Where there is no systemd, at least every line is a section, a comment or a setting."""
    here = UNIT.read_text().replace("/usr/local/bin/runwrightd", str(Path(sys.executable).parent / "runwrightd"))
    (tmp_path / UNIT.name).write_text(here)
    if shutil.which("systemd-analyze"):
        done = subprocess.run(
            ["systemd-analyze", "verify", tmp_path / UNIT.name], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"(\[\w+\]\n|#.*\n|\w+=.+\n|\n)+", here)
