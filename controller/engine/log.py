"""Logs that machines can search: a constant message, and what differs as keys.

`log.info("reconcile failed", extra=keys(kind="Job", name="etl"))` prints one line of logfmt, or one
JSON object. `about(...)` adds keys to every line of the same pass, whoever logs it. Here: formats and
keys. Never here: which lines are worth logging.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

_CONTEXT: ContextVar[dict[str, Any] | None] = ContextVar("log_keys", default=None)
_BARE = re.compile(r"^[^\s\"=\\\x00-\x1f\x7f]+\Z")


class LogFormat(StrEnum):
    """How a log line is written."""

    TEXT = "text"
    JSON = "json"


def keys(**values: Any) -> dict[str, Any]:
    """Return `values` as the `extra=` of a log call; any name may be used, `name` too."""
    return {"keys": values}


@contextmanager
def about(**values: Any) -> Iterator[None]:
    """Add `values` to every line that this thread logs meanwhile."""
    token = _CONTEXT.set((_CONTEXT.get() or {}) | values)
    try:
        yield
    finally:
        _CONTEXT.reset(token)


def setup(level: int = logging.INFO, style: LogFormat = LogFormat.TEXT, stream: TextIO | None = None) -> None:
    """Send the logs of the whole process to `stream` (standard error) in `style`."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style is LogFormat.JSON else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(max(level, logging.WARNING))  # It tells of every request at INFO.


class TextFormatter(logging.Formatter):
    """logfmt: `time=… level=… msg="…" kind=Job name=etl`; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = " ".join(f"{name}={_quoted(value)}" for name, value in _fields(record).items())
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line; a traceback is the value of `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = _fields(record)
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str, ensure_ascii=False)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    moment = datetime.fromtimestamp(record.created, UTC)
    fields: dict[str, Any] = {
        "time": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "msg": record.getMessage(),
    }
    return fields | (_CONTEXT.get() or {}) | getattr(record, "keys", {})


def _quoted(value: Any) -> str:
    text = str(value)
    return text if _BARE.match(text) else json.dumps(text, ensure_ascii=False)
