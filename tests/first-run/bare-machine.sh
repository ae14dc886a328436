#!/usr/bin/env bash
# Runs README's first command where nothing is installed but Rust, a C linker, Python 3 and pip:
# in a fresh Debian 12, as a user without rights. Prints how long it takes from the command to the
# first streamed token of the answer, cold (nothing compiled, nothing downloaded)
# and warm (the same command again), and fails if a figure is over its bound.
#
#   sudo tests/first-run/bare-machine.sh            # all
#   sudo tests/first-run/bare-machine.sh --prepare  # only makes the Debian, and shows what is in it
#
# Needs root to make the Debian (mmdebstrap) and to enter it. Of this machine it uses the Rust
# toolchain, read-only, and the settings with which apt, cargo and pip reach their registries. It
# leaves nothing behind. About 15 minutes on two cores, nearly all of them rustc's, and 10 GB in
# /var/tmp (TMPDIR).
set -euo pipefail
self=$(realpath "$0")
checkout=$(dirname "$self")/../..
cd "$checkout"
checkout=$PWD
programs=(ca-certificates gcc libc6-dev python3 python3-pip)

fail() {
  echo "error: $1" >&2
  exit 1
}
[[ $(id -u) == 0 ]] || fail "making a Debian and entering it needs root"
command -v mmdebstrap >/dev/null || fail "mmdebstrap is missing: apt-get install --yes mmdebstrap"

# Whoever called sudo has Rust and its settings.
owner=${SUDO_USER:-$(id -un)}
owner_home=$(getent passwd "$owner" | cut --delimiter=: --fields=6)
as_owner() {
  if [[ $owner == "$(id -un)" ]]; then "$@"; else sudo --user="$owner" --login --chdir="$checkout" "$@"; fi
}
toolchain=$(as_owner rustc --print sysroot) || fail "$owner has no Rust: https://rustup.rs"

if [[ ${1-} != --inside ]]; then
  # Mounts and processes end with the namespaces, whatever happens.
  root=$(mktemp --directory --tmpdir="${TMPDIR:-/var/tmp}" steadfast-bare-XXXXXX)
  trap 'rm --recursive --force --one-file-system "$root"' EXIT
  unshare --mount --pid --fork --kill-child "$self" --inside "$root" "${1-}"
  exit
fi
root=$2

echo "making a Debian 12 with ${programs[*]}, and nothing else"
# Where this machine gets the same Debian from; otherwise mmdebstrap's default.
sources=()
for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
  if [[ -s $file ]] && grep --quiet bookworm "$file"; then
    sources=("$file")
    break
  fi
done
# Not the hooks of this machine's dpkg.
apt_options=()
while IFS= read -r line; do
  apt_options+=("--aptopt=$line")
done < <(apt-config dump | grep --extended-regexp '^Acquire::(http|https)::' || true)
mmdebstrap --quiet --variant=apt "${apt_options[@]}" --include="$(IFS=,; echo "${programs[*]}")" \
  bookworm "$root" "${sources[@]}"
# The user has to pass through it.
chmod 755 "$root"
for program in go node npm docker podman cmake make protoc git; do
  ! chroot "$root" sh -c "command -v $program" || fail "the bare Debian has $program"
done

echo "adding the checkout, Rust, and the settings of this machine's registries"
home=$root/home/user
mkdir --parents "$home/steadfast" "$home/.cargo" "$root/rust"
echo 'user:x:1000:1000::/home/user:/bin/sh' >>"$root/etc/passwd"
git -c safe.directory="$checkout" ls-files -z | tar --create --null --files-from=- |
  tar --extract --directory="$home/steadfast"
for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt /etc/pip.conf; do
  if [[ -e $file ]]; then
    rm --force "$root$file"
    cp --dereference "$file" "$root$file"
  fi
done
pip=$owner_home/.config/pip/pip.conf
[[ ! -e $pip ]] || install -D "$pip" "$home/.config/pip/pip.conf"
# Of cargo's settings only those that say where crates are: the rest may name programs of this machine.
config=$owner_home/.cargo/config.toml
[[ ! -e $config ]] ||
  awk '/^\[/ {is_wanted = /^\[+(source|registries|registry|net|http)[].]/} is_wanted' "$config" >"$home/.cargo/config.toml"
chown --recursive 1000:1000 "$home"
mapfile -t settings < <(env | grep --extended-regexp '^(CARGO_(HTTP|NET|REGISTRIES|SOURCE)_|PIP_|(https?|no)_proxy=|(HTTPS?|NO)_PROXY=)' || true)
# A setting may name a file or a directory.
for setting in "${settings[@]}"; do
  path=${setting#*=}
  [[ $path == /* && -e $path && ! -e $root$path ]] || continue
  if [[ -d $path ]]; then mkdir --parents "$root$path"; else install -D /dev/null "$root$path"; fi
  mount --bind --options ro "$path" "$root$path"
done
mount --bind --options ro "$toolchain" "$root/rust"
mount --rbind /dev "$root/dev"
mount --types proc proc "$root/proc"

enter() {
  chroot --userspec=1000:1000 "$root" env --ignore-environment "${settings[@]}" \
    HOME=/home/user PATH=/rust/bin:/usr/bin:/bin LANG=C.UTF-8 "$@"
}
if [[ ${3-} == --prepare ]]; then
  enter sh -c 'id && cargo --version && cc --version | head -1 && python3 -m pip --version && ls ~/steadfast'
  exit
fi
enter python3 /home/user/steadfast/tests/first-run/measure.py
