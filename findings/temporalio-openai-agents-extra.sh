#!/usr/bin/env bash
# temporalio 1.33.0 (PyPI), the extra `openai-agents`, and a package that it does not pull in.
#
# The extra exists to install what `temporalio.contrib.openai_agents` needs: after
# `pip install temporalio[openai-agents]`, `import temporalio.contrib.openai_agents` should work.
#
# What happens: the plugin imports a tracer provider of `temporalio.contrib.opentelemetry`, whose
# `__init__` imports `opentelemetry`; the extra `openai-agents` does not depend on it, so the import
# fails with ModuleNotFoundError. With the extra `opentelemetry` beside it, the import works.
#
# Installs the pinned package in temporary environments. Fails when the behaviour changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Prints the outcome of the import with these extras.
outcome() {
  python3 -m venv --clear "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check "temporalio[$1]==1.33.0"
  "$work/venv/bin/python" -c 'import temporalio.contrib.openai_agents; print("imported")' 2>&1 | tail -n 1 || true
}

without=$(outcome openai-agents)
with=$(outcome openai-agents,opentelemetry)
echo "temporalio[openai-agents]: $without"
echo "temporalio[openai-agents,opentelemetry]: $with"
[[ $without == "ModuleNotFoundError: No module named 'opentelemetry'" ]]
[[ $with == imported ]]
