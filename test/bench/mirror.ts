/**
 * `npm run bench:mirror [-- COUNT]`: what a mirror of COUNT secrets (default 10,000) in a real OpenBao on the
 * same machine takes, and what `get` notices of it. Needs wrk, and OpenBao from `npm run peers`.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { actions } from '../../client/api/types.ts'
import { Client } from '../../client/client.ts'
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
const state = join(scratch.path, 'state')
const server = await startSotto({
  args: ['--state-dir', state, '--tailnet', tailnet, '--backend-origin', bao.url],
})
const client = new Client({ server: server.url })

await client.put('backends/vault', Buffer.from(await bao.token({ policies: ['mirror'] })))
await client.put('prod/app/key', Buffer.alloc(32, 'x'))
let next = 0
async function fill(): Promise<void> {
  while (next < COUNT) {
    const mine = next++
    await client.put(`mirrored/${mine}`, Buffer.alloc(64, String(mine)))
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, fill))

const load = { connections: 16, scratch: scratch.path }
const rate = (): Promise<number> => requestsPerSecond(server.url, shot, { ...load, seconds: 1 })
await requestsPerSecond(server.url, shot, { ...load, seconds: 3 })

/** Runs the mirror to its end, and resolves with the seconds that it took. */
async function synced(): Promise<number> {
  const begun = performance.now()
  const asked = { Backend: 'vault', AcceptMount: false }
  let ended = await client.operate('mirror-sync', asked)
  while (ended.Running) {
    const Started = ended.LastStart ?? ''
    ended = await client.operate('job-run', { Name: 'mirror', Started })
  }
  if (ended.LastResult !== 'ok') throw new Error(ended.LastMessage ?? 'the mirror failed')
  console.error(ended.LastMessage)
  return (performance.now() - begun) / 1000
}

const before: number[] = []
for (let round = 0; round < ROUNDS; round++) before.push(await rate())

await client.operate('backend-create', {
  Name: 'vault',
  Type: 'openbao',
  Description: '',
  Default: false,
  Config: {
    url: bao.url,
    mount: 'secret',
    pathPrefix: 'sotto',
    tokenSecretRef: { name: 'backends/vault' },
    mirror: { secrets: ['mirrored/*'], history: 'none', onDrift: 'report', onDelete: 'keep' },
  },
})
const first = synced()
const during: number[] = []
for (let round = 0; round < ROUNDS; round++) during.push(await rate())
const firstSeconds = await first

const checks: number[] = []
const rest: number[] = []
const checking: number[] = []
for (let round = 0; round < ROUNDS; round++) {
  rest.push(await rate())
  checks.push(await synced())
  const under = synced()
  checking.push(await rate())
  await under
}

const cells = [
  [`first sync of ${COUNT} secrets, while get is under load`, `${firstSeconds.toFixed(1)} s`],
  [`comparison of ${COUNT} secrets with nothing to do`, `${median(checks).toFixed(1)} s`],
  ['get with a mirror at rest, to none', ratio(rest, before)],
  ['get during the first sync, to none', ratio(during, before)],
  ['get during a comparison, to a mirror at rest', ratio(checking, rest)],
]
console.log('| what | figure |\n| --- | --- |')
for (const row of cells) console.log(`| ${row.join(' | ')} |`)
client.close()
await server.stop()

function ratio(some: readonly number[], others: readonly number[]): string {
  const [mine, theirs] = [median(some), median(others)]
  return `${(mine / theirs).toFixed(2)} (${Math.round(mine)} : ${Math.round(theirs)} a second)`
}
