"""Which configuration of the host builds are given, so that their tools find the host's indexes.

System files (/etc/apt, /etc/pip.conf, certificates) are seen anyway. Here: what lies elsewhere, in variables, in root's
home and in the file that APT_CONFIG names, and what of it is a secret. Builds can read those secrets, as their tools
must; logs never show them. Never here: reading the environment (the daemon hands it in).
Invariant: a variable is passed if its name says that it is about an index, a proxy or a certificate, and not else.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from controller.runtime.build import apt_config

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
_NAMES = """
    APT_CONFIG AWS_CA_BUNDLE CURL_CA_BUNDLE GIT_SSL_CAINFO GONOPROXY GONOSUMDB GOPRIVATE GOPROXY GOSUMDB
    NODE_EXTRA_CA_CERTS PIP_CERT PIP_DEFAULT_TIMEOUT PIP_DISABLE_PIP_VERSION_CHECK PIP_EXTRA_INDEX_URL
    PIP_FIND_LINKS PIP_INDEX_URL PIP_NO_INDEX PIP_PROXY PIP_RETRIES PIP_TRUSTED_HOST REQUESTS_CA_BUNDLE SSL_CERT_DIR
    SSL_CERT_FILE
    """
_VARIABLES = frozenset(_NAMES.split()) | {name for proxy in _PROXIES for name in (proxy, proxy.upper())}
_NPM_VARIABLES = re.compile(r"(?i)npm_config_(registry|cafile|ca|strict_ssl|proxy|https_proxy|noproxy)")
_NPM_SETTING = re.compile(
    r"\s*(?:registry|@[^\s=:]+:registry|cafile|ca(?:\[\])?|strict-ssl|https?-proxy|proxy|noproxy|//\S+?)\s*="
)
_NPM_SECRET = re.compile(r"(?m)^\s*//\S+?:(?:_authToken|_auth|_password)\s*=\s*(\S+)")
_APT_SECRET = re.compile(r"\bpassword\s+(\S+)")
_URL = re.compile(r"\w+://[^\s'\"]+")
_PIP_FILES = (".config/pip/pip.conf", ".pip/pip.conf")
_SYSTEM_FILES = (
    "/etc/hosts", "/etc/npmrc", "/etc/pip.conf", "/etc/resolv.conf",
    "/etc/ssl/certs/ca-certificates.crt",
)  # fmt: skip
_HOME = "/root"


@dataclass(frozen=True, slots=True)
class HostConfig:
    """Variables, files of root's home by path inside, the system's files of the same kind, and all of their secrets.

    A `HostOverlay` shows the system's files as they are; a `TreeRoot` needs to be given those it shall have.
    """

    environment: Mapping[str, str]
    files: Mapping[str, str]
    system_files: Mapping[str, str]
    secrets: tuple[str, ...]


def look(environ: Mapping[str, str], *, home: Path = Path("/root"), base: Path = Path("/")) -> HostConfig:
    """Read what there is; what cannot be read is not there.

    Args:
        environ: the daemon's own variables.
        home: the home directory of whom the host's tools are configured for.
    """
    environment = {
        name: value for name, value in environ.items() if name in _VARIABLES or _NPM_VARIABLES.fullmatch(name)
    }
    files = {f"{_HOME}/{name}": text for name in _PIP_FILES if (text := _read(home / name))}
    if npm := _npm_settings(_read(home / ".npmrc")):
        files[f"{_HOME}/.npmrc"] = npm
    named = environment.get(apt_config.VARIABLE, "")
    if apt_text := apt_config.read(base, named):
        files[named] = apt_text
    system = {path: text for path in _SYSTEM_FILES if (text := _read(base / path.lstrip("/")))}
    texts = (*environment.values(), *files.values(), system.get("/etc/pip.conf", ""), system.get("/etc/npmrc", ""))
    places = [base / str(path).lstrip("/") for path in (Path("/etc/apt"), *apt_config.directories(apt_text))]
    logins = [path for place in places for path in (place / "auth.conf", *_listed(place / "auth.conf.d"))]
    apt = (_read(path) for path in logins)
    return HostConfig(environment, files, system, _secrets(texts, apt))


def _npm_settings(text: str) -> str:
    """Return the lines of an .npmrc that say where packages come from."""
    return "".join(f"{line}\n" for line in text.splitlines() if _NPM_SETTING.match(line))


def _secrets(texts: Iterable[str], apt: Iterable[str]) -> tuple[str, ...]:
    found = set[str]()
    for text in texts:
        found.update(_NPM_SECRET.findall(text))
        for url in _URL.findall(text):
            password = _password(url)
            found.update((password, unquote(password)))
    for text in apt:
        found.update(_APT_SECRET.findall(text))
    return tuple(sorted(found - {""}))


def _password(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []
