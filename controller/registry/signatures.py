"""Whether a catalogue was signed by whom a Registry trusts, in the reasons that a Registry gives.

The signature lies beside it, in `registry.json.sig`; `api/packages/signing.py` knows its form.
"""

from api.packages import signing
from api.packages.findings import Refused
from controller.engine.errors import TransientError

SUFFIX = signing.SUFFIX
MOST_BYTES = 4096


def verify(url: str, body: bytes, signature: bytes, public_key: str) -> None:
    """Return if `signature`, as the file beside the catalogue has it, is that of `public_key` over `body`.

    Raises:
        TransientError: SignatureInvalid.
    """
    try:
        signing.verify(body, signature.decode("ascii", "replace"), signing.public_key(public_key))
    except Refused as error:
        raise invalid(url, str(error)) from None


def invalid(url: str, why: str) -> TransientError:
    """Return the error for a catalogue that may not be used."""
    return TransientError("SignatureInvalid", f"cannot use {url}: {why}: ask its owner, and do not trust it meanwhile")
