"""What a signature file may hold: one signature, or a few of which one must be good."""

import pytest

from api.packages import signing
from api.packages.findings import Refused

BODY = b'{"version": "1"}'


@pytest.fixture
def keys(tmp_path):
    public = signing.generate(tmp_path / "key")
    return signing.private_key(tmp_path / "key"), signing.public_key(public)


@pytest.mark.parametrize("lines", ["{good}", "{good}\n", "{good}\r\n", "{other}\n{good}\n", "\n{good}\n{other}\n\n"])
def test_one_good_signature_is_enough(keys, lines):
    private, public = keys
    text = lines.format(good=signing.sign(BODY, private), other=signing.sign(b"another", private))

    assert signing.verify(BODY, text, public) is None


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "the signature is empty"),
        ("\n \n", "the signature is empty"),
        ("{other}\n{other}\n", "the signature is not this key's over these bytes"),
        ("{good} {good}\n", "cannot use the signature: it must be the base64 of 64 bytes"),
        ("{good}\nxyz\n", "cannot use the signature: it must be the base64 of 64 bytes"),
    ],
)
def test_what_holds_no_good_signature_is_refused(keys, lines, said):
    private, public = keys
    text = lines.format(good=signing.sign(BODY, private), other=signing.sign(b"another", private))

    with pytest.raises(Refused, match=said):
        signing.verify(BODY, text, public)


def test_only_the_first_few_signatures_are_tried(keys):
    private, public = keys
    other, good = signing.sign(b"another", private), signing.sign(BODY, private)

    signing.verify(BODY, "\n".join([*[other] * 7, good, other]), public)
    with pytest.raises(Refused, match="not this key's"):
        signing.verify(BODY, "\n".join([*[other] * 8, good]), public)
