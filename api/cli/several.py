"""One command asked of several hosts at once: each in a process of its own, some at a time, and all answers as one.

First it is rehearsed, up to where a host would be asked: so what is wrong with the command itself is said once, and
before any host has done it. Here: the processes, and how what they print is put together. Never here: what a command
does. Invariant: what a host says is said to be its, on each line; the exit code is 0 only if it is for all of them; who
is not done is named as the next --host takes it.
"""

import json
import os
import re
import select
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import click

from api.cli.connection import SeveralHosts
from api.cli.output import columns, note, show_json, yaml_of
from api.cli.problems import API_ERROR, INTERRUPTED, PARTLY_DONE, TIMED_OUT, UNREACHABLE, USAGE

AT_ONCE = 32
"""Hosts asked at the same time; the others wait: a process takes some megabytes, and a host's answer some time."""
_CHUNK = 1 << 16
_HEADER = re.compile(r"[A-Z][A-Z0-9 _()%/-]*")
_GAP = re.compile(r" {3,}")
_MOST_NAMED = 3
_HOW_ENDED = {
    0: "done", API_ERROR: "refused", USAGE: "asked wrongly", UNREACHABLE: "not reached", TIMED_OUT: "not in time",
    INTERRUPTED: "interrupted", 128 + signal.SIGTERM: "interrupted",
}  # fmt: skip


@dataclass(slots=True)
class _Asked:
    """One host's process: its pid, our ends of its pipes, what it said, and how it ended."""

    name: str
    pid: int
    out: int
    open_ends: list[int]
    said: bytes = b""
    complained: bytes = b""
    code: int = 0

    @property
    def outcome(self) -> str:
        """How it ended, in a word or two."""
        return _HOW_ENDED.get(self.code, "failed")


def rehearse(hosts: SeveralHosts, arguments: Sequence[str], run_one: Callable[[list[str]], int]) -> int:
    """Run `run_one` as for the first host; return USAGE, having said why, if it is used wrongly, else 0.

    `run_one` goes no further than to where it would ask a host.
    """
    if not hosts.names:
        raise click.UsageError(f"--host {hosts.text}: name a host, or several with commas between them")
    tried = _start(hosts.names[0], _for_one(arguments, hosts.text, hosts.names[0]), run_one)
    _gather(iter((tried,)))
    if _code_of(tried.pid) != USAGE:
        return 0
    click.echo(tried.complained.decode(errors="replace"), err=True, nl=False)
    return USAGE


def ask(hosts: SeveralHosts, arguments: Sequence[str], run_one: Callable[[list[str]], int]) -> int:
    """Run `run_one` for each host with `arguments` as for it alone; print what all say, and who is not done.

    Return 0 if all are done, PARTLY_DONE if some are, else the highest code. An interrupt ends what runs; what was said
    until then is shown.
    """
    asked: list[_Asked] = []
    was_interrupted = False
    try:
        _gather(_each_started(hosts, arguments, run_one, asked))
    except KeyboardInterrupt:
        was_interrupted = True
        _end(asked)
        _gather(iter(asked))
    except BaseException:
        _end(asked)
        raise
    finally:
        for each in asked:
            each.code = _code_of(each.pid)
    _show([(each.name, each.said.decode(errors="replace")) for each in asked])
    _complain(asked)
    _sum_up(hosts, asked)
    if was_interrupted:
        return INTERRUPTED
    codes = {each.code for each in asked}
    return PARTLY_DONE if len(codes) > 1 and 0 in codes else max(codes)


def _end(asked: Sequence[_Asked]) -> None:
    for each in asked:
        os.kill(each.pid, signal.SIGTERM)


def _code_of(pid: int) -> int:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def _complain(asked: Sequence[_Asked]) -> None:
    """Print what they said on stderr; what several said word for word, once."""
    by_text: dict[str, list[str]] = {}
    for each in asked:
        if each.complained:
            by_text.setdefault(each.complained.decode(errors="replace"), []).append(each.name)
    for text, names in by_text.items():
        more = len(names) - _MOST_NAMED
        who = ",".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        for line in text.splitlines():
            note(f"{who}: {line}")


def _sum_up(hosts: SeveralHosts, asked: Sequence[_Asked]) -> None:
    """Say how many are not done, and who, in words that --host takes; if all are done, nothing."""
    ended = {each.name: each.outcome for each in asked}
    outcomes = {name: ended.get(name, "not asked") for name in hosts.names}
    left = [name for name, outcome in outcomes.items() if outcome != "done"]
    if not left:
        return
    counts = Counter(outcomes.values())
    done = counts.pop("done", 0)
    others = "".join(f", {count} {outcome}" for outcome, count in counts.items())
    note(f"{done} of {len(outcomes)} hosts done{others}; only those again: --host {','.join(left)}")


def _each_started(
    hosts: SeveralHosts, arguments: Sequence[str], run_one: Callable[[list[str]], int], asked: list[_Asked]
) -> Iterator[_Asked]:
    """Start the next host's process whenever one is taken, and add it to `asked`."""
    given = _input_for_all(arguments)
    for name in hosts.names:
        asked.append(_start(name, _for_one(arguments, hosts.text, name), run_one, given))
        yield asked[-1]


