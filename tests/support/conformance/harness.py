"""What the conformance check is made of, inside the sandbox: properties by group, each a question asked of the kernel.

It runs in a job, with nothing but Python and its standard library. A property returns None where it holds, and else
what was seen instead. Groups register their properties on import; `run.py` asks all of them.
"""

import ctypes
import errno
import json
import os
import platform
import signal
import sys
import traceback
from pathlib import Path

PROPERTIES = []
LIBC = ctypes.CDLL(None, use_errno=True)
MACHINE = platform.machine()
HERE = Path(__file__).parent
FACTS = json.loads((HERE / "facts.json").read_text())
"""What the test knows of the host, and what of it is not to be found here."""
NUMBERS = json.loads((HERE / "numbers.json").read_text())
"""System call numbers of this machine, by name."""


def holds(group, name):
    """Register the function below as a property."""

    def register(question):
        PROPERTIES.append((group, name, question))
        return question

    return register


def add(group, name, question):
    PROPERTIES.append((group, name, question))


def syscall(number, *arguments):
    """Make a call; return its errno, 0 if it worked."""
    wide = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), *wide)
    return ctypes.get_errno() if result == -1 else 0


def named(number):
    return "it worked" if number == 0 else errno.errorcode.get(number, str(number))


def refused(number, *wanted):
    """None if `number` is one of the errnos `wanted`, else its name."""
    return None if number in (wanted or (errno.EPERM, errno.ENOSYS)) else named(number)


def call_refused(name, *arguments, wanted=(errno.EPERM, errno.ENOSYS)):
    """A property: this call is refused here."""
    if name not in NUMBERS:
        return lambda: None  # This machine has no such call.
    return lambda: refused(syscall(NUMBERS[name], *arguments), *wanted)


def errno_of(function, *arguments):
    """The errno that a function of Python raises, 0 if it worked."""
    try:
        function(*arguments)
    except OSError as error:
        return error.errno
    return 0


def is_(seen, wanted):
    return None if seen == wanted else f"{seen!r}, not {wanted!r}"


def text_of(path):
    """A file's content, or the name of the errno."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError as error:
        return named(error.errno)


def status():
    return dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())


def in_child(function):
    """Call `function` in a forked child; return the signal that ended it, negative, or its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = function() or 0
        except OSError as error:
            code = error.errno
        except BaseException:  # noqa: BLE001 - the child must end here
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def dies_of(function, wanted=signal.SIGSYS):
    code = in_child(function)
    return None if code == -wanted else f"it ended with {code}"


def mounts():
    """Mount point, options, file system, root and source of every mount that is seen."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        head, tail = line.split(" - ")
        fields, rest = head.split(), tail.split()
        found.append(
            {
                "point": fields[4],
                "options": set(fields[5].split(",")),
                "root": fields[3],
                "tags": fields[6:],
                "type": rest[0],
                "source": rest[1] if len(rest) > 2 else "",
                "super": rest[-1],
            }
        )
    return found


def ask_all():
    for group, name, question in PROPERTIES:
        try:
            seen = question()
        except BaseException as error:  # noqa: BLE001 - the next property is to be asked
            seen = f"the question failed: {error!r}"
        print(json.dumps([group, name, seen]), flush=True)
    sys.stdout.flush()
