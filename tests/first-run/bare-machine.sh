#!/usr/bin/env bash
# Runs README's first command where nothing is installed but Rust, a C linker, Python 3 and pip:
# in a fresh Debian 12, as a user without rights. Prints how long it takes from the command to the
# first streamed token of the answer, cold (nothing compiled, nothing downloaded)
# and warm (the same command again), and fails if a figure is over its bound.
#
#   sudo tests/first-run/bare-machine.sh
#
# Needs root to make the Debian (mmdebstrap) and to enter it. Of this machine it uses the Rust
# toolchain, read-only, and the settings with which cargo, pip and TLS reach their registries. It
# leaves nothing behind. About 15 minutes on two cores, nearly all of them rustc's.
set -euo pipefail
cd "$(dirname "$0")/../.."
checkout=$PWD

fail() {
  echo "error: $1" >&2
  exit 1
}
[[ $(id -u) == 0 ]] || fail "making a Debian and entering it needs root"
command -v mmdebstrap >/dev/null || fail "mmdebstrap is missing: apt-get install --yes mmdebstrap"
toolchain=$(rustc --print sysroot) || fail "Rust is missing: https://rustup.rs"

if [[ ${1-} != --inside ]]; then
  # Mounts and processes end with the namespaces, whatever happens.
  root=$(mktemp --directory /var/tmp/steadfast-bare-XXXXXX)
  trap 'rm --recursive --force --one-file-system "$root"' EXIT
  unshare --mount --pid --fork --kill-child "$0" --inside "$root"
  exit
fi
root=$2

echo "making a Debian 12 with a C linker, Python 3 and pip, and nothing else"
for sources in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
  [[ -s $sources ]] && break
done
mmdebstrap --quiet --variant=apt --include=ca-certificates,gcc,libc6-dev,python3,python3-pip \
  bookworm "$root" "$sources"
for program in go node npm docker podman cmake protoc; do
  ! chroot "$root" sh -c "command -v $program" || fail "the bare Debian has $program"
done

echo "adding the checkout, Rust, and the settings of this machine's registries"
home=$root/home/user
mkdir --parents "$home/steadfast" "$home/.cargo" "$root/rust"
git -C "$checkout" ls-files -z | tar --create --directory="$checkout" --null --files-from=- |
  tar --extract --directory="$home/steadfast"
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp --dereference /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
[[ ! -e /etc/pip.conf ]] || cp /etc/pip.conf "$root/etc/pip.conf"
[[ ! -e ${CARGO_HOME:-$HOME/.cargo}/config.toml ]] || cp "${CARGO_HOME:-$HOME/.cargo}/config.toml" "$home/.cargo/"
chown --recursive 1000:1000 "$home"
mount --bind --options ro "$toolchain" "$root/rust"
mount --rbind /dev "$root/dev"
mount --types proc proc "$root/proc"

mapfile -t settings < <(env | grep --extended-regexp '^(CARGO_(HTTP|NET|REGISTRIES|SOURCE)_|PIP_|https?_proxy=|HTTPS?_PROXY=)' || true)
chroot --userspec=1000:1000 "$root" env --ignore-environment "${settings[@]}" \
  HOME=/home/user PATH=/rust/bin:/usr/bin:/bin LANG=C.UTF-8 \
  python3 /home/user/steadfast/tests/first-run/measure.py
