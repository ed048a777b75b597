"""Which paths of a build's root are carried into the result. Pure.

Those of the packages that were asked for, and those that the build has changed or made; less what is only of use while
building: caches, logs, documentation, the package managers' own. What a build's `files` name is always carried.
"""

import re
from collections.abc import Callable, Collection

_NEVER = re.compile(
    r"(?:proc|sys|dev|tmp|run|boot|root|work|volumes|build)(?:/|$)"
    r"|var/(?:cache|log|tmp|backups|mail|spool|run|lock|local)(?:/|$)"
    r"|var/lib/(?:apt|dpkg|ucf|pam|systemd|misc|emacsen-common|python|xml-core|sgml-base)(?:/|$)"
    r"|etc/(?:apt|dpkg|cron\.[a-z]+|rc[0-6S]\.d|init\.d|logrotate\.d|systemd|ca-certificates|update-motd\.d)(?:/|$)"
    r"|etc/(?:g?shadow|subuid|subgid)-?$|etc/(?:passwd|group)-$"
    r"|etc/(?:\.pwd\.lock|machine-id|mtab|hostname|hosts|resolv\.conf|fstab|environment|ca-certificates\.conf)$"
    r"|usr/sbin/policy-rc\.d$|etc/ld\.so\.cache$"
    r"|usr/share/(?:man|info|locale|lintian|bug|doc-base|groff|linda|bash-completion)(?:/|$)"
    r"|usr/share/doc/(?!.*/copyright$)"
    r"|usr/lib/systemd/"
    r"|usr/share/go-[0-9.]+/(?:test|(?:src|misc)/(?:.*/)?testdata)(?:/|$)"
    r"|(?:.*/)?__pycache__(?:/|$)"
    r"|.*\.(?:dpkg-(?:old|new|dist|tmp)|ucf-(?:old|dist))$"
)


def carried(owned: Collection[str], changed: Collection[str], always: Collection[str]) -> Callable[[str], bool]:
    """Return what says of a path whether it is carried.

    >>> is_carried = carried({"usr/bin/sh", "usr/share/man/man1/sh.1.gz"}, {"etc/hosts", "opt/app"}, {"opt/notes"})
    >>> list(filter(is_carried, ("usr/bin/sh", "usr/share/man/man1/sh.1.gz", "etc/hosts", "opt/app", "bin")))
    ['usr/bin/sh', 'opt/app']
    """

    def is_carried(path: str) -> bool:
        if path in always:
            return True
        return (path in owned or path in changed) and not _NEVER.match(path)

    return is_carried
