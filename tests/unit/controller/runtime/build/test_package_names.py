"""What pip and npm are asked for is looked at first, so that none of it can be an option."""

import pytest

from controller.engine.errors import TerminalError
from controller.runtime.build import node_packages, python_packages


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ("numpy", "numpy"),
        ("numpy >= 1.26, <3", "numpy<3,>=1.26"),
        ("requests[socks]==2.31.0", "requests[socks]==2.31.0"),
        ("tomli; python_version < '3.11'", 'tomli; python_version < "3.11"'),
        ("six==1.16.0 --hash=sha256:8abb --hash=sha256:1e61", "six==1.16.0 --hash=sha256:8abb --hash=sha256:1e61"),
    ],
)
def test_a_requirement_goes_to_pip_in_its_plain_form(asked, line):
    assert python_packages.requirements((asked,)) == (line,)


@pytest.mark.parametrize(
    "asked", ["", "--index-url=http://x", "-r /etc/passwd", "a b", "six --hash=md5:00", "./local", "six\n-e ."]
)
def test_what_is_no_requirement_is_refused(asked):
    with pytest.raises(TerminalError, match="with pip: it is no requirement"):
        python_packages.requirements((asked,))


@pytest.mark.parametrize("asked", ["express", "express@4.18.0", "@types/node@^20", "semver@>=7 <8"])
def test_node_packages_by_name_and_version_are_taken(asked):
    node_packages.check((asked,))

    assert asked


@pytest.mark.parametrize(
    "asked", ["", "--global", "../local", "http://host/x.tgz", "git+ssh://x", "file:/etc", "a;b", "x@file:/etc"]
)
def test_what_is_no_node_package_is_refused(asked):
    with pytest.raises(TerminalError, match="write NAME or NAME@VERSION"):
        node_packages.check((asked,))