def _input_for_all(arguments: Sequence[str]) -> str:
    """Return the file that each gets as its standard input: with `-f -` what was given to all, else nothing."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    if not any(pair in (("-f", "-"), ("--filename", "-")) or pair[0] in ("-f-", "--filename=-") for pair in pairs):
        return os.devnull
    with open(os.memfd_create("stdin"), "wb", closefd=False) as kept:
        while chunk := os.read(0, _CHUNK):
            kept.write(chunk)
        return f"/proc/self/fd/{kept.fileno()}"


def _for_one(arguments: Sequence[str], text: str, name: str) -> list[str]:
    """Return the arguments with `name` in place of all hosts: the first that says them is ours, not the job's."""
    words = list(arguments)
    for index, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in ("--host", "--node") and equals and value == text:
            return [*words[:index], f"{option}={name}", *words[index + 1 :]]
        if word in ("--host", "--node") and words[index + 1 : index + 2] == [text]:
            return [*words[: index + 1], name, *words[index + 2 :]]
    raise AssertionError(f"nothing in {words} names {text}")


def _start(name: str, arguments: list[str], run_one: Callable[[list[str]], int], given: str = os.devnull) -> _Asked:
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            in_end = os.open(given, os.O_RDONLY)  # By its name: each reads from the beginning.
            for descriptor, number in ((in_end, 0), (out_end, 1), (err_end, 2)):
                os.dup2(descriptor, number)
            with os.fdopen(1, "w", closefd=False) as sys.stdout, os.fdopen(2, "w", closefd=False) as sys.stderr:
                code = run_one(arguments)
        finally:
            os._exit(code)
    os.close(out_end)
    os.close(err_end)
    return _Asked(name, pid, out, [out, err])


def _gather(starting: Iterator[_Asked]) -> None:
    """Read all that they say to its end, the first `AT_ONCE` and then another for each that is done."""
    poll = select.poll()
    readers: dict[int, tuple[_Asked, bool]] = {}
    still_open = (each for each in starting if each.open_ends)

    def start(count: int) -> None:
        for each in islice(still_open, count):
            for descriptor in each.open_ends:
                readers[descriptor] = (each, descriptor == each.out)
                poll.register(descriptor, select.POLLIN)

    start(AT_ONCE)
    while readers:
        for descriptor, _ in poll.poll():
            each, is_output = readers[descriptor]
            chunk = os.read(descriptor, _CHUNK)
            if is_output:
                each.said += chunk
            else:
                each.complained += chunk
            if not chunk:
                poll.unregister(descriptor)
                os.close(descriptor)
                del readers[descriptor]
                each.open_ends.remove(descriptor)
                if not each.open_ends:
                    start(1)


def _show(answers: list[tuple[str, str]]) -> None:
    """Print a table or a document of all, if that is what each said; else each line behind its host and a tab.

    So `xargs -L1 rnx delete --host` takes the lines of `get -o name`, and `cut -f2-` gives what a host said, unchanged.
    """
    said = [(name, text) for name, text in answers if text]
    if not said:
        return
    if (documents := _documents(said, _json)) is not None:
        show_json(documents)
    elif (documents := _documents(said, _yaml)) is not None:
        click.echo(yaml_of(documents), nl=False)
    elif (rows := _one_table(said)) is not None:
        for line in columns(rows):
            click.echo(line)
    else:
        for name, text in said:
            for line in text.splitlines():
                click.echo(f"{name}\t{line}")


def _documents(said: list[tuple[str, str]], read: Callable[[str], object]) -> dict[str, object] | None:
    """Return all answers by their hosts, if each is one document."""
    found = {}
    for name, text in said:
        found[name] = read(text)
        if not isinstance(found[name], dict | list):
            return None
    return found


def _json(text: str) -> object:
    try:
        return json.loads(text) if text.lstrip()[:1] in ("{", "[") else None
    except ValueError:
        return None


def _yaml(text: str) -> object:
    """Return the object that `text` is; None if it is none, or several."""
    if not text.removeprefix("---\n").startswith("apiVersion: "):
        return None
    import yaml

    try:
        documents = list(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError:
        return None
    return documents[0] if len(documents) == 1 else None


def _one_table(said: list[tuple[str, str]]) -> list[list[str]] | None:
    """Return one table of all, with a column HOST, if each answer is a table of the same columns, of two at least."""
    rows: list[list[str]] = []
    for name, text in said:
        head, *lines = text.splitlines()
        starts = [0, *(gap.end() for gap in _GAP.finditer(head))]
        cells = _cells(head, starts)
        is_head = len(cells) > 1 and all(_HEADER.fullmatch(cell) for cell in cells)
        if not is_head or (rows and rows[0][1:] != cells):
            return None
        rows = rows or [["HOST", *cells]]
        rows += [[name, *_cells(line, starts)] for line in lines]
    return rows


def _cells(line: str, starts: list[int]) -> list[str]:
    ends = [*starts[1:], len(line)]
    return [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]
