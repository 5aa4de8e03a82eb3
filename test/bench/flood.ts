/**
 * What a caller notices of a flood by one without rights: `npm run bench -- flood [CONNECTIONS]`. The flood is wrk's, so
 * that what is measured is not the client that floods; it needs a processor of its own, beside that of the server.
 */
import { writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startSotto, temporaryDirectory } from '../support/sotto.ts'
import { everything } from '../support/service.ts'
import { hasWrk, rateOf, serve, type Shot, timed } from './load.ts'
import { buildProgram, sottoProgram } from './servers.ts'
import { surroundings } from './surroundings.ts'

const ROUNDS = Number(process.env['ROUNDS'] ?? 3)
const SECONDS = Number(process.env['SECONDS'] ?? 10)
/** From the start of a flood to the first look: until then it only grows. */
const RISE_MS = 500
/** Between two calls of the caller that notices. */
const PAUSE_MS = 5
const connections = Number(process.argv[2] ?? 8)
const MAX_BODY = 2 * 1024 * 1024
/** The address that wrk calls from has no rules, and the other one has all. */
const tailnet = {
  nodes: {
    '127.0.0.1': { name: 'stranger', user: 'stranger@example.com' },
    '127.0.0.2': { name: 'app', user: 'app@example.com', rules: [everything] },
  },
}

const fields = `{${'"aaaa":1,'.repeat((MAX_BODY - 64) / 9)}"b":1}`
const value = `{"Name":"prod/key","Value":"${'A'.repeat(MAX_BODY - 64)}"}`
const floods: Readonly<Record<string, Shot>> = {
  'names of fields, to put': { path: '/api/put', body: fields, status: 403 },
  'names of fields, to list': { path: '/api/list', body: fields, status: 200 },
  'names of fields, to audit-query': { path: '/api/audit-query', body: fields, status: 403 },
  'one long value, to put': { path: '/api/put', body: value, status: 403 },
  'small bodies, to get': { path: '/api/get', body: '{"Name":"prod/key"}', status: 403 },
}

if (!hasWrk()) throw new Error('The bench needs wrk: on Debian, apt-get install wrk')
buildProgram()
using scratch = temporaryDirectory()
const file = join(scratch.path, 'tailnet.json')
writeFileSync(file, JSON.stringify(tailnet))
const args = ['--state-dir', join(scratch.path, 'state'), '--tailnet', file]
const server = await startSotto({ args, main: sottoProgram })
const agent = new Agent({ keepAlive: true, maxSockets: 1, localAddress: '127.0.0.2' })
await call('put', '{"Name":"prod/key","Value":"dmFsdWU="}')

const at = { connections, seconds: SECONDS, scratch: scratch.path }
console.log(
  `${availableParallelism()} processors, ${connections} connections, ${ROUNDS} rounds of ${SECONDS} s`,
)
for (let round = 0; round < ROUNDS; round++) {
  report('at rest', await waits(SECONDS / 2), '')
  for (const [what, shot] of Object.entries(floods)) {
    const flood = serve(server.url, shot, at)
    await sleep(RISE_MS)
    const noticed = await waits(SECONDS - 1)
    const rate = rateOf(await flood)
    report(
      what,
      noticed,
      `${rate.toFixed(0)} req/s, ${((rate * shot.body.length) / 1e6).toFixed(1)} MB/s`,
    )
  }
}
agent.destroy()
await server.stop()

/** How long each get of the caller takes, for so many seconds, shortest first. */
async function waits(seconds: number): Promise<number[]> {
  const times: number[] = []
  for (const end = performance.now() + seconds * 1000; performance.now() < end; ) {
    times.push(await timed(() => call('get', '{"Name":"prod/key"}')))
    await sleep(PAUSE_MS)
  }
  return times.toSorted((a, b) => a - b)
}

function report(what: string, times: readonly number[], flood: string): void {
  const part = (share: number): string =>
    `${(times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0).toFixed(1)} ms`
  const { load, sync99 } = surroundings(scratch.path)
  console.log(
    `${what}: p50 ${part(0.5)}, p99 ${part(0.99)}, most ${part(1)} of ${times.length} gets; ${flood}; load ${load.toFixed(1)}, a sync at p99 ${sync99.toFixed(1)} ms`,
  )
}

function call(method: string, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        agent,
        host: '127.0.0.1',
        port: server.port,
        path: `/api/${method}`,
        method: 'POST',
        headers: {
          'Content-Type': 'application/json',
          'Content-Length': body.length,
          'Sec-X-Tailscale-No-Browsers': 'setec',
        },
      },
      (answer) => {
        answer.resume()
        answer.on('error', reject).on('end', () => {
          if (answer.statusCode === 200) resolve()
          else reject(new Error(`${method}: ${answer.statusCode}`))
        })
      },
    )
    asked.on('error', reject)
    asked.end(body)
  })
}
