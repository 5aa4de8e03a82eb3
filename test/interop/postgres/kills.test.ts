/** Rotations of two logins while server and database are killed at moments that a seed chooses. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Client } from '../../../client/client.ts'
import { Random } from '../../fire/support-crash/random.ts'
import { statusOf } from '../../rotation/support.ts'
import { depth } from '../../support/depth.ts'
import { describeWith } from '../../support/peers.ts'
import { logIn, startPostgres } from '../../support/postgres.ts'
import { bytes } from '../../support/service.ts'
import { type Running, startSotto, temporaryDirectory } from '../../support/sotto.ts'
import { ADMIN, first, pairConfig, setUpPair } from './setup.ts'
import type { Spec } from '../../rotation/support.ts'

const rounds = depth({ usual: 8, full: 200 })
/** A kill comes within so many milliseconds from when a run was begun: longer than a run takes. */
const KILL_WITHIN_MS = 600
/** How long a run may take to its end from when both are well: it rests at most twice in between, for 10 s and 20 s. */
const END_MS = 300_000

describeWith(['postgres', 'initdb'], 'rotations under fire', () => {
  test(`${rounds} kills of the server or the database: one candidate at most, and the active version works`, async () => {
    const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9))
    const random = new Random(seed)
    await using undo = new AsyncDisposableStack()
    const scratch = undo.use(temporaryDirectory())
    const postgres = undo.use(await startPostgres())
    await setUpPair(postgres)
    const args = ['--state-dir', scratch.path, '--rotation-target', postgres.server]
    let server: Running = await startSotto({ args })
    undo.defer(() => server.kill())
    const client = (): Client => new Client({ server: server.url })
    await client().put('prod/db', bytes(first))
    await client().put('rotation/admin', bytes(ADMIN))
    const Config = pairConfig(postgres, { deleteOld: true }) as Spec['Config']
    await client().operate('rotation-create', { Name: 'db', Config })

    let held: Awaited<ReturnType<Client['get']>> | undefined
    /** The active version logs in, and there is one other at most: the candidate, or the one before. */
    const judge = async (): Promise<number> => {
      // As a program that holds one version, and exchanges it: runs wait for it.
      const program = new Client({ server: server.url, label: 'judge' })
      held = held
        ? ((await program.getIfChanged('prod/db', held.Version)) ?? held)
        : await program.get('prod/db')
      const { username, password } = JSON.parse(Buffer.from(held.Value).toString())
      const role = await logIn(postgres.port, username, password).catch(String)
      const { Versions, ActiveVersion } = await client().info('prod/db')
      const told = { seed, Versions, ActiveVersion, role }
      expect(told).toEqual({ ...told, role: 'app' })
      expect([told, Versions.length <= 2]).toEqual([told, true])
      return Versions.length
    }
    const step = async () => (await statusOf({ client }, 'db')).Step
    let [runs, resumed] = [0, 0]
    for (let round = 0; round < rounds; round++) {
      if (['idle', 'done'].includes(await step())) {
        await client().operate('rotation-run', { Name: 'db' })
        runs++
      } else resumed++
      await sleep(random.below(KILL_WITHIN_MS))
      if (random.chance(0.5)) {
        await server.kill()
        server = await startSotto({ args })
      } else {
        await postgres.kill()
        await sleep(random.below(KILL_WITHIN_MS))
        await postgres.start()
      }
      await judge()
    }
    // The test holds what it was given, too.
    const stepNow = async (): Promise<string> => {
      await judge()
      return step()
    }
    const end = { timeout: END_MS, interval: 500 }
    await expect.poll(stepNow, end).toMatch(/^(?:done|held|aborted)$/)
    // Nobody changed anything, and both are well.
    expect([seed, await step(), await judge()]).toEqual([seed, 'done', 1])
    const { Run } = await statusOf({ client }, 'db')
    expect([seed, Run]).toEqual([seed, runs])
    expect(runs + resumed).toBe(rounds)
  }, 900_000)
})
