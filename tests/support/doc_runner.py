"""Runs the documentation: the `console` blocks of a Markdown page, typed into one shell, their output compared.

In a block, a line that begins with the prompt of the block's first line (`$ ` or `# `) is a command, one that
begins with `> ` goes on with it, and the others are what it prints. A block ```` ```yaml title="FILE" ```` is a
file that the reader saves. In expected output `…` is any text, alone on a line any lines; columns may be wider or
narrower; times, ages, ids and generated names need not be the same. A command must succeed, unless the next one is
`echo $?`.
"""

import os
import re
import selectors
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

_FENCE = re.compile(r"^```(?P<info>[^`]*)$")
_TITLE = re.compile(r'^\w+ title="(?P<name>[^"]+)"$')
_PROMPTS = ("$ ", "# ")
_MARK = "--end-of-command-8d1f--"
_WILD = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"),
    (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    (r"\brun-[a-z0-9]{5}\b", r"run-[a-z0-9]{5}"),
    (r"(?<![\w.])\d+(?:\.\d+)?[smhd]\b", r"\d+(?:\.\d+)?[smhd](?:\d+[smh])?"),
    (r"…", r".*?"),
    (r"[ \t]+", r"[ \t]+"),
)
_PIECE = re.compile("|".join(f"({found})" for found, _ in _WILD))
COMMAND_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Command:
    """What is typed at a line of the page, and what should then be printed."""

    line: int
    text: str
    expected: tuple[str, ...]

    @property
    def asks_for_status(self) -> bool:
        """Whether it shows how the command before it ended."""
        return self.text == "echo $?"


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file that the page has its reader save."""

    line: int
    name: str
    text: str


class DocFailure(AssertionError):
    """The page does not say what happens."""


def parse(text: str) -> tuple[Command | SavedFile, ...]:
    """Return what a reader of the page does, in order."""
    found: list[Command | SavedFile] = []
    lines = text.split("\n")
    start: int | None = None
    info = ""
    for index, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        if start is None:
            start, info = index + 1, fence["info"].strip()
            continue
        found += _block(info, lines[start:index], start + 1)
        start = None
    return tuple(found)


def _block(info: str, lines: list[str], first: int) -> Iterator[Command | SavedFile]:
    if title := _TITLE.match(info):
        yield SavedFile(first, title["name"], "\n".join(lines) + "\n")
    if info == "console":
        yield from _commands(lines, first)


def _commands(lines: list[str], first: int) -> Iterator[Command]:
    prompt = lines[0][:2]
    if prompt not in _PROMPTS:
        raise DocFailure(f"line {first}: a console block begins with a command, `$ ` or `# `")
    starts = [index for index, line in enumerate(lines) if line.startswith(prompt)]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        typed, expected = [lines[start][2:]], lines[start + 1 : end]
        while expected and expected[0].startswith(">"):
            typed.append(expected.pop(0)[2:])
        yield Command(first + start, "\n".join(typed), tuple(expected))


def matches(expected: tuple[str, ...], output: str) -> bool:
    """Whether `output` is what was expected, but for what may differ."""
    pattern = "".join(r"(?:.*\n)*?" if line.strip() == "…" else f"{_pattern(line.rstrip())}\n" for line in expected)
    text = "".join(f"{line.rstrip()}\n" for line in output.splitlines())
    return re.fullmatch(pattern, text) is not None


def _pattern(line: str) -> str:
    parts, end = [], 0
    for piece in _PIECE.finditer(line):
        parts += [re.escape(line[end : piece.start()]), _WILD[(piece.lastindex or 1) - 1][1]]
        end = piece.end()
    return "".join([*parts, re.escape(line[end:])])


class Shell:
    """One bash, in one directory, from the first command of a page to the last."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        """Start it; what it starts is in a process group of its own, and ends with it."""
        self.directory = directory
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={**os.environ, **environment, "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "COLUMNS": "200"},
            start_new_session=True,
        )

    def close(self) -> None:
        """End the shell and what it left running, as a closed terminal would."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            os.killpg(self._process.pid, signal.SIGTERM)
            os.killpg(self._process.pid, signal.SIGHUP)
        except ProcessLookupError:
            pass
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def run(self, text: str) -> tuple[str, int]:
        """Type a command; return what it printed and its exit status."""
        assert self._process.stdin is not None
        # In this very shell, so that cd, export and jobs last; without input, so that it reads nothing of what follows.
        script = f"{{\n{text}\n}} </dev/null\n__status=$?; printf '\\n{_MARK} %d\\n' $__status; (exit $__status)\n"
        self._process.stdin.write(script.encode())
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> tuple[str, int]:
        assert self._process.stdout is not None
        descriptor, received, give_up = self._process.stdout.fileno(), b"", monotonic() + COMMAND_SECONDS
        end = re.compile(rb"\n%b (\d+)\n\Z" % _MARK.encode())
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while (found := end.search(received)) is None:
                if not selector.select(give_up - monotonic()):
                    raise DocFailure(f"not within {COMMAND_SECONDS:g} s; so far: {received.decode(errors='replace')}")
                chunk = os.read(descriptor, 65536)
                if not chunk:
                    raise DocFailure(f"the shell ended: {received.decode(errors='replace')}")
                received += chunk
        return received[: found.start()].decode(errors="replace"), int(found[1])


def check(page: Path, shell: Shell) -> int:
    """Do all that `page` says and compare; return how many commands that were.

    Raises:
        DocFailure: something else happened than the page says.
    """
    todo = parse(page.read_text())
    for index, item in enumerate(todo):
        if isinstance(item, SavedFile):
            path = shell.directory / item.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(item.text)
            continue
        place = f"{page.name}:{item.line}: $ {item.text}"
        try:
            output, status = shell.run(item.text)
        except DocFailure as failure:
            raise DocFailure(f"{place}\n{failure}") from None
        following = todo[index + 1] if index + 1 < len(todo) else None
        if status != 0 and not (isinstance(following, Command) and following.asks_for_status):
            raise DocFailure(f"{place}\nexited with {status}:\n{output}")
        if not matches(item.expected, output):
            raise DocFailure(f"{place}\nexpected:\n" + "\n".join(item.expected) + f"\nprinted:\n{output}")
    return sum(isinstance(item, Command) for item in todo)
