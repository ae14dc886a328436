#!/usr/bin/env bash
# temporalio-client 1.1.1 (Rust) and the crates that call it: each crate that awaits
# `Connection::connect` compiles Temporal's gRPC clients again.
#
# `Connection::connect` is an async fn. The compiler generates the code of an async fn's future in the
# crate that first needs it, not in the crate that declares it, and this future reaches the tower of
# boxed services behind Workflow, Operator, Cloud, Test and Health services, about 220 methods. A
# workspace of several programs and tests pays for all of them in each crate.
#
# What happens: two crates of one function each, which box the future, have libraries of megabytes of
# machine code. A third crate, which calls the function of the first one, has the same signature and a
# library of a few kilobytes. So the remedy is one crate that boxes the future for all others.
#
# Builds the pinned packages in a temporary directory, without optimisation (about five minutes on two
# cores); makes no connection. Fails when the behaviour changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >Cargo.toml <<'TOML'
[workspace]
members = ["first", "second", "caller"]
resolver = "3"

[profile.dev]
debug = false
incremental = false
TOML

crate() { # name, dependency, function body
  mkdir -p "$1/src"
  cat >"$1/Cargo.toml" <<TOML
[package]
name = "$1"
version = "0.0.0"
edition = "2024"

[dependencies]
temporalio-client = { version = "=1.1.1", features = ["core-based-sdk", "vendored-protox"] }
$2
TOML
  cat >"$1/src/lib.rs" <<RUST
use std::{future::Future, pin::Pin};
use temporalio_client::{Connection, ConnectionOptions, errors::ClientConnectError};

pub type Connecting = Pin<Box<dyn Future<Output = Result<Connection, ClientConnectError>> + Send>>;

pub fn connect(options: ConnectionOptions) -> Connecting {
    $3
}
RUST
}
crate first "" "Box::pin(Connection::connect(options))"
crate second "" "Box::pin(Connection::connect(options))"
crate caller 'first = { path = "../first" }' "first::connect(options)"

export CARGO_TARGET_DIR="$work/target"
unset CARGO_BUILD_TARGET
cargo build --quiet

version=$(cargo tree --package first --depth 1 --prefix none | grep '^temporalio-client ' | cut -d' ' -f2)
size() { stat --format=%s "target/debug/lib$1.rlib"; }
first=$(size first) second=$(size second) caller=$(size caller)
echo "temporalio-client $version, $(rustc --version | cut -d' ' -f1-2)"
printf 'boxes the future itself:  first  %10d bytes\n' "$first"
printf 'boxes the future itself:  second %10d bytes\n' "$second"
printf 'calls the function of first:     %10d bytes\n' "$caller"
if ((first > 100 * caller && second > 100 * caller)); then
  echo "as described: the code is generated once per crate that awaits the future"
else
  echo "CHANGED: the code is no longer generated in each crate"
  exit 1
fi
