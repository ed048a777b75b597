"""Kubernetes quantities: `512Mi` of memory, `500m` of a core; exact, no floats.

Source: k8s.io/apimachinery/pkg/api/resource, "Quantity" serialisation format.
"""

import re
from decimal import ROUND_CEILING, Decimal

_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15),
    "E": Decimal(10**18), "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
    "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip
# ASCII: digits of other scripts are digits to `\d` and to Decimal, and to nobody else who reads manifests.
_FORM = re.compile(r"^([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:([eE][+-]?\d+)|(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]?))\Z", re.ASCII)
_LONGEST = 32


def parse(text: str) -> Decimal:
    """Return the exact number that `text` stands for.

    >>> parse("1.5Gi") == Decimal(1610612736)
    True

    Raises:
        ValueError: `text` is not a quantity; the message says which suffixes there are.
    """
    match = _FORM.match(text.strip()) if len(text) <= _LONGEST else None
    if match is None:
        raise ValueError(f'cannot read "{text[:40]}" as a quantity: use a number with Ki, Mi, Gi, k, M, G or m')
    number, exponent, suffix = match.groups()
    if exponent and abs(int(exponent[1:])) > 18:
        raise ValueError(f'cannot read "{text}" as a quantity: its exponent is out of range')
    return Decimal(number + (exponent or "")) * _SUFFIXES[suffix or ""]


def to_bytes(text: str) -> int:
    """Return a memory or storage quantity in whole bytes, rounded up.

    >>> to_bytes("64Mi")
    67108864
    """
    return int(parse(text).to_integral_value(rounding=ROUND_CEILING))


def to_millicpu(text: str) -> int:
    """Return a cpu quantity in thousandths of a core, rounded up.

    >>> to_millicpu("1.5"), to_millicpu("250m")
    (1500, 250)
    """
    return int((parse(text) * 1000).to_integral_value(rounding=ROUND_CEILING))


def from_bytes(count: int) -> str:
    """Return `count` bytes in the largest binary unit that keeps it exact.

    >>> from_bytes(67108864), from_bytes(1000)
    ('64Mi', '1000')
    """
    for suffix in ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki"):
        size = int(_SUFFIXES[suffix])
        if count and count % size == 0:
            return f"{count // size}{suffix}"
    return str(count)


def rounded(count: int) -> str:
    """Return about `count` bytes in few characters, for people; what is exact stays so.

    >>> rounded(67108864), rounded(67108865), rounded(1610612736), rounded(12)
    ('64Mi', '64.0Mi', '1.5Gi', '12')
    """
    for suffix in ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki"):
        size = int(_SUFFIXES[suffix])
        if count >= size:
            return f"{count // size}{suffix}" if count % size == 0 else f"{count / size:.1f}{suffix}"
    return str(count)


def from_millicpu(millicpu: int) -> str:
    """Return thousandths of a core as a cpu quantity.

    >>> from_millicpu(1500), from_millicpu(2000)
    ('1500m', '2')
    """
    return f"{millicpu}m" if millicpu % 1000 else str(millicpu // 1000)
