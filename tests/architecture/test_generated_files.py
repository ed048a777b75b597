"""What is generated is what is checked in: CRDs, the chart's copies of them, the reference pages."""

from pathlib import Path

import pytest
import yaml

from api import crd, kinds, reference
from api.cli import reference as cli_reference
from api.cli.main import rnx
from api.meta import GROUP

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("directory", ["crds", "helm/runwright/crds"])
def test_the_crds_are_those_of_the_types(directory):
    """When this fails: `make crds`."""
    written = {path.name: path.read_text() for path in (ROOT / directory).glob("*.yaml")}

    assert written == {name: crd.to_yaml(document) for name, document in crd.crds().items()}


@pytest.mark.parametrize(("page", "render"), [("cli.md", cli_reference.render), ("api.md", reference.render)])
def test_the_reference_pages_are_those_of_the_code(page, render):
    """When this fails: `make docs`."""
    assert (ROOT / "docs" / "reference" / page).read_text() == render()


def test_every_kind_of_our_group_has_a_crd():
    names = {yaml.safe_load((ROOT / "crds" / name).read_text())["spec"]["names"]["kind"] for name in crd.crds()}

    assert names == {kind.name for kind in kinds.KINDS if kind.group == GROUP}


@pytest.mark.parametrize("command", sorted(rnx.table))
def test_every_command_of_rnx_has_help_and_a_place_on_its_page(command):
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()

    assert rnx.table[command].load().help
    assert f"## rnx {command}\n" in page
