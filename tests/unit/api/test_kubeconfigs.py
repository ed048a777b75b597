"""kubeconfig files: read back as they were written, and their faults named without their secrets."""

import pytest
import yaml

from api import kubeconfigs
from api.client_transport import Address, BadAddress
from api.kubeconfigs import BadKubeconfig

SECRET = "the-very-secret"


def written(tmp_path, document):
    path = tmp_path / "config"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return path


def test_what_is_rendered_is_read_back(tmp_path):
    proof = {"certificate": "CERT", "key": "KEY"}
    document = kubeconfigs.render("https://host:6443", "CA", "alice", proof, "team")

    read = kubeconfigs.read(written(tmp_path, document))

    assert (read.server, read.namespace) == ("https://host:6443", "team")
    assert (read.authority, read.certificate, read.key, read.token) == (b"CA", b"CERT", b"KEY", "")


def test_a_token_is_read_back_and_never_shown(tmp_path):
    document = kubeconfigs.render("https://host:6443", "CA", "alice", {"token": SECRET}, "default")

    read = kubeconfigs.read(written(tmp_path, document))

    assert read.token == SECRET
    assert SECRET not in repr(read)
    assert SECRET not in str(Address.of_kubeconfig(tmp_path / "config"))


def test_files_beside_it_are_read(tmp_path):
    document = kubeconfigs.render("https://host", "CA", "alice", {"token": "t"}, "default")
    document["clusters"][0]["cluster"] = {"server": "https://host", "certificate-authority": "ca.crt"}
    (tmp_path / "ca.crt").write_text("FROM A FILE")

    assert kubeconfigs.read(written(tmp_path, document)).authority == b"FROM A FILE"


@pytest.mark.parametrize(
    "document",
    ["", "[]", "a: [", "current-context: x", {"current-context": "x", "contexts": []}, {"current-context": "x", "contexts": 5},
     {"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c"}}], "clusters": [{"name": "c", "cluster": {}}]}],
)  # fmt: skip
def test_what_is_no_kubeconfig_is_refused_by_name(tmp_path, document):
    path = written(tmp_path, document)

    with pytest.raises(BadKubeconfig, match="cannot read the kubeconfig"):
        kubeconfigs.read(path)
    with pytest.raises(BadAddress, match=str(path)):
        Address.of_kubeconfig(path)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("", "it is empty: rnx admin kubeconfig writes one"),
        ("null", "it is empty: rnx admin kubeconfig writes one"),
        ("[]", "it is no map of clusters, users and contexts: rnx admin kubeconfig writes one"),
        (
            {"current-context": "x", "contexts": [{"name": "x", "context": None}]},
            "a part of its current context is not",
        ),
        ({"contexts": []}, "its current context lacks 'current-context'"),
    ],
)
def test_what_it_lacks_is_said_in_words(tmp_path, document, said):
    path = written(tmp_path, document)

    with pytest.raises(BadKubeconfig) as raised:
        kubeconfigs.read(path)

    assert str(raised.value).startswith(f"cannot read the kubeconfig {path}: {said}")
    assert "NoneType" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadKubeconfig, match="No such file"):
        kubeconfigs.read(tmp_path / "none")
