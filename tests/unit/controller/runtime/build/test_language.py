"""What a language means, and which are refused."""

import pytest

from api.types.runtime_sources import BuildBase
from controller.engine.errors import TerminalError
from controller.runtime.build import language


@pytest.mark.parametrize(
    ("named", "version", "package"),
    [
        ("python", "", "python3"),
        ("python", "3.11", "python3.11"),
        ("java", "", "default-jdk-headless"),
        ("java", "17", "openjdk-17-jdk-headless"),
        ("node", "18", "nodejs"),
        ("go", "1.19", "golang-1.19-go"),
    ],
)
def test_a_language_is_its_debian_package_and_certificates(named, version, package):
    assert language.packages(BuildBase(language=named, version=version)) == (package, "ca-certificates")


@pytest.mark.parametrize("named", [None, "static"])
def test_no_language_brings_no_package(named):
    assert language.packages(BuildBase(language=named)) == ()


def test_an_unknown_language_is_refused_with_those_that_are_known():
    with pytest.raises(TerminalError, match='the language "cobol": known are python, java, node, go, static'):
        language.check(BuildBase(language="cobol"))


@pytest.mark.parametrize("version", ["latest", "3.11; id", "-o", "3.", "v18"])
def test_a_version_that_can_be_none_is_refused(version):
    with pytest.raises(TerminalError, match="write one such as 3.11 or 17"):
        language.check(BuildBase(language="python", version=version))
