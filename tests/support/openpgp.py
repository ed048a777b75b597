"""As much of OpenPGP (RFC 4880, EdDSA) as signs a Debian archive: a key made on the spot, a text signed in clear.

What reads it is the host's own gpgv or sqv; no program of the host is needed to write it.
"""

import base64
import hashlib
import struct
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_CREATED = 1704067200
"""When the key was made: 2024-01-01."""

_ED25519 = bytes.fromhex("092b06010401da470f01")
_EDDSA, _SHA512 = 22, 10
_PUBLIC_KEY, _USER_ID, _SIGNATURE = 6, 13, 2
_IN_CLEAR, _OF_A_KEY = 0x01, 0x13
_SIGN_AND_CERTIFY = b"\x03"


@dataclass(frozen=True)
class SigningKey:
    """A key of `owner`'s. `made` and `signed` are seconds since 1970."""

    owner: str = "A test <test@example.org>"
    made: int = _CREATED
    signed: int = _CREATED + 60
    _private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> bytes:
        """The public key as a keyring has it, in text: a file NAME.asc."""
        return _armoured("PUBLIC KEY BLOCK", self._packets())

    def clear_signed(self, text: str) -> bytes:
        """Return `text` with its signature below it, as an InRelease file is."""
        lines = [line.rstrip(" \t") for line in text.rstrip("\n").split("\n")]
        signature = self._signature(_IN_CLEAR, "\r\n".join(lines).encode(), self.signed, b"")
        shown = "\n".join(f"- {line}" if line.startswith("-") else line for line in lines)
        head = f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{shown}\n"
        return head.encode() + _armoured("SIGNATURE", _packet(_SIGNATURE, signature))

    def _packets(self) -> bytes:
        owner = self.owner.encode()
        named = self._hashed_key() + b"\xb4" + struct.pack(">I", len(owner)) + owner
        own = self._signature(_OF_A_KEY, named, self.made, _subpacket(27, _SIGN_AND_CERTIFY))
        return _packet(_PUBLIC_KEY, self._key()) + _packet(_USER_ID, owner) + _packet(_SIGNATURE, own)

    def _key(self) -> bytes:
        point = b"\x40" + self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return b"\x04" + struct.pack(">I", self.made) + bytes([_EDDSA]) + _ED25519 + _number(point)

    def _hashed_key(self) -> bytes:
        return b"\x99" + struct.pack(">H", len(self._key())) + self._key()

    def _fingerprint(self) -> bytes:
        return hashlib.sha1(self._hashed_key(), usedforsecurity=False).digest()

    def _signature(self, kind: int, signed: bytes, when: int, more: bytes) -> bytes:
        hashed = _subpacket(2, struct.pack(">I", when)) + _subpacket(33, b"\x04" + self._fingerprint()) + more
        head = bytes([4, kind, _EDDSA, _SHA512]) + struct.pack(">H", len(hashed)) + hashed
        trailer = b"\x04\xff" + struct.pack(">I", len(head))
        digest = hashlib.sha512(signed + head + trailer).digest()
        issuer = _subpacket(16, self._fingerprint()[-8:])
        made = self._private.sign(digest)
        return head + struct.pack(">H", len(issuer)) + issuer + digest[:2] + _number(made[:32]) + _number(made[32:])


def _number(data: bytes) -> bytes:
    plain = data.lstrip(b"\0")
    return struct.pack(">H", int.from_bytes(plain, "big").bit_length()) + plain


def _subpacket(kind: int, data: bytes) -> bytes:
    return bytes([len(data) + 1, kind]) + data


def _packet(tag: int, data: bytes) -> bytes:
    return bytes([0xC0 | tag, 0xFF]) + struct.pack(">I", len(data)) + data


def _armoured(what: str, data: bytes) -> bytes:
    text = base64.b64encode(data).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    check = base64.b64encode(_crc24(data)).decode()
    return "\n".join((f"-----BEGIN PGP {what}-----", "", *lines, f"={check}", f"-----END PGP {what}-----", "")).encode()


def _crc24(data: bytes) -> bytes:
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc = (crc << 1) ^ (0x1864CFB if crc & 0x800000 else 0)
    return crc.to_bytes(3, "big")
