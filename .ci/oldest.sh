#!/usr/bin/env bash
# Runs `npm test` with the oldest Node that `engines` in package.json admits:
#   bash .ci/oldest.sh [ARGUMENT-OF-VITEST...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

(cd .ci/oldest && npm ci --ignore-scripts)
# Not by `npm test`, which puts the pinned Node in front.
export PATH=$PWD/.ci/oldest/node_modules/.bin:$PATH
echo "Node $(node --version)"
exec node node_modules/vitest/vitest.mjs run --config test/vitest.config.ts "$@"
