#!/bin/bash
# Builds OpenJDK 21 from the packages of Debian 13, whatever release of Debian or Ubuntu the host is.
# Runs in a throw-away copy of the host: apt has directories of its own here, and checks the archive's signature.
set -euo pipefail

: "${RUNTIME_NAME:?is set by the build}"
target=/opt/joblet/runtimes/$RUNTIME_NAME
root=$target/isolated
work=$(mktemp -d)
keys=/usr/share/keyrings/debian-archive-keyring.gpg
release=trixie
# The last three are of libraries that the JDK opens late: a runtime is whole, or it is not healthy.
wanted="openjdk-21-jdk-headless ca-certificates-java bash coreutils findutils grep sed libharfbuzz0b libfreetype6 libasound2t64"

fail() {
    echo "$*" >&2
    exit 1
}
command -v apt-get > /dev/null || fail "there is no apt on this host: OpenJDK 21 is made of Debian's packages"
[ -r "$keys" ] || fail "$keys is missing: apt-get install debian-archive-keyring"

mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2> /dev/null | head -n 1) || true
[ -n "$mirror" ] || fail "no mirror of Debian is in /etc/apt/sources.list or /etc/apt/sources.list.d: name one there"
echo "deb [signed-by=$keys] $mirror $release main" > "$work/sources.list"
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
: > "$work/status"
apt() {
    DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -qq -y \
        -o Dir::State="$work/state" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" \
        -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root \
        -o APT::Install-Recommends=false -o Acquire::Languages=none -o Acquire::Retries=3 -o Debug::NoLocking=true "$@"
}
apt -o APT::Update::Error-Mode=any update
# shellcheck disable=SC2086
apt --download-only install $wanted

mkdir -p "$root/etc"
for directory in bin lib lib64 sbin; do
    mkdir -p "$root/usr/$directory"
    ln -s "usr/$directory" "$root/$directory"
done
for package in "$work"/cache/archives/*.deb; do
    basename "$package"
    dpkg-deb --fsys-tarfile "$package" | tar --directory "$root" --keep-directory-symlink --no-same-owner --extract \
        --exclude './usr/share/doc/*' --exclude './usr/share/man/*' --exclude './usr/share/locale/*'
done

# What the packages' own scripts would do, had they been configured: commands in PATH, certificates in Java's store.
java=$(cd "$root" && echo usr/lib/jvm/java-21-openjdk-*)
for command in "$root/$java"/bin/*; do
    ln -sf "/$java/bin/$(basename "$command")" "$root/usr/bin/"
done
ln -sf bash "$root/usr/bin/sh"
mkdir -p "$root/etc/ssl/certs/java"
cat "$root"/usr/share/ca-certificates/mozilla/*.crt > "$root/etc/ssl/certs/ca-certificates.crt"
in_tree() { # there is no /proc in the tree, in which programs look where they are
    chroot "$root" env LD_LIBRARY_PATH="/$java/lib" "/$java/bin/$1" "${@:2}"
}
(cd "$root" && printf '+/%s\n' usr/share/ca-certificates/mozilla/*.crt) |
    in_tree java -Xmx64m -jar /usr/share/ca-certificates-java/ca-certificates-java.jar -storepass changeit \
    > "$work/certificates"
echo "$(wc -l < "$work/certificates") certificates"
in_tree java -version

cat > "$target/runtime.yml" << END
name: $RUNTIME_NAME
version: "${RUNTIME_VERSION:-1.0.0}"
description: OpenJDK 21 with its compiler and virtual threads
mounts:
  - {source: isolated/usr/bin, target: /bin, readonly: true}
  - {source: isolated/usr/lib, target: /lib, readonly: true}
  - {source: isolated/usr/lib64, target: /lib64, readonly: true}
  - {source: isolated/usr, target: /usr, readonly: true}
  - {source: isolated/etc, target: /etc, readonly: true}
environment:
  JAVA_HOME: /$java
  PATH: /usr/bin:/bin
requirements: {min_memory: 128MB, recommended_memory: 1GB}
END
