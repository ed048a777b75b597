"""The documents' commands that need a Python and nothing else, in the Python of this host.

They name Python 3.11, or 3.12: each is run where the host's Python is of that version, as a runtime of the host's files
is called after what it is.
"""

import sys
from collections.abc import Iterator

import pytest

from support.daemon import Daemon
from support.documents import a_daemon_with, printed, typed

HOST = f"{sys.version_info.major}.{sys.version_info.minor}"

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
on_python_3_11 = [
    pytest.mark.elsewhere("hosts whose Python is 3.11"),
    pytest.mark.skipif(HOST != "3.11", reason="the command names Python 3.11"),
]
on_python_3_12 = [
    pytest.mark.elsewhere("hosts whose Python is 3.12, which no release of Debian has"),
    pytest.mark.skipif(HOST != "3.12", reason="the command names Python 3.12"),
]


def marked(marks):
    def mark(test):
        for each in marks:
            test = each(test)
        return test

    return mark


MODERN_APP = """
type Pair[T] = tuple[T, T]

def largest[T: (int, float)](values: list[T]) -> T:
    return max(values)

names = ["one", "two"]
print(f"{largest([3, 7, 5])} {", ".join(names)}")
"""
MKDIR = """rnx job run --runtime=python-3.11 python -c "
import os
os.mkdir('/tmp/packages')
# Use --target to install to /tmp
"
"""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with a_daemon_with("python", name=f"python-{HOST}") as daemon:
        yield daemon


@marked(on_python_3_11)
def test_a_runtime_is_asked_for_its_version_in_the_old_spelling(daemon, tmp_path):
    said = printed(daemon, tmp_path, "rnx run --runtime=python:3.11 python --version")

    assert said == f"Python {'.'.join(map(str, sys.version_info[:3]))}\n"


@marked(on_python_3_11)
def test_each_job_makes_its_own_directory_in_tmp(daemon, tmp_path):
    assert printed(daemon, tmp_path, MKDIR) == ""
    assert printed(daemon, tmp_path, MKDIR) == ""


@marked(on_python_3_11)
def test_list_and_info_show_it(daemon, tmp_path):
    listed = printed(daemon, tmp_path, "rnx runtime list").splitlines()
    about = printed(daemon, tmp_path, "rnx runtime info python:3.11")

    assert [line.split()[:2] for line in listed[1:]] == [["python-3.11", "1.0.0"]]
    assert "The Python of this host with its standard library" in about


@marked(on_python_3_11)
def test_a_script_that_was_not_uploaded_is_missing_in_pythons_own_words(daemon, tmp_path):
    """The documents run script.py in several places without uploading it."""
    done = typed(daemon, tmp_path, "rnx job run --runtime=python-3.11 python script.py")

    assert done.returncode == 2
    assert "can't open file '/work/script.py': [Errno 2] No such file or directory" in done.stdout + done.stderr


@marked(on_python_3_12)
def test_modern_python(daemon, tmp_path):
    (tmp_path / "modern_app.py").write_text(MODERN_APP)
    command = """
# Using Python 3.12 modern syntax
rnx job run --runtime=python-3.12 \\
        --upload=modern_app.py \\
        python modern_app.py
"""

    assert printed(daemon, tmp_path, command) == "7 one, two\n"
