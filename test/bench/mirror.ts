/**
 * `npm run bench -- mirror [COUNT]`: what a mirror of COUNT secrets (default 10,000) in a real OpenBao on the
 * same machine takes, and what `get` notices of it. Needs wrk, and OpenBao from `npm run peers`.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { actions } from '../../client/api/types.ts'
import { Client } from '../../client/client.ts'
import { mirroredBackend } from '../support/backend-spec.ts'
import { startOpenBao } from '../support/openbao.ts'
import { startSotto, temporaryDirectory } from '../support/sotto.ts'
import { median, requestsPerSecond, type Shot } from './load.ts'

const COUNT = Number(process.argv[2] ?? 10_000)
const ROUNDS = Number(process.env['ROUNDS'] ?? 8)
const AT_ONCE = 64

/** The least that a mirror needs, and what lets it be marked. */
const policy = `path "secret/data/sotto/*" { capabilities = ["create", "read", "update"] }
path "secret/metadata/sotto/*" { capabilities = ["list", "delete"] }
path "secret/metadata/sotto/" { capabilities = ["list"] }
`

const shot: Shot = { path: '/api/get', body: '{"Name":"prod/app/key"}', status: 200 }

using scratch = temporaryDirectory()
await using bao = await startOpenBao({ storage: 'raft' })
await bao.mount('secret', 'kv', { version: '2' })
await bao.policy('mirror', policy)

const tailnet = join(scratch.path, 'tailnet.json')
const rules = [{ action: [...actions], secret: ['*'] }]
const nodes = { '127.0.0.1': { name: 'bench', user: 'bench@example.com', rules } }
writeFileSync(tailnet, JSON.stringify({ nodes }))
/** One server with a mirror, and one without, each with the same secrets. */
interface Filled {
  readonly url: string
  readonly client: Client
  stop(): Promise<unknown>
}

async function filled(name: string): Promise<Filled> {
  const running = await startSotto({
    args: [
      '--state-dir',
      join(scratch.path, name),
      '--tailnet',
      tailnet,
      '--backend-origin',
      bao.url,
    ],
  })
  const client = new Client({ server: running.url })
  const token = await bao.token({ policies: ['mirror'] })
  await client.put('backends/vault', Buffer.from(token))
  await client.put('prod/app/key', Buffer.alloc(32, 'x'))
  let next = 0
  const fill = async (): Promise<void> => {
    while (next < COUNT) {
      const mine = next++
      await client.put(`mirrored/${mine}`, Buffer.alloc(64, String(mine)))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, fill))
  return { url: running.url, client, stop: () => running.stop() }
}

const mirroring = await filled('mirroring')
const plain = await filled('plain')
const { client } = mirroring

function rate({ url }: Filled, seconds = 1): Promise<number> {
  return requestsPerSecond(url, shot, { connections: 16, seconds, scratch: scratch.path })
}

for (const server of [mirroring, plain]) await rate(server, 3)

/** Runs the mirror to its end, and resolves with the seconds that it took. */
async function synced(): Promise<number> {
  const begun = performance.now()
  let ended = await client.operate('mirror-sync', { Backend: 'vault', AcceptMount: false })
  while (ended.Running) {
    const Started = ended.LastStart ?? ''
    ended = await client.operate('job-run', { Name: 'mirror', Started })
  }
  if (ended.LastResult !== 'ok') throw new Error(ended.LastMessage ?? 'the mirror failed')
  console.error(ended.LastMessage)
  return (performance.now() - begun) / 1000
}

/** Rates of both, in adjacent runs, whose ratios are taken. */
interface Pairs {
  readonly mine: number[]
  readonly theirs: number[]
}

async function measure(pairs: Pairs): Promise<void> {
  pairs.mine.push(await rate(mirroring))
  pairs.theirs.push(await rate(plain))
}

const none: Pairs = { mine: [], theirs: [] }
const during: Pairs = { mine: [], theirs: [] }
const rest: Pairs = { mine: [], theirs: [] }
const checking: Pairs = { mine: [], theirs: [] }
const checks: number[] = []

for (let round = 0; round < ROUNDS; round++) await measure(none)

await client.operate(
  'backend-create',
  mirroredBackend(bao.url, {
    secrets: ['mirrored/*'],
    onDrift: 'report',
    onDelete: 'keep',
  }),
)
const first = synced()
for (let round = 0; round < ROUNDS; round++) await measure(during)
const firstSeconds = await first

for (let round = 0; round < ROUNDS; round++) {
  await measure(rest)
  checks.push(await synced())
  const under = synced()
  await measure(checking)
  await under
}

const cells = [
  [
    `first sync of ${COUNT} secrets, under the load of these measurements`,
    inSeconds([firstSeconds]),
  ],
  [`comparison of ${COUNT} secrets with nothing to do`, inSeconds(checks)],
  ['get before there is a mirror, to a server without', ratio(none)],
  ['get during the first sync, to a server without', ratio(during)],
  ['get with a mirror at rest, to a server without', ratio(rest)],
  ['get during a comparison that someone waits for, to a server without', ratio(checking)],
]
console.log('| what | figure |\n| --- | --- |')
for (const row of cells) console.log(`| ${row.join(' | ')} |`)
for (const server of [mirroring, plain]) {
  server.client.close()
  await server.stop()
}

function inSeconds(times: readonly number[]): string {
  return `${median(times).toFixed(1)} s`
}

function ratio({ mine, theirs }: Pairs): string {
  const ratios = mine.map((value, at) => value / (theirs[at] ?? Number.NaN))
  const rates = [median(mine), median(theirs)].map((each) => Math.round(each))
  return `${median(ratios).toFixed(2)} (${rates.join(' and ')} a second)`
}
