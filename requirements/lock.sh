#!/bin/sh
# Renews the pins. --universal: one file serves every Python from 3.11 on; --no-emit-index-url: no registry address in it.
set -eu
cd "$(dirname "$0")/.."
command -v uv >/dev/null 2>&1 || { echo "lock.sh needs uv: pip install uv"; exit 1; }
compile() { uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate "$@"; }
compile pyproject.toml -o requirements/collector.txt
printf 'hatchling==1.33.0\neditables>=0.5\n' > requirements/build.in
compile pyproject.toml requirements/build.in --extra agent -o requirements/agent.txt
compile pyproject.toml --extra agent --extra dev -o requirements/dev.txt
rm requirements/build.in
