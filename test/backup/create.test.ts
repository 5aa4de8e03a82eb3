/** How a backup is made: in a thread that yields, after its record, and with one look at the target. */
import { readdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { beginning } from '../../audit/line.ts'
import type { AuditLog } from '../../audit/log.ts'
import { SottoError } from '../../client/api/errors.ts'
import { type BackupRecords, createBackup } from '../../server/backup/create.ts'
import { BackupJob } from '../../server/backup/schedule/job.ts'
import { BackupMemory } from '../../server/backup/schedule/memory.ts'
import { directoryTarget } from '../../server/backup/targets/directory.ts'
import { Keyring } from '../../server/crypto/keyring.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { openRootKey } from '../../server/crypto/root-key.ts'
import { rotateRoot } from '../../server/crypto/root-rotation.ts'
import type { Gate } from '../../server/gate/gate.ts'
import { systemCall } from '../../server/gate/system.ts'
import type { Store } from '../../server/store/contract.ts'
import { openStore } from '../../server/store/sqlite/store.ts'
import { ManualTimers } from '../audit/fixtures.ts'
import { startService } from '../support/service.ts'
import { type MadeState, madeState } from './made.ts'
import { silentLogger } from '../../server/platform/logger.ts'

let made: MadeState
let store: Store
let keyring: Keyring

beforeEach(async () => {
  made = madeState()
  await (await startService({}, { state: made.state })).server.stop()
  store = await openStore(join(made.state, 'sotto.db'))
  const { keys, wraps } = await store.keys()
  const { id } = store.identity
  const { rootKey } = await openRootKey([localKeyProvider(made.keyFile)], wraps, id)
  keyring = Keyring.open(id, rootKey, keys)
})

afterEach(async () => {
  await store.close()
  made[Symbol.dispose]()
})

/** Makes a backup; gives back the reasons with which it was abandoned, and its outcome. */
async function create(announce: BackupRecords['announce'], signal = new AbortController().signal) {
  const abandoned: string[] = []
  const outcome = await createBackup({
    store,
    keyring,
    target: directoryTarget(made.backups),
    auditDirectory: join(made.state, 'audit'),
    logHead: () => beginning,
    records: { announce, abandon: async (reason) => void abandoned.push(reason) },
    signal,
  }).catch((error: unknown) => error)
  return { abandoned, outcome }
}

const left = (): string[] => [
  ...readdirSync(made.backups),
  ...readdirSync(made.state).filter((name) => name.endsWith('.snapshot')),
]

test('A5: a backup whose root key was rotated while it was made is not made, and leaves nothing', async () => {
  const stored = await store.keys()
  const { id } = store.identity
  const { rootKey } = await openRootKey([localKeyProvider(made.keyFile)], stored.wraps, id)
  const { abandoned, outcome } = await create(async () => {
    keyring.adopt(rotateRoot(id, rootKey, stored).keyring)
  })
  expect(outcome).toMatchObject({ code: 'conflict' })
  expect(abandoned).toEqual([expect.stringContaining('the root key was rotated meanwhile')])
  expect(left()).toEqual([])
})

test('a run of the job lists its target once', async () => {
  const target = directoryTarget(made.backups)
  let lists = 0
  const clock = { now: Date.UTC(2026, 0, 1) }
  const timers = new ManualTimers()
  const job = new BackupJob({
    store,
    keyring,
    // The gate has tests of its own.
    gate: {
      operate: async () => ({
        backups: () => ({
          announce: async () => {},
          abandon: async () => {},
          prune: (_: string, remove: () => Promise<void>) => remove(),
        }),
      }),
    } as unknown as Gate,
    log: { head: beginning } as AuditLog,
    auditDirectory: join(made.state, 'audit'),
    target: { ...target, list: () => (lists++, target.list()) },
    keep: { last: 1, daily: 0, weekly: 0, monthly: 0 },
    memory: await BackupMemory.open(join(made.state, 'backups.json'), target.description, timers),
    clock: () => new Date(clock.now),
    timers,
    adoption: { adopted: () => true, start: { number: 1, record: `1 ${'0'.repeat(64)}` } },
    logger: silentLogger,
  })
  const run = async (): Promise<string> => {
    job.want()
    clock.now += 24 * 3600 * 1000
    const { signal } = new AbortController()
    return job.job().run({ call: systemCall('backup', []), signal })
  }
  expect(await run()).not.toContain('deleted')
  expect(lists).toBe(1)
  // The second follows the first, which stays until another one follows the second.
  expect(await run()).not.toContain('deleted')
  expect(await run()).toContain('; 1 deleted that were not to be kept')
  expect(lists).toBe(3)
  expect(readdirSync(made.backups)).toEqual([
    expect.stringContaining('sotto-20260103T'),
    expect.stringContaining('sotto-20260104T'),
    expect.stringContaining('sotto-target-'),
  ])
})

test('what is broken off leaves nothing, and rejects with the reason', async () => {
  const stop = new AbortController()
  const reason = new SottoError('shutting_down', 'the server stops')
  const { abandoned, outcome } = await create(async () => stop.abort(reason), stop.signal)
  expect(outcome).toBe(reason)
  expect(abandoned).toEqual(['the server stops'])
  expect(left()).toEqual([])
})

test('nothing is written before the record, nor without it', async () => {
  let seen: string[] | undefined
  const refusal = new SottoError('audit_unavailable', 'the disk is full')
  const { abandoned, outcome } = await create(async () => {
    seen = readdirSync(made.backups)
    throw refusal
  })
  expect(seen).toEqual([])
  expect(outcome).toBe(refusal)
  expect(abandoned).toEqual([])
  expect(left()).toEqual([])
})

test('a failure in the thread keeps its name, and the record is closed', async () => {
  const { abandoned, outcome } = await create(async () =>
    renameSync(made.backups, `${made.backups}.away`),
  )
  renameSync(`${made.backups}.away`, made.backups)
  expect(outcome).toMatchObject({
    code: 'target_unavailable',
    message: expect.stringContaining('there is no such directory'),
    hint: expect.stringContaining('mounted'),
  })
  expect(abandoned).toEqual([(outcome as Error).message])
  expect(left()).toEqual([])
})

test.runIf(process.platform === 'linux')('the thread yields to those that serve', async () => {
  const nices = (): number[] =>
    readdirSync('/proc/self/task').map((id) =>
      Number(readFileSync(`/proc/self/task/${id}/stat`, 'utf8').split(') ')[1]?.split(' ')[16]),
    )
  const own = Math.min(...nices())
  let during: number[] = []
  await create(async () => void (during = nices()))
  expect(during).toContain(own)
  expect(Math.max(...during)).toBe(Math.min(own + 10, 19))
})
