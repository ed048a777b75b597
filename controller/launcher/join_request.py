"""What is asked for when somebody wants to go into a run: which run, what to do there; its form on the way. Pure.

The request goes over a fresh connection, which from then on is the session's own: the process that goes in answers on
it (`Started`, `Ended` or `Refused`), takes orders on it, and takes its end for the order to end.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

VERSION = 1
STREAMS = ("stdin", "stdout", "stderr")


class Deed:
    """What is done inside: a command is executed, or our own code copies files or connects, as a process of the run.

    For `STDIN`, nobody goes inside: what writes to the job's standard input is handed out.
    """

    EXECUTE = "execute"
    PACK = "pack"
    UNPACK = "unpack"
    CONNECT = "connect"
    STDIN = "stdin"


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """What to do, and in which run.

    Args:
        pid, start_time: the run's supervisor, as its claim names it.
        cgroup_parent, cgroup: as in its `RunSpec`.
        argv: the command; of a copy, the path in the sandbox; of a connection, the port.
        streams: those of `STREAMS` whose descriptors come with the request, in that order; the others are /dev/null.
        terminal: columns and rows of a terminal to be its three streams, instead of any descriptors.
    """

    pid: int
    start_time: int
    cgroup_parent: str
    cgroup: str
    deed: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    streams: tuple[str, ...] = ()
    terminal: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0] or any("\0" in word for word in (*self.argv, self.cwd)):
            raise ValueError("cannot go into a run: there is no command, or it has a NUL character")
        if any("\0" in text or not name or "=" in name for name, value in self.env.items() for text in (name, value)):
            raise ValueError("cannot go into a run: its environment has a NUL character, or a name that is none")
        if self.terminal is not None and self.streams:
            raise ValueError("cannot go into a run: a terminal takes the place of all streams")


@dataclass(frozen=True, slots=True)
class Started:
    """It is done or begun; with it comes the descriptor of its terminal, its connection or its input, if any."""


@dataclass(frozen=True, slots=True)
class Ended:
    """It has ended; `exit_code` is 128 + `signal` for a death by signal."""

    exit_code: int
    signal: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was done. `exit_code` is a shell's (126 or 127) if the command cannot be executed, else None."""

    message: str
    exit_code: int | None = None
    run_is_over: bool = False


Answer: TypeAlias = Started | Ended | Refused
_ANSWERS = {"started": Started, "ended": Ended, "refused": Refused}


def to_text(request: JoinRequest) -> bytes:
    """Return the request as it travels: JSON without a line's end."""
    fields = {name: getattr(request, name) for name in request.__slots__}
    return json.dumps({"version": VERSION, **fields, "env": dict(request.env)}, separators=(",", ":")).encode()


def read(text: bytes) -> JoinRequest:
    """Read a request.

    Raises:
        ValueError: it is none, or of another version.
    """
    try:
        fields = json.loads(text)
        if fields.pop("version") != VERSION:
            raise ValueError(f"cannot read a request to join a run: this launcher reads version {VERSION}")
        terminal = fields.pop("terminal")
        columns_and_rows = None if terminal is None else (int(terminal[0]), int(terminal[1]))
        lists = {name: tuple(map(_text, fields.pop(name))) for name in ("argv", "streams")}
        env = {_text(name): _text(value) for name, value in fields.pop("env").items()}
        if not set(lists["streams"]) <= set(STREAMS):
            raise ValueError(f"cannot read a request to join a run: streams are {', '.join(STREAMS)}")
        pid, start_time = int(fields.pop("pid")), int(fields.pop("start_time"))
        texts = {name: _text(value) for name, value in fields.items()}
        return JoinRequest(pid, start_time, env=env, terminal=columns_and_rows, **lists, **texts)  # type: ignore[arg-type]
    except (TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f"cannot read a request to join a run: {error!r}") from error


def answer_to_plain(answer: Answer) -> dict[str, object]:
    """Return an answer as the message that it is sent as."""
    name = next(name for name, kind in _ANSWERS.items() if isinstance(answer, kind))
    return {"answer": name, **{field_: getattr(answer, field_) for field_ in answer.__slots__}}


def read_answer(message: Mapping[str, object]) -> Answer:
    """Read an answer; whatever else was said, such as the launcher's own refusals, is `Refused`.

    >>> read_answer({"answer": "ended", "exit_code": 3, "signal": None})
    Ended(exit_code=3, signal=None)
    """
    fields = {name: value for name, value in message.items() if name not in ("answer", "id")}
    try:
        return _ANSWERS[str(message.get("answer"))](**fields)  # type: ignore[no-any-return]
    except (KeyError, TypeError):
        return Refused(str(message.get("error", f"the launcher answers {message!r:.200}")))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"cannot read a request to join a run: {value!r:.80} is no text")
    return value
