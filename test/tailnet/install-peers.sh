#!/usr/bin/env bash
# Installs the programs that test/tailnet makes its tailnets of, into .peers/bin at the top of the
# repository: tailscaled, tailscale and headscale as they were released, and ctl, the control server
# of test/tailnet/go. Their versions stand in test/tailnet/go/go.mod and test/tailnet/headscale/go.mod.
#
# Go leaves a program alone that is up to date, so that a run that was cut short can be repeated.
# Needs Go and a Go module proxy; a first run compiles for some minutes.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=$top/.peers/bin
mkdir -p "$bin"

# Two runs at once would compile everything twice.
if command -v flock >/dev/null; then
  exec 9>"$top/.peers/tailnet.lock"
  flock 9
fi

say() { printf 'peers: %s\n' "$*"; }

# build MODULE PACKAGE...: programs of the module in test/tailnet/MODULE, or of one that it requires.
# Not `go install PACKAGE@VERSION`: it asks the proxy for lists of versions, and headscale's refuses it.
build() {
  local module=$1
  shift
  say "building $*"
  (cd "$top/test/tailnet/$module" && go build -mod=readonly -buildvcs=false -o "$bin/" "$@")
}

build go ./ctl
build go tailscale.com/cmd/tailscaled tailscale.com/cmd/tailscale
build headscale github.com/juanfont/headscale/cmd/headscale
# test/support/peers.ts takes a program that is older than its sources for outdated.
touch "$bin"/{ctl,tailscaled,tailscale,headscale}
say "ready after ${SECONDS} s"
