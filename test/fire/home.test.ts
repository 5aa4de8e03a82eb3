/**
 * A server whose secrets are in a real OpenBao is killed at random instants under puts. What was acknowledged
 * is there, a number that came to nothing stands in nobody's way, and nothing is left over in OpenBao.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { verifyLog } from '../../audit/verify.ts'
import { actions } from '../../client/api/types.ts'
import { Client } from '../../client/client.ts'
import { pathOf } from '../../server/backends/names.ts'
import { allow, keepElsewhere } from '../interop/backends/elsewhere.ts'
import { startOpenBao } from '../support/openbao.ts'
import { depth } from '../support/depth.ts'
import { describeWith } from '../support/peers.ts'
import { startSotto, temporaryDirectory } from '../support/sotto.ts'

const ROUNDS = depth({ usual: 12, full: 25 })
const names = ['prod/a', 'prod/b', 'team/..', 'new 1', 'new 2']

/** Versions of a secret that were acknowledged, by number. */
type Known = Map<string, Map<number, string>>

describeWith(['bao'], 'secrets in OpenBao', () => {
  test('killed under puts: what was acknowledged is there, and the next put goes on', async () => {
    using scratch = temporaryDirectory()
    await using bao = await startOpenBao()
    const tailnet = join(scratch.path, 'tailnet.json')
    const rules = [{ action: actions, secret: ['*'] }]
    const nodes = { '127.0.0.1': { name: 'root', user: 'root@example.com', rules } }
    writeFileSync(tailnet, JSON.stringify({ nodes }))
    const state = join(scratch.path, 'state')
    const backend = await allow(bao, scratch.path)
    const args = ['--state-dir', state, '--tailnet', tailnet, ...backend]
    let server = await startSotto({ args })
    await keepElsewhere(bao, server.url, '127.0.0.1')
    const known: Known = new Map(names.map((name) => [name, new Map()]))
    let burnt = 0
    for (let round = 0; round < ROUNDS; round++) {
      const stop = new AbortController()
      const writers = names.map((name) => putUntil(server.url, name, known, stop.signal))
      await pause(100 + Math.random() * 400)
      await server.kill()
      stop.abort()
      await Promise.all(writers)
      server = await startSotto({ args })
      const client = new Client({ server: server.url })
      for (const name of names) {
        const value = `after ${round}`
        // The first of all: what the crash left is not in its way.
        const version = await client.put(name, Buffer.from(value))
        const versions = known.get(name) as Map<number, string>
        burnt += version - Math.max(0, ...versions.keys()) - 1
        versions.set(version, value)
      }
      client.close()
    }
    const client = new Client({ server: server.url })
    const cleared = await client.operate('job-run', { Name: 'backends' })
    expect(cleared).toMatchObject({ LastResult: 'ok' })
    for (const [name, versions] of known) {
      const { Versions } = await client.info(name)
      expect(Versions).toEqual(expect.arrayContaining([...versions.keys()]))
      for (const [version, value] of versions) {
        const { Value } = await client.getVersion(name, version)
        expect(Buffer.from(Value).toString(), `${name} ${version}`).toBe(value)
      }
      // Versions that were not acknowledged may be there, each with its value; nothing else is.
      const path = `secret/metadata/sotto/vault/home/${pathOf(name)}?list=true`
      const { keys } = (await bao.must('GET', path)).data
      expect((keys as string[]).map(Number).toSorted((a, b) => a - b)).toEqual(Versions)
    }
    client.close()
    await server.stop()
    expect((await verifyLog(join(state, 'audit'))).damage).toBeUndefined()
    const acknowledged = [...known.values()].reduce((sum, { size }) => sum + size, 0)
    console.log({ acknowledged, burnt })
    expect(acknowledged).toBeGreaterThan(ROUNDS * names.length)
    expect(burnt).toBeGreaterThan(0)
  })
})

/** Puts values into a secret, one after another, until the server is gone. */
async function putUntil(
  url: string,
  name: string,
  known: Known,
  signal: AbortSignal,
): Promise<void> {
  const client = new Client({ server: url })
  for (let count = 0; !signal.aborted; count++) {
    const value = `${name} ${Math.random()} ${count}`
    const version = await client.put(name, Buffer.from(value)).catch(() => 0)
    if (version === 0) break
    known.get(name)?.set(version, value)
  }
  client.close()
}
