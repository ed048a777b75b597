"""What is in /etc of a sandbox whose runtime brings none: users, groups, and how names are found. Pure."""


def default_etc() -> dict[str, str]:
    """Return the /etc files of a sandbox that brings none of its own, but `own_etc`.

    >>> default_etc()["/etc/nsswitch.conf"].split()
    ['passwd:', 'files', 'group:', 'files', 'hosts:', 'files', 'dns']
    """
    return {
        "/etc/passwd": "root:x:0:0:root:/work:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
        "/etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    }


def own_etc(hostname: str, addresses: tuple[str, ...] = (), name_servers: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the /etc files that have the host's name in them, unless the sandbox brings its own.

    >>> own_etc("etl")["/etc/hostname"]
    'etl\\n'
    """
    own = "".join(f"{address} {hostname}\n" for address in addresses or ("127.0.1.1",))
    asked = "".join(f"nameserver {address}\n" for address in name_servers)
    return {
        "/etc/hosts": f"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{own}",
        "/etc/hostname": f"{hostname}\n",
        **({"/etc/resolv.conf": f"{asked}options timeout:2 attempts:3\n"} if asked else {}),
    }
