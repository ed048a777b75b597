"""What was refused of and to jobs, as `rnx describe` shows it of a Network and of a Job. Pure."""

from collections.abc import Iterator

from api.cli.output import age, columns
from api.meta import Document

_INDENT = "  "


def refused(status: Document) -> Iterator[str]:
    """Yield the last connections that were refused, the last one last; nothing if none was."""
    refusals = status.get("refusals") or ()
    count = max(status.get("refused") or 0, sum(each["count"] for each in refusals))  # Counters are read seldomer.
    if not count:
        return
    yield f"Refused:          {count} packets, the last of them:"
    rows = [["LAST", "TIMES", "FROM", "TO", "PROTOCOL", "PORT"]]
    for each in refusals:
        ends = (_end(each, "source"), _end(each, "destination"))
        rows.append([age(each["lastTime"]), str(each["count"]), *ends, each["protocol"], str(each.get("port") or "")])
    for line in columns(rows):
        yield _INDENT + line


def _end(refusal: Document, which: str) -> str:
    job = refusal.get(f"{which}Job")
    return f"{refusal[which]} (job/{job})" if job else str(refusal[which])
