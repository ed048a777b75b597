"""How failures end: one line to stderr in kubectl's words, and an exit code.

0 done · 1 the API refused · 2 wrong usage · 3 nobody answers · 4 not in time ·
5 done on some of several hosts · 70 a bug of rnx · 130 interrupted · 141 the reader of the output went away.
"""

import errno
import os
import sys
from collections.abc import Callable

import click

API_ERROR, USAGE, UNREACHABLE, TIMED_OUT, PARTLY_DONE, BUG, INTERRUPTED, PIPE_CLOSED = 1, 2, 3, 4, 5, 70, 130, 141
_MOST_CAUSES = 50
_OF_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


class CommandFailed(Exception):
    """The command said what went wrong, or says it now; ends with `exit_code`."""

    def __init__(self, message: str = "", exit_code: int = API_ERROR) -> None:
        """End with `exit_code` after saying `message`, if there is one."""
        super().__init__(message)
        self.message, self.exit_code = message, exit_code


def exit_code_of(run: Callable[[], object]) -> int:
    """Run a command and return the exit code, having told the person what went wrong."""
    try:
        run()
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except CommandFailed as error:
        if error.message:
            say(error.message)
        return error.exit_code
    except BrokenPipeError:
        sys.stdout = None  # Nobody reads: nothing is to be flushed at exit.
        return PIPE_CLOSED
    except OSError as error:
        if error.errno not in _OF_OUTPUT or error.filename is not None:
            return _of_the_api(error)
        sys.stdout = None  # What it still holds cannot be written either.
        say(f"cannot write the output: {error.strerror}")
        return API_ERROR
    except Exception as error:  # noqa: BLE001  The top: every failure becomes a line and an exit code.
        return _of_the_api(error)
    return 0


def open_closed_streams() -> None:
    """Have all three streams where a shell closed some: no other file gets their numbers, and to write there fails."""
    # In this order, for each takes the lowest number that is free. What is open for reading only cannot be written to.
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            taken = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
            if taken == number:
                setattr(sys, name, os.fdopen(taken, mode))


def _of_the_api(error: Exception) -> int:
    from api.cli.client_config import BadConfig
    from api.client_paths import BadName
    from api.client_transport import BadAddress, Unreachable
    from api.client_watch import TimedOut
    from api.errors import ApiError
    from api.packages.findings import Refused

    match error:
        case ApiError():
            click.echo(describe(error), err=True)
            return API_ERROR
        case Refused():
            say(str(error))
            return API_ERROR
        case BadAddress() | BadConfig() | BadName():
            say(str(error))
            return USAGE
        case Unreachable():
            say(str(error))
            return UNREACHABLE
        case TimedOut():
            say(str(error))
            return TIMED_OUT
    import traceback

    traceback.print_exception(error)
    say(f"cannot finish: {type(error).__name__} in rnx itself: please report the lines above")
    return BUG


def say(message: str) -> None:
    """Tell what went wrong, on stderr."""
    click.echo(f"{click.style('error:', fg='red')} {message}", err=True)


def describe(error: Exception) -> str:
    """Return a refusal in kubectl's words; several causes on a line each."""
    from api.errors import ApiError

    if not isinstance(error, ApiError):
        return f"error: {error}"
    head = f"Error from server ({error.reason}): "
    if len(error.causes) < 2:
        return head + error.message
    subject = error.message
    for ending in (" is invalid", ": strict decoding error"):
        if f"{ending}: " in error.message:
            subject = f"{error.message.partition(f'{ending}: ')[0]}{ending}:"
            break
    lines = [f"  {cause}" for cause in error.causes[:_MOST_CAUSES]]
    more = len(error.causes) - _MOST_CAUSES
    return "\n".join([head + subject, *lines, *([f"  … and {more} more"] if more > 0 else [])])
