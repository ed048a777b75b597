"""X.509 for access: the CA, the server's certificate, those of clients, and what a presented one says.

No files and no clock: `controller/daemon/authority.py` keeps the one and brings the other. Invariant: a certificate is
for one use only: the CA signs, the server serves, a client asks; all with the extensions that strict clients want.
Source: RFC 5280; Python 3.13 what's new (VERIFY_X509_STRICT).
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 3650
SERVER_DAYS = 90
_EARLIER = timedelta(minutes=5)  # For clients whose clock is behind.
_LEAST_RSA_BITS = 2048


class BadCertificate(Exception):
    """What was given is no certificate, request or key that can be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The CA: who signs."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def to_pem(self) -> bytes:
        """Return the key and the certificate: what is kept, and secret."""
        return _key_pem(self.key) + self.certificate_pem()

    def certificate_pem(self) -> bytes:
        """Return the certificate: what clients know the server by."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def read(cls, pem: bytes) -> "Authority":
        """Return the CA from what `to_pem` made. Raises BadCertificate."""
        try:
            key = serialization.load_pem_private_key(pem, None)
            certificate = x509.load_pem_x509_certificate(pem)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise BadCertificate(f"it holds no key and certificate: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise BadCertificate("its key is not of an elliptic curve")
        if key.public_key() != certificate.public_key():
            raise BadCertificate("its key and its certificate do not belong together")
        return cls(key, certificate)


@dataclass(frozen=True, slots=True)
class Presented:
    """What a certificate says of its holder."""

    user: str
    groups: tuple[str, ...]
    serial: str
    begins: datetime
    ends: datetime
    is_client: bool


def new_authority(name: str, now: datetime) -> Authority:
    """Return a new CA, good for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    usage = _usage(digital_signature=False, key_cert_sign=True, crl_sign=True)
    builder = _builder(subject, subject, key.public_key(), now, now + timedelta(days=AUTHORITY_DAYS))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(_key_identifier(key.public_key()), critical=False)
    return Authority(key, builder.sign(key, hashes.SHA256()))


def server_pem(authority: Authority, names: Iterable[str], now: datetime) -> bytes:
    """Return a new key and a certificate of the server under these names, and the CA's certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "runwright")])
    ends = min(now + timedelta(days=SERVER_DAYS), authority.certificate.not_valid_after_utc)
    builder = _issued(authority, subject, key.public_key(), now, ends, ExtendedKeyUsageOID.SERVER_AUTH)
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
    certificate = builder.add_extension(alternatives, critical=False).sign(authority.key, hashes.SHA256())
    return _key_pem(key) + certificate.public_bytes(serialization.Encoding.PEM) + authority.certificate_pem()


def server_names(pem: bytes) -> frozenset[str]:
    """Return the names that a server's certificate is for. Raises BadCertificate."""
    extension = _load(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return frozenset(str(name.value) for name in extension)


def is_worn(pem: bytes, now: datetime) -> bool:
    """Return whether a certificate has less than a third of its time left, or is from the future."""
    certificate = _load(pem)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return not begins <= now <= ends - (ends - begins) / 3


def belongs(pem: bytes, authority: Authority) -> bool:
    """Return whether a certificate was given by this CA."""
    try:
        _load(pem).verify_directly_issued_by(authority.certificate)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def client_certificate(
    authority: Authority, request: bytes, user: str, groups: Iterable[str], now: datetime, ends: datetime
) -> tuple[bytes, str]:
    """Return a client's certificate for the key of a request, and its serial number; never longer than the CA's.

    What the request says of its subject is not taken over: who may ask for whom is decided elsewhere.

    Raises:
        BadCertificate: the request cannot be read, is not signed by its key, or its key is weak.
    """
    key = _requested_key(request)
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    try:
        name = x509.Name([*subject, x509.NameAttribute(NameOID.COMMON_NAME, user)])
    except ValueError as error:
        raise BadCertificate(f"its user or groups fit in no certificate: {error}") from error
    ends = min(ends, authority.certificate.not_valid_after_utc)
    builder = _issued(authority, name, key, now, ends, ExtendedKeyUsageOID.CLIENT_AUTH)
    certificate = builder.sign(authority.key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM), serial_of(certificate)


def new_request() -> tuple[bytes, bytes]:
    """Return a new private key and a request for a certificate of it, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "runwright")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return _key_pem(key), request.public_bytes(serialization.Encoding.PEM)


@lru_cache(maxsize=1024)
def presented(der: bytes) -> Presented:
    """Return what a certificate says. Raises BadCertificate."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        groups = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise BadCertificate(f"it is no certificate of a client: {error}") from error
    if len(names) != 1:
        raise BadCertificate("it does not name one user")
    return Presented(
        str(names[0].value),
        tuple(str(group.value) for group in groups),
        serial_of(certificate),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        ExtendedKeyUsageOID.CLIENT_AUTH in uses,
    )


def serial_of(certificate: x509.Certificate) -> str:
    """Return a certificate's serial number as its Certificate object is named.

    It begins with a letter so that nobody takes it for a number.
    """
    return f"c{certificate.serial_number:x}"


def _load(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise BadCertificate(f"it holds no certificate: {error}") from error


def _requested_key(request: bytes) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey:
    try:
        read = x509.load_pem_x509_csr(request)
        is_signed, key = read.is_signature_valid, read.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise BadCertificate(f"it is no request for a certificate: {error}") from error
    if not is_signed:
        raise BadCertificate("it is not signed by its own key")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _LEAST_RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        return key
    raise BadCertificate("its key is weak: use P-256, Ed25519, or RSA of 2048 bits")


def _issued(
    authority: Authority,
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey,
    now: datetime,
    ends: datetime,
    use: x509.ObjectIdentifier,
) -> x509.CertificateBuilder:
    identifier = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    signer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    builder = _builder(subject, authority.certificate.subject, key, now, ends)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(digital_signature=True), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    builder = builder.add_extension(_key_identifier(key), critical=False)
    return builder.add_extension(signer, critical=False)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey,
    now: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - _EARLIER).not_valid_after(ends)


def _key_identifier(
    key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey,
) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key)


def _usage(*, digital_signature: bool, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
