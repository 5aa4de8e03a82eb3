// oxlint-disable vitest/valid-title, vitest/valid-describe-callback, vitest/no-disabled-tests, vitest/no-conditional-tests -- title and body come from the tests that call describeWith
/** Programs of others that tests run against, installed by `npm run peers` or found on the machine. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, test } from 'vitest'

const top = new URL('../..', import.meta.url).pathname
const interop = join(top, 'test/interop/go')
const tailnet = join(top, 'test/tailnet/go')
const externalSecrets = join(top, 'test/interop/external-secrets')
const compose = join(top, 'test/interop/compose')
const kubernetes = join(top, 'test/interop/kubernetes')
const cluster = join(top, 'test/interop/cluster')

/** A released program, and the files that it is made from. */
interface InstalledPeer {
  readonly sources: readonly string[]
  /** Where it is below `.peers`. Default: `bin`. */
  readonly folder?: string
}

/** Every peer: those that `npm run peers` installs, and null for what the machine has. */
const peers = {
  /** The command line of setec. */
  setec: { sources: [join(interop, 'go.mod')] },
  /** The server package of setec on loopback: test/interop/go/setecd. */
  setecd: { sources: goSources(interop, 'setecd') },
  /** Compares two servers through the client package of setec: test/interop/go/same. */
  same: { sources: goSources(interop, 'same') },
  /** The tests of test/interop/go, which use the client package of setec. */
  'interop.test': { sources: goSources(interop, '.') },
  /** setec's own tests of its client, with test/interop/go/setectest in place of their server. */
  'setec-client.test': { sources: goSources(interop, 'setectest') },
  /** Copies a SQLite file as it changes. */
  litestream: { sources: [join(top, 'test/interop/released.txt')] },
  /** Decrypts files of SOPS. */
  sops: { sources: [join(top, 'test/interop/released.txt')] },
  /** The reader of Docker Compose for files of variables: test/interop/compose. */
  'compose-env': { sources: goSources(compose, '.') },
  /** The tester of APIs by their descriptions. */
  schemathesis: { sources: [join(top, 'test/interop/python/requirements.txt')] },
  /** The Python of test/interop/kms/moto_kms.py, which stands for AWS KMS. */
  'kms-python': { sources: [join(top, 'test/interop/kms/requirements.txt')] },
  /** Readers of KV engines that others wrote: hvac, and node-vault. */
  'readers-python': { sources: [join(top, 'test/interop/readers/requirements.txt')] },
  'readers-node': { sources: [join(top, 'test/interop/readers/package-lock.json')] },
  /** A PostgreSQL, and what makes its data directory. */
  postgres: { sources: [join(top, 'test/interop/postgres/package-lock.json')] },
  initdb: { sources: [join(top, 'test/interop/postgres/package-lock.json')] },
  /** A Valkey. */
  'valkey-server': { sources: [join(top, 'test/interop/valkey/requirements.txt')] },
  /** OpenBao: Transit, KV and the ways to log in. */
  bao: {
    sources: ['go.mod', 'go.sum'].map((file) => join(top, 'test/interop/openbao', file)),
  },
  /** External Secrets' providers: test/interop/external-secrets. */
  'external-secrets': { sources: goSources(externalSecrets, '.') },
  /** Kubernetes' types and rules of resources: test/interop/kubernetes. */
  kubernetes: { sources: goSources(kubernetes, '.') },
  /** An API server of Kubernetes with its etcd and its garbage collector: test/interop/cluster. */
  cluster: { sources: goSources(cluster, '.'), folder: 'cluster' },
  /** The Python of test/interop/metrics: readers of pages of metrics, of YAML and of PromQL. */
  'metrics-python': { sources: [join(top, 'test/interop/metrics/requirements.txt')] },
  /** An S3 server that keeps what it is given in a directory. */
  versitygw: {
    sources: ['go.mod', 'go.sum'].map((file) => join(top, 'test/interop/versitygw', file)),
  },
  /** The control server of a closed tailnet: test/tailnet/go/ctl. */
  ctl: { sources: goSources(tailnet, 'ctl') },
  /** The daemon of a node, and its command line. */
  tailscaled: { sources: [join(tailnet, 'go.mod')] },
  tailscale: { sources: [join(tailnet, 'go.mod')] },
  /** The control server that people run themselves. */
  headscale: { sources: [join(top, 'test/tailnet/headscale/go.mod')] },
  ip: null,
  nsenter: null,
  setpriv: null,
  unshare: null,
  curl: null,
  jq: null,
  go: null,
  'systemd-analyze': null,
  python3: null,
} as const satisfies Record<string, InstalledPeer | null>

/** The name of a peer. */
export type PeerName = keyof typeof peers

/** The path of a peer's program. Throws, saying what to install, when it is missing or outdated. */
export function requirePeer(name: PeerName): string {
  const peer: InstalledPeer | null = peers[name]
  if (peer === null) {
    const found = (process.env['PATH'] ?? '')
      .split(delimiter)
      .map((directory) => join(directory, name))
      .find((path) => existsSync(path))
    if (found === undefined) throw new Error(`${name} is not on this machine: install it`)
    return found
  }
  const path = join(top, '.peers', peer.folder ?? 'bin', name)
  if (!existsSync(path)) throw new Error(`${name} is not installed: run \`npm run peers\``)
  const made = statSync(path).mtimeMs
  if (peer.sources.some((source) => statSync(source).mtimeMs > made)) {
    throw new Error(`${name} is older than its sources: run \`npm run peers\``)
  }
  return path
}

/**
 * A suite that needs peers. When one is missing, a skipped test stands for the suite and says what to
 * install; in CI the suite is begun all the same, and fails at `requirePeer`.
 */
export function describeWith(names: readonly PeerName[], title: string, body: () => void): void {
  const missing = names.flatMap((name) => problem(name) ?? [])
  if (missing.length === 0 || process.env['CI'] === 'true') describe(title, body)
  else test.skip(`${title} (${missing.join('; ')})`)
}

function problem(name: PeerName): string | undefined {
  try {
    requirePeer(name)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

function goSources(module: string, folder: string): string[] {
  const files = readdirSync(join(module, folder)).filter((file) => file.endsWith('.go'))
  return [
    ...files.map((file) => join(module, folder, file)),
    join(module, 'go.mod'),
    join(module, 'go.sum'),
  ]
}
