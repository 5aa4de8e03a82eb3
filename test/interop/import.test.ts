/**
 * `sotto import setec` from a real setec server: killed twice at random instants, run again, and then
 * setec's own client reads the same from both.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Client } from '../../client/client.ts'
import { describeWith, requirePeer } from '../support/peers.ts'
import { depth } from '../support/depth.ts'
import { TestProcess } from '../support/process.ts'
import { recordsIn } from '../support/service.ts'
import { cli, type Running, runSotto, startSotto, temporaryDirectory } from '../support/sotto.ts'
import { type Reference, startSetecd } from './setecd.ts'
import { app, writeTailnet } from './tailnet.ts'

const execute = promisify(execFile)

const SECRETS = depth({ usual: 250, full: 1000 })

interface Wanted {
  readonly name: string
  /** Numbers that are created, in this order. */
  readonly created: readonly number[]
  /** Those of them that are deleted again. */
  readonly deleted: readonly number[]
  readonly active: number
}

/** Every kind of history, told by the number of the secret. */
function wanted(at: number): Wanted {
  const name = `${at % 3 === 0 ? 'prod' : 'dev'}/team ${at % 7}/é-${at}`
  switch (at % 5) {
    case 0:
      return { name, created: [1], deleted: [], active: 1 }
    case 1:
      return { name, created: [1, 2, 3], deleted: [], active: 2 }
    case 2:
      return { name, created: [3, 7, 1000 + at], deleted: [], active: 7 }
    case 3:
      return { name, created: [1, 2, 3, 4], deleted: [2, 4], active: 1 }
    default:
      return { name, created: [4_294_967_295, 2], deleted: [], active: 2 }
  }
}

/** The value of a version: text, bytes, long, or empty. */
function valueOf(at: number, version: number): Buffer {
  if (at % 50 === 0) return Buffer.alloc(0)
  if (at % 50 === 1) return Buffer.alloc(20_000, at)
  return Buffer.from([...Buffer.from(`value ${at} ${version} `), 0, 255, at % 256])
}

