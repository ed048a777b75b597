"""Where in a run a volume can be mounted, and where nothing would work any more, or was never going to.

Pure. Here: what is true of every runtime. What one runtime brings at a path is known when a run of it is begun.
"""

_STARTED_FROM = ("/usr", "/bin", "/lib", "/lib64", "/usr/bin", "/usr/lib", "/usr/lib64")
"""A runtime's programs, and the loader and libraries that start them, are there, or in what links of those lead to."""
_FILES = ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
_LINKS = {"/var/tmp": "/tmp"}


def why_not(path: str) -> str:
    """Return why no volume can be at `path`; empty if one can, as far as is known without the runtime.

    >>> why_not("/usr"), why_not("/usr/share/data")
    ('it would hide the programs and libraries that a run is started from', '')
    >>> why_not("/etc/hosts"), why_not("/var/tmp")
    ('each run has a file there, and a volume is a directory', 'it is a link to the /tmp that each run has')
    """
    if path in _STARTED_FROM:
        return "it would hide the programs and libraries that a run is started from"
    if path.startswith(tuple(f"{file}/" for file in _FILES)) or path in _FILES:
        return "each run has a file there, and a volume is a directory"
    return f"it is a link to the {_LINKS[path]} that each run has" if path in _LINKS else ""


def elsewhere(name: str) -> str:
    """Return what to do with a volume that cannot be where it was to be."""
    return f"mount it elsewhere: without a path it is at /volumes/{name}"
