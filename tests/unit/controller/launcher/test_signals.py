"""What is inherited of signals is forgotten, also what the C library hides."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]

ALL_IGNORED = f"""
import ctypes, sys
sys.path.insert(0, {str(ROOT)!r})
from controller.launcher import signals
from controller.linux import libc
ignore = (1).to_bytes(8, sys.byteorder) + bytes(24)
for number in set(range(1, 65)) - {{9, 19}}:
    libc.syscall("rt_sigaction", number, ignore, None, 8, purpose="ignore a signal")
def ignored():
    return next(line for line in open("/proc/self/status") if line.startswith("SigIgn")).split()[1]
print(ignored())
signals.reset_all()
print(ignored())
"""


def test_a_process_that_was_to_ignore_every_signal_ignores_none_but_what_a_write_may_bring():
    done = subprocess.run([sys.executable, "-c", ALL_IGNORED], capture_output=True, text=True, check=True)

    before, after = (int(text, 16) for text in done.stdout.split())
    assert before == 2**64 - 1 - (1 << 8) - (1 << 18)
    assert after == 1 << 12 | 1 << 24  # SIGPIPE and SIGXFSZ.