describeWith(['setecd', 'setec', 'same'], 'an import from setec', () => {
  const directory = temporaryDirectory()
  const state = join(directory.path, 'state')
  let setecd: Reference
  let sotto: Running
  let source: Client
  let destination: Client
  const all = Array.from({ length: SECRETS }, (_, at) => wanted(at))
  const kept = all.reduce((sum, { created, deleted }) => sum + created.length - deleted.length, 0)

  beforeAll(async () => {
    const tailnet = writeTailnet(directory.path)
    setecd = await startSetecd(directory.path, tailnet)
    sotto = await startSotto({ args: ['--state-dir', state, '--tailnet', tailnet] })
    source = new Client({ server: setecd.url })
    destination = new Client({ server: sotto.url })
    const queue = all.entries()
    const fill = async () => {
      for (const [at, { name, created, deleted, active }] of queue) {
        for (const version of created) {
          await source.createVersion(name, version, valueOf(at, version))
        }
        if (created.at(-1) !== active) await source.activate(name, active)
        for (const version of deleted) await source.deleteVersion(name, version)
      }
    }
    await Promise.all([fill(), fill(), fill(), fill()])
  }, 300_000)

  afterAll(async () => {
    source.close()
    destination.close()
    await Promise.all([setecd.stop(), sotto.stop()])
    directory[Symbol.dispose]()
  })

  const args = () => ['import', 'setec', '--from', setecd.url, '-s', sotto.url]

  test('a dry run tells what there is to do and does nothing', async () => {
    const { code, stdout, stderr } = await runSotto([...args(), '--dry-run'])
    expect({ code, lines: stdout.split('\n').length }).toEqual({ code: 0, lines: SECRETS + 2 })
    expect(stderr).toContain(`Of ${SECRETS} secrets: ${SECRETS} to import.\n`)
    expect(await destination.list()).toEqual([])
  })

  test('killed twice at random instants and run again, it brings everything once', async () => {
    // In the first and in the second half of the run.
    const instants = [0.1, 0.55].map((least) => Math.floor(SECRETS * (least + Math.random() * 0.3)))
    for (const instant of instants) {
      const importing = new TestProcess(process.execPath, [cli, ...args()])
      while ((await destination.list()).length < instant) {
        if (!importing.isRunning) throw new Error(`It ended before ${instant} secrets`)
      }
      await importing.kill()
      expect(importing.child.signalCode, `killed at ${instants.join(' and ')}`).toBe('SIGKILL')
      expect((await destination.list()).length).toBeLessThan(SECRETS)
    }
    const { code, stdout, stderr } = await runSotto([...args(), '-o', 'json'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const report = JSON.parse(stdout) as { compared: number; secrets: { outcome: string }[] }
    const outcomes = new Set(report.secrets.map(({ outcome }) => outcome))
    expect(outcomes).toEqual(new Set(['there', 'imported']))
    expect(report).toMatchObject({ compared: kept, others: [], interrupted: false })
    const written = recordsIn(join(state, 'audit'))
      .filter(({ kind, action }) => kind === 'change' && action === 'create-version')
      .map(({ secret, secretVersion }) => `${String(secret)} ${String(secretVersion)}`)
    expect(written).toHaveLength(kept)
    expect(new Set(written).size).toBe(kept)
  })

  test("setec's client reads the same from both", async () => {
    const { stdout } = await execute(requirePeer('same'), [setecd.url, sotto.url])
    expect(stdout).toBe(`${SECRETS} secrets, ${kept} versions\n`)
    const list = async (url: string) => execute(requirePeer('setec'), ['-s', url, 'list'])
    expect((await list(sotto.url)).stdout).toBe((await list(setecd.url)).stdout)
  })

  test('what changes at the source comes over with the next run', async () => {
    const [first, second] = [all[0], all[1]]
    if (!first || !second) throw new Error('there are no secrets')
    await source.put(first.name, Buffer.from('new'))
    await source.activate(first.name, 2)
    await source.activate(second.name, 3)
    const { code, stdout } = await runSotto(args())
    expect(code).toBe(0)
    expect(stdout.split('\n').filter((row) => / imported /.test(row))).toHaveLength(2)
    const { stdout: same } = await execute(requirePeer('same'), [setecd.url, sotto.url])
    expect(same).toBe(`${SECRETS} secrets, ${kept + 1} versions\n`)
  })

  test('what setec denies is told by name', async () => {
    const local = ['--from-local-address', app, '--local-address', '127.0.0.1']
    await source.put('dev/unseen', Buffer.from('x'))
    const { code, stdout } = await runSotto([...args(), ...local])
    expect(code).toBe(0)
    // It sees prod/* alone.
    expect(stdout).not.toContain('dev/')
    const info = ['--from-local-address', '127.0.0.3', '--local-address', '127.0.0.1']
    const denied = await runSotto([...args(), ...info, '--only', 'dev/unseen'])
    expect(denied).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(
        /\ndev\/unseen FAILED At the source: Cannot get version 1 of "dev\/unseen": access denied\n$/,
      ) as string,
    })
  })

  test('R10: names that Sotto does not give are left out, and the run ends with 0', async () => {
    const odd = ['odd/tab\there', `odd/${'n'.repeat(600)}`, 'odd/line\nend']
    for (const name of odd) await source.put(name, Buffer.from('x'))
    const whole = await runSotto([...args(), '-o', 'json'])
    expect(whole.code).toBe(1)
    const { secrets } = JSON.parse(whole.stdout) as { secrets: { name: string; outcome: string }[] }
    const failed = secrets.filter(({ outcome }) => outcome === 'failed').map(({ name }) => name)
    expect(failed.toSorted()).toEqual(odd.toSorted())
    for (const dry of [['--dry-run'], []]) {
      const without = await runSotto([...args(), ...dry, '--except', 'odd/*'])
      expect(without.code, without.stderr).toBe(0)
      expect(without.stdout.match(/ left out/g)).toHaveLength(odd.length)
    }
    for (const name of odd) await source.delete(name)
  })

  test('delete and put begin at 1 again in setec: a conflict, and nothing is lost at Sotto', async () => {
    const { name } = all[5] as Wanted
    await source.delete(name)
    await source.put(name, Buffer.from('begun again'))
    expect(await runSotto([...args(), '--only', name])).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/FAILED version 1 has another value/) as string,
    })
    expect((await destination.get(name)).Value).toEqual(valueOf(5, 1))
    await destination.delete(name)
    expect(await runSotto([...args(), '--only', name])).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/FAILED version 1 was deleted at the destination/) as string,
    })
  })
})
