#!/usr/bin/env bash
# Measures how long `cargo xtask demo` and `cargo xtask test` take where nothing is cached: no crates,
# no Go modules, no packages of npm and pip, nothing compiled. One commit after the other, on the
# machine as it is; then the ratio of the last one to the first one.
#
#   sudo tests/first-run/cold.sh demo 0da4cf3 HEAD   # about an hour on two cores
#   sudo tests/first-run/cold.sh test HEAD           # cargo xtask test, about 40 minutes
#
# After a cold demo the same command runs again, warm, and where the commit has `cargo xtask dev`, so
# does README's first command: from Enter to the first token of the answer.
#
# Needs root, as the commands themselves do, and 15 GB in /var/tmp (TMPDIR). Debian packages that are
# installed stay installed. What each command prints is kept in the directory that is named at the end.
set -euo pipefail

usage() {
  sed --quiet '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
}
(($# >= 2)) && [[ $1 == demo || $1 == test ]] || usage
command=$1
shift
checkout=$(realpath "$(dirname "$0")/../..")
[[ $(id -u) == 0 ]] || {
  echo "error: cargo xtask $command needs root" >&2
  exit 1
}
logs=$(mktemp --directory --tmpdir="${TMPDIR:-/var/tmp}" steadfast-cold-XXXXXX)
cargo_settings=${CARGO_HOME:-$HOME/.cargo}/config.toml
npm_settings=${npm_config_userconfig:-$HOME/.npmrc}
# Where the registries are stays as it is.
go_settings=$(go env GOENV)
unset CARGO_TARGET_DIR STEADFAST_CACHE

minutes() { # seconds
  awk -v seconds="$1" 'BEGIN {printf "%.1f min", seconds / 60}'
}

# Runs a command of the commit in the present directory, with the caches of $caches.
run() { # name of the log, command
  local log=$logs/$1.log started=$SECONDS
  shift
  echo "running $* (output: $log)" >&2
  env CARGO_HOME="$caches/cargo" XDG_CACHE_HOME="$caches" GOPATH="$caches/go" GOCACHE="$caches/go-build" \
    GOENV="$go_settings" npm_config_cache="$caches/npm" npm_config_userconfig="$npm_settings" \
    PIP_CACHE_DIR="$caches/pip" "$@" >"$log" 2>&1 || {
    tail --lines=40 "$log" >&2
    echo "error: $* failed" >&2
    return 1
  }
  seconds=$((SECONDS - started))
}

declare -A cold
first=
for commit in "$@"; do
  name=$(git -C "$checkout" rev-parse --short=7 "$commit")
  first=${first:-$name}
  work=$(mktemp --directory --tmpdir="${TMPDIR:-/var/tmp}" steadfast-cold-work-XXXXXX)
  trap 'chmod --recursive u+w "$work"; rm --recursive --force "$work"' EXIT
  caches=$work/caches
  git clone --quiet "$checkout" "$work/steadfast"
  git -C "$work/steadfast" checkout --quiet "$name"
  cd "$work/steadfast"
  mkdir --parents "$caches/cargo"
  [[ ! -e $cargo_settings ]] || cp "$cargo_settings" "$caches/cargo/config.toml"

  run "$name-cold" cargo xtask "$command"
  cold[$name]=$seconds
  echo "$name: cold cargo xtask $command: $(minutes "$seconds")"
  # The minutes of each stage.
  grep --extended-regexp '^\[[0-9.]+ (s|min)\]' "$logs/$name-cold.log" | sed 's/^/  /' || true
  if [[ $command == demo ]]; then
    run "$name-warm" cargo xtask demo
    echo "$name: warm cargo xtask demo: $seconds s"
    run "$name-down" cargo xtask platform down --name demo
    if [[ -e tests/first-run/measure.py ]]; then
      run "$name-dev" python3 tests/first-run/measure.py
      grep ' warm: ' "$logs/$name-dev.log"
    fi
  fi
  cd /
  chmod --recursive u+w "$work"
  rm --recursive --force "$work"
  trap - EXIT
done
awk -v first="${cold[$first]}" -v last="${cold[$name]}" -v name="$name" -v base="$first" \
  'BEGIN {if (name != base) printf "%s to %s: %.2f\n", name, base, last / first}'
echo "what the commands printed: $logs"
