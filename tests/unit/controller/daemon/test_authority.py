"""The CA's files: whole or not there, never replaced, and what is given is what strict clients want."""

import os
import stat
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from api.access import certificates
from api.errors import BadRequest
from controller.daemon.authority import AuthorityError, HostAuthority
from support.hand_clock import HandClock


@pytest.fixture
def clock():
    return HandClock()


def test_the_ca_is_made_once_and_read_back(tmp_path, clock):
    first = HostAuthority(tmp_path / "pki", clock).certificate_pem()

    assert HostAuthority(tmp_path / "pki", clock).certificate_pem() == first
    assert stat.S_IMODE((tmp_path / "pki/ca.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_ca_that_cannot_be_read_is_left_alone_and_stops_the_start(tmp_path, clock, content):
    (tmp_path / "ca.pem").write_bytes(content)

    with pytest.raises(AuthorityError, match="restore it from a backup"):
        HostAuthority(tmp_path, clock)
    assert (tmp_path / "ca.pem").read_bytes() == content


def test_a_key_of_another_ca_is_noticed(tmp_path, clock):
    one, other = (certificates.new_authority(name, clock.now()) for name in "ab")
    mixed = one.to_pem().replace(one.certificate_pem(), other.certificate_pem())
    (tmp_path / "ca.pem").write_bytes(mixed)

    with pytest.raises(AuthorityError, match="do not belong together"):
        HostAuthority(tmp_path, clock)


def test_what_a_crash_left_half_written_is_no_obstacle(tmp_path, clock):
    (tmp_path / ".ca.pem.new").write_bytes(b"half")

    assert HostAuthority(tmp_path, clock).certificate_pem()
    assert os.listdir(tmp_path) == ["ca.pem"]


def test_the_server_certificate_is_renewed_with_a_third_left_and_not_before(tmp_path, clock):
    authority = HostAuthority(tmp_path, clock, ["builder.example.com"], ("127.0.0.1", 0))
    authority.context()
    first = (tmp_path / "server.pem").read_bytes()

    clock.advance(59 * 86400)
    assert not authority.renew()
    clock.advance(2 * 86400)
    assert authority.renew()
    assert (tmp_path / "server.pem").read_bytes() != first
    assert not authority.renew()


def test_a_new_name_makes_a_new_server_certificate(tmp_path, clock):
    HostAuthority(tmp_path, clock).context()
    HostAuthority(tmp_path, clock, ["builder.example.com"]).context()

    assert "builder.example.com" in certificates.server_names((tmp_path / "server.pem").read_bytes())


def test_certificates_have_the_extensions_that_strict_clients_want(tmp_path, clock):
    authority = HostAuthority(tmp_path, clock)
    authority.context()
    ca = x509.load_pem_x509_certificate(authority.certificate_pem())
    server = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    _, request = certificates.new_request()
    pem, _ = authority.sign(request, "alice", ["developers"], clock.now() + timedelta(days=1))
    client = x509.load_pem_x509_certificate(pem)

    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert ca.extensions.get_extension_for_class(x509.KeyUsage).critical
    assert x509.DNSName("localhost") in server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    for certificate, use in ((server, ExtendedKeyUsageOID.SERVER_AUTH), (client, ExtendedKeyUsageOID.CLIENT_AUTH)):
        found = certificate.extensions
        assert list(found.get_extension_for_class(x509.ExtendedKeyUsage).value) == [use]
        assert not found.get_extension_for_class(x509.BasicConstraints).value.ca
        key_identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        assert found.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == key_identifier
        certificate.verify_directly_issued_by(ca)


def test_a_client_certificate_says_user_and_groups_of_the_caller_and_not_of_the_request(tmp_path, clock):
    authority = HostAuthority(tmp_path, clock)
    _, request = certificates.new_request()
    pem, serial = authority.sign(request, "alice", ["a", "b"], clock.now() + timedelta(days=1))
    der = x509.load_pem_x509_certificate(pem).public_bytes(certificates.serialization.Encoding.DER)

    shown = certificates.presented(der)
    assert (shown.user, shown.groups, shown.serial, shown.is_client) == ("alice", ("a", "b"), serial, True)


def test_no_certificate_outlives_the_ca(tmp_path, clock):
    authority = HostAuthority(tmp_path, clock)
    _, request = certificates.new_request()
    pem, _ = authority.sign(request, "alice", [], clock.now() + timedelta(days=36500))

    ca = x509.load_pem_x509_certificate(authority.certificate_pem())
    assert x509.load_pem_x509_certificate(pem).not_valid_after_utc == ca.not_valid_after_utc


def test_what_is_over_already_is_not_made(tmp_path, clock):
    _, request = certificates.new_request()

    with pytest.raises(BadRequest, match="is over"):
        HostAuthority(tmp_path, clock).sign(request, "alice", [], clock.now() - timedelta(days=1))
