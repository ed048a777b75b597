"""An evaluator of classic BPF as seccomp uses it: tests ask it what a compiled program answers.

Source: Documentation/networking/filter.rst and include/uapi/linux/seccomp.h, Linux 6.1.
"""

import functools
import struct
from dataclasses import dataclass

KILL_PROCESS = 0x80000000
ALLOW = 0x7FFF0000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "i386": 0x40000003}


@dataclass(frozen=True)
class Answer:
    action: int
    steps: int

    def __str__(self) -> str:
        return describe(self.action)


def describe(action: int) -> str:
    """Name an action: "allow", "kill" or the number of the errno."""
    if action == ALLOW:
        return "allow"
    if action == KILL_PROCESS:
        return "kill"
    assert action >> 16 == 5, f"an unexpected action {action:#x}"
    return str(action & 0xFFFF)


@functools.lru_cache(maxsize=8)
def decode(program: bytes) -> list[tuple[int, int, int, int]]:
    """Return the instructions, each (code, jump if true, jump if false, constant)."""
    assert len(program) % 8 == 0
    return [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]


def evaluate(program: bytes, number: int, machine: str = "x86_64", arguments: tuple[int, ...] = ()) -> Answer:
    """Run `program` on one system call."""
    instructions = decode(program)
    padded = [argument & 0xFFFFFFFFFFFFFFFF for argument in arguments] + [0] * (6 - len(arguments))
    memory = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, ARCHITECTURES[machine], 0, *padded)
    accumulator = at = steps = 0
    while True:
        code, if_true, if_false, constant = instructions[at]
        at += 1
        steps += 1
        match code:
            case 0x20:
                assert constant % 4 == 0, "seccomp refuses unaligned loads"
                (accumulator,) = struct.unpack_from("<I", memory, constant)
            case 0x06:
                return Answer(constant, steps)
            case 0x05:
                at += constant
            case 0x15:
                at += if_true if accumulator == constant else if_false
            case 0x35:
                at += if_true if accumulator >= constant else if_false
            case 0x45:
                at += if_true if accumulator & constant else if_false
            case _:
                raise AssertionError(f"an instruction that the compiler has no use for: {code:#x}")
