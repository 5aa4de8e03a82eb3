/**
 * `get` over a real tailnet, beside setec's own server on the same one:
 *
 *   npm run bench -- tailnet
 *
 * Both speak TLS with a certificate of the tailnet, ask who is calling at every request, and have the
 * record of each read on the disk before the value leaves. 64 connections, from one node and from
 * three; the servers take turns, and what counts is the ratio of two runs that follow each other.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { luaFor, median, rateIn } from '../bench/load.ts'
import { requirePeer } from '../support/peers.ts'
import { Caller } from './caller.ts'
import { type Control, controlUrl } from './control.ts'
import { nodeEnvironment } from './node.ts'
import type { Grant } from './policy.ts'
import { SottoServer } from './sotto.ts'
import { Tailnet } from './tailnet.ts'
import { until } from './until.ts'

const ROUNDS = 7
const SECONDS = 4
const CONNECTIONS = 64
const callers = ['user', 'tagged', 'guest'] as const

/** A server under load. */
interface Contestant {
  readonly name: 'sotto' | 'setec'
  readonly host: string
}

const contestants: readonly Contestant[] = [
  { name: 'sotto', host: 'server' },
  { name: 'setec', host: 'setec' },
]

await using undo = new AsyncDisposableStack()
const tailnet = await Tailnet.onControl({ devices: callers, strangers: ['setec'] })
undo.defer(() => tailnet.close())
const everything: Grant = {
  src: ['*'],
  dst: ['tag:secrets'],
  app: { [tailnet.capability]: [{ action: ['get', 'put', 'info'], secret: ['*'] }] },
}
await tailnet.control.setGrants([tailnet.grants.network, everything])
await startSetec(tailnet)
const sotto = await SottoServer.start(tailnet)
for (const { host } of contestants) await put(host)
writeFileSync(join(tailnet.underlay.directory, 'shot.lua'), luaFor(shot()))

const rates = new Map<string, number[]>()
for (let round = 0; round <= ROUNDS; round++) {
  const order = round % 2 === 0 ? contestants : contestants.toReversed()
  for (const nodes of [1, 3]) {
    for (const { name, host } of order) {
      const rate = await load(host, callers.slice(0, nodes))
      // The first round warms both up.
      if (round > 0) rates.set(`${name} ${nodes}`, [...(rates.get(`${name} ${nodes}`) ?? []), rate])
    }
  }
}
for (const nodes of [1, 3]) {
  const [ours, theirs] = contestants.map(({ name }) => rates.get(`${name} ${nodes}`) ?? [])
  if (!ours || !theirs) continue
  const ratios = ours
    .map((rate, round) => rate / (theirs[round] as number))
    .toSorted((a, b) => a - b)
  const spread = `${ratios[0]?.toFixed(2)} to ${ratios.at(-1)?.toFixed(2)}`
  console.log(
    `get, ${CONNECTIONS} connections from ${nodes} ${nodes === 1 ? 'node' : 'nodes'}: ` +
      `sotto ${median(ours).toFixed(0)}/s, setec ${median(theirs).toFixed(0)}/s, ` +
      `ratio ${median(ratios).toFixed(2)} (${spread} in ${ROUNDS} rounds of ${SECONDS} s)`,
  )
}

function shot() {
  return { path: '/api/get', body: JSON.stringify({ Name: 'bench/key' }), status: 200 }
}

/** setec's own server, which is a node itself. */
async function startSetec({ underlay, control }: Tailnet<Control>): Promise<void> {
  const key = await control.admit('setec', { tags: ['tag:secrets'] })
  const state = join(underlay.directory, 'setec')
  mkdirSync(state)
  const flags = ['--dev', '--state-dir', state, '--hostname', 'setec', '--login-server', controlUrl]
  const program = underlay.start('setec', [requirePeer('setec'), 'server', ...flags], {
    env: { ...nodeEnvironment, TS_AUTHKEY: key, TSNET_FORCE_LOGIN: '1' },
  })
  underlay.name(`setec.${control.domain}`, control.addressOf('setec'))
  await until(
    async () => (await Caller.open(underlay, 'user', target('setec'))).open,
    'setec',
    () => program.log(),
    60_000,
  )
}

function target(host: string) {
  return { name: `${host}.${tailnet.control.domain}`, port: 443, ca: tailnet.control.ca }
}

async function put(host: string): Promise<void> {
  const caller = await Caller.open(tailnet.underlay, 'user', target(host))
  const { status, body } = await caller.call('put', { Name: 'bench/key', Value: 'dmFsdWU=' })
  if (status !== 200) throw new Error(`put on ${host}: ${status} ${body}\n${sotto.log()}`)
  caller.close()
}

/** Requests a second that all `from` together are answered. */
async function load(host: string, from: readonly string[]): Promise<number> {
  const url = `https://${host}.${tailnet.control.domain}`
  const script = join(tailnet.underlay.directory, 'shot.lua')
  const each = await Promise.all(
    from.map(async (name, index) => {
      const connections = Math.floor((CONNECTIONS + index) / from.length)
      const flags = ['-t1', `-c${connections}`, `-d${SECONDS}s`, '-s', script, url]
      const { stdout } = await tailnet.underlay.run(name, ['wrk', ...flags])
      return rateIn(stdout, url)
    }),
  )
  return each.reduce((sum, rate) => sum + rate, 0)
}
