"""Declared builds of Node packages, from a registry of the test's own; npm itself comes from Debian's archive.

That makes them slow: npm has some four hundred packages there. What npm is asked and given, unit tests tell without it.
"""

import shutil

import pytest

from support.declaring import a_declaring, locked, said_in
from support.node_registry import NodePackage, a_node_registry

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.elsewhere("hosts of other distributions have no apt to get npm with"),
    pytest.mark.skipif(shutil.which("apt-get") is None, reason="this host has no apt: it is no Debian"),
]
LEFT = (NodePackage("left-side", "1.2.0"), NodePackage("left-side", "1.3.0"), NodePackage("left-side", "2.0.0"))
GREETER = NodePackage("greeter", "3.1.4", {"left-side": "^1.2"}, binary=True)
NODE = {"base": {"language": "node"}}


@pytest.fixture
def declaring(building, tmp_path):
    with a_declaring(building, tmp_path) as declaring:
        yield declaring


def test_versions_are_resolved_from_the_registry_of_the_host_and_the_lock_has_their_hashes(declaring, tmp_path):
    with a_node_registry(*LEFT, GREETER) as server:
        (tmp_path / ".npmrc").write_text(f"registry={server.url}/\n//{server.url[7:]}/:_authToken=npm-secret\n")
        tree = declaring.install(NODE | {"npm": ["greeter", "left-side@1.2.0"]}, {})

    named = locked(tree, "node_packages")
    assert (named["greeter"]["version"], named["left-side"]["version"]) == ("3.1.4", "1.2.0")
    assert named["greeter"]["hash"] == GREETER.integrity
    assert named["left-side"]["hash"] == LEFT[0].integrity
    assert said_in(tree, "/usr/local/bin/greeter") == "3.1.4\n"
    assert "npm" not in locked(tree, "debian_packages")
    assert "Bearer npm-secret" in {request.headers.get("authorization", "") for request in server.requests}
    assert "npm-secret" not in declaring.log


@pytest.mark.invariant("B6")
def test_a_package_that_is_not_what_its_hash_says_fails_the_build(declaring):
    with a_node_registry(GREETER, *LEFT, lie="left-side") as server:
        said = declaring.refused(NODE | {"npm": ["greeter"]}, {"npm_config_registry": server.url})

    assert "EINTEGRITY" in said
    assert LEFT[1].integrity in said
