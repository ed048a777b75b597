from pathlib import Path

import pytest

from support import doc_runner
from support.doc_runner import Command, DocFailure, SavedFile, Shell

PAGE = """\
# A page

```console
$ cat > greeting <<END
> hello
> END
$ cat greeting
hello
# not a command
```

```yaml title="job.yaml"
kind: Job
```

```sh
never run
```
"""


@pytest.fixture
def shell(tmp_path):
    own = Shell(tmp_path, {})
    yield own
    own.close()


def page(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["```console", *lines, "```", ""]))
    return path


def test_a_page_is_its_commands_and_the_files_to_save():
    assert doc_runner.parse(PAGE) == (
        Command(4, "cat > greeting <<END\nhello\nEND", ()),
        Command(7, "cat greeting", ("hello", "# not a command")),
        SavedFile(13, "job.yaml", "kind: Job\n"),
    )


@pytest.mark.parametrize(
    ("expected", "output", "is_same"),
    [
        (("NAME  AGE", "etl  3s"), "NAME      AGE\netl       12m\n", True),
        (("at 2026-01-02T03:04:05Z",), "at 2031-12-01T00:00:00.123456Z\n", True),
        (("run-abcde is done",), "run-x9y8z is done\n", True),
        (("limit is …, raise it",), "limit is 64 MiB, raise it\n", True),
        (("first", "…", "last"), "first\n1\n2\nlast\n", True),
        (("first", "…", "last"), "first\nlast\n", True),
        (("etl  Failed",), "etl  Complete\n", False),
        (("one",), "one\ntwo\n", False),
        ((), "something\n", False),
        (("exit 3",), "exit 4\n", False),
    ],
)
def test_output_is_compared_but_for_what_may_differ(expected, output, is_same):
    assert doc_runner.matches(expected, output) is is_same


def test_one_shell_goes_through_the_whole_page(tmp_path, shell):
    path = page(tmp_path / "page.md", "$ cd / && GREETING=hello", "$ echo $GREETING from $PWD", "hello from /")

    assert doc_runner.check(path, shell) == 2


def test_a_command_that_fails_fails_the_page_unless_its_status_is_shown(tmp_path, shell):
    assert doc_runner.check(page(tmp_path / "shown.md", "$ (exit 3)", "$ echo $?", "3"), shell) == 2
    with pytest.raises(DocFailure, match=r"page.md:2: \$ \(exit 3\)\nexited with 3"):
        doc_runner.check(page(tmp_path / "page.md", "$ (exit 3)", "$ echo on"), shell)


def test_other_output_than_the_page_says_fails_it(tmp_path, shell):
    with pytest.raises(DocFailure, match=r"expected:\nhello\nprinted:\ngood bye"):
        doc_runner.check(page(tmp_path / "page.md", "$ echo good bye", "hello"), shell)
