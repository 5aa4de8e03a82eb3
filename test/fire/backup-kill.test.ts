/** `sotto backup create` and `sotto restore`, killed at any moment: a backup or a store is whole, or it is not there. */
import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fileSource } from '../../server/backup/source.ts'
import { verifyBackup } from '../../server/backup/restore/verify.ts'
import { fill, madeState } from '../backup/made.ts'
import { depth } from '../support/depth.ts'
import { TestProcess } from '../support/process.ts'
import { startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { build, type Program } from './support-crash/build.ts'

const ROUNDS = depth({ usual: 12, full: 40 })

const scratch = temporaryDirectory()
let program: Program

beforeAll(async () => {
  program = await build(join(scratch.path, 'program'))
}, 120_000)
afterAll(() => scratch[Symbol.dispose]())

/** Runs the compiled program. */
function sotto(args: readonly string[]): TestProcess {
  return new TestProcess(process.execPath, [program.cli, ...args], { env: program.env })
}

/** Runs `sotto ARGS` and kills it after so many milliseconds; resolves with whether it came to its end. */
async function killed(args: readonly string[], afterMs: number): Promise<boolean> {
  const command = sotto(args)
  const timer = setTimeout(() => command.signal('SIGKILL'), afterMs)
  const code = await command.exited
  clearTimeout(timer)
  return code === 0
}

/** How long `sotto ARGS` takes when nothing kills it, in milliseconds. */
async function timeOf(args: readonly string[]): Promise<number> {
  const start = performance.now()
  expect(await sotto(args).exited).toBe(0)
  return performance.now() - start
}

test('a backup that was killed while it was made is not there, or verifies', async () => {
  using made = madeState()
  await fill(made.state)
  const create = ['backup', 'create', '--to', made.backups, '--state-dir', made.state]
  // The first run fills the cache of compiled code.
  await timeOf(create)
  const whole = await timeOf(create)
  const verify = async (name: string): Promise<void> => {
    using keys = made.keys()
    await verifyBackup(await fileSource(join(made.backups, name)), keys)
  }
  let ended = 0
  let there: string[] = []
  for (let round = 0; round < ROUNDS; round++) {
    if (await killed(create, 50 + (whole * 1.1 * round) / ROUNDS)) ended++
    const before = new Set(there)
    there = readdirSync(made.backups).filter((name) => !name.startsWith('.'))
    for (const name of there) if (!before.has(name)) await verify(name)
    expect(there.length).toBeGreaterThanOrEqual(ended + 2)
  }
  // Nor did a later run harm an older backup.
  for (const name of there) await verify(name)
  expect(readdirSync(made.state).filter((name) => name.endsWith('.snapshot')).length).toBeLessThan(
    2,
  )
  await using service = await startService({}, { state: made.state })
  expect(await service.client().list()).toHaveLength(5)
  expect(readdirSync(made.state).filter((name) => name.endsWith('.snapshot'))).toEqual([])
})

test('a restore that was killed left no store, and the same command makes one', async () => {
  using made = madeState()
  await fill(made.state)
  const backup = await made.backUp()
  const to = join(made.path, 'restored')
  const restore = ['restore', made.pathOf(backup), '--to', to, '--key-file', made.keyFile]
  await timeOf(restore)
  rmSync(to, { recursive: true })
  const whole = await timeOf(restore)
  const found = { store: 0, none: 0 }
  for (let round = 0; round < ROUNDS; round++) {
    rmSync(to, { recursive: true, force: true })
    await killed(restore, 50 + (whole * 1.1 * round) / ROUNDS)
    const there = existsSync(join(to, 'sotto.db'))
    found[there ? 'store' : 'none']++
    // What a server says that is started on what is there, or there is nothing at all.
    const served = there || !existsSync(to) ? undefined : sotto(['server', '--state-dir', to])
    expect((await served?.exited) ?? 1).toBe(1)
    expect(served?.stderr ?? 'no such file').toMatch(/cut short|no such file/)
    expect(there ? 0 : await sotto(restore).exited).toBe(0)
    cpSync(made.keyFile, join(to, 'local.key'))
    await using service = await startService({}, { state: to })
    expect(await service.client().list()).toHaveLength(5)
  }
  expect(found.none).toBeGreaterThan(0)
})
