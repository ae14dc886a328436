#!/usr/bin/env bash
# agentex-sdk 0.12.0 (PyPI) and the Python versions that its metadata allows.
#
# `Requires-Python` of the core metadata (packaging.python.org, core metadata specifications) says on
# which versions a distribution works; pip uses it to choose a version. That of agentex-sdk 0.12.0 is
# `<4,>=3.11`, so pip on Python 3.11 installs it.
#
# What happens: modules of the package, that of the Temporal worker among them, import `override` from
# `typing`, which has it since Python 3.12 (docs.python.org, typing.override). On Python 3.11 these
# imports raise ImportError.
#
# Downloads the pinned wheel without its dependencies into a temporary directory and reads it. Fails
# when the behaviour changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" agentex-sdk==0.12.0
python3 - "$work"/agentex_sdk-0.12.0-*.whl <<'PY'
import ast
import sys
import zipfile

WORKER = "agentex/lib/core/temporal/workers/worker.py"


def takes_override_from_typing(source: str) -> bool:
    imports = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom))
    return any(node.module == "typing" and any(name.name == "override" for name in node.names) for node in imports)


with zipfile.ZipFile(sys.argv[1]) as wheel:
    metadata = wheel.read("agentex_sdk-0.12.0.dist-info/METADATA").decode()
    modules = {name: wheel.read(name).decode() for name in wheel.namelist() if name.endswith(".py")}
requires = next(line for line in metadata.splitlines() if line.startswith("Requires-Python:"))
affected = sorted(name for name, source in modules.items() if takes_override_from_typing(source))
print(requires)
print(f"{len(affected)} modules import override from typing, {WORKER} {'among' if WORKER in affected else 'not among'} them")
assert requires == "Requires-Python: <4,>=3.11", requires
assert WORKER in affected, affected
PY
