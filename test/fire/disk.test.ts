import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { temporaryDirectory } from '../support/sotto.ts'
import { type Disk, ImageDisk, memoryDisk, noDisks } from './support-crash/disk.ts'
import { befall } from './support-crash/fault.ts'
import { type Asked, changes, harmless, Patient, ward } from './support-crash/patient.ts'
import { ServerProcess } from './support-crash/server.ts'

/** How long an answer may take on a disk that does not answer: the server's bound, and some more. */
const BOUND_MS = 7500

/** How much longer a change takes that waits for another of the same secret. */
const TURN_MS = 5000

const MIB = 1024 * 1024

const well = {
  store: 'ok',
  audit: 'ok',
  identity: 'ok',
}

/** The log cannot be written: nothing is revealed or changed, and the rest is answered. */
async function expectNoLog(patient: Patient, store: unknown = 'ok'): Promise<void> {
  const info = () => patient.ask({ method: 'info', name: ward })
  const before = await info()
  const refused = await Promise.all([
    patient.get(),
    patient.ask({ method: 'get', name: ward, version: 2 }),
    patient.ask({ method: 'put', name: ward, value: Buffer.from('three').toString('base64') }),
    ...changes.map((change) => patient.ask(change)),
  ])
  for (const answer of refused) expectRefused(answer)
  const answered = await Promise.all(
    harmless.map(([operation, from]) => patient.ask(operation, from)),
  )
  expect(answered.map(({ status }) => status)).toEqual(harmless.map(([, , status]) => status))
  for (const { ms } of answered) expect(ms).toBeLessThan(BOUND_MS)
  expect((await info()).body).toBe(before.body)
  expect(await patient.ready()).toEqual({
    status: 503,
    parts: { ...well, store, audit: 'failed' },
  })
}

/** The store cannot be written: nothing is changed, and what is read is answered. */
async function expectNoStore(patient: Patient): Promise<void> {
  const refused = await Promise.all(changes.map((change) => patient.ask(change)))
  for (const answer of refused) expectRefused(answer)
  expect((await patient.get()).status).toBe(200)
  expect(await patient.ask({ method: 'info', name: ward })).toMatchObject({
    status: 200,
    body: JSON.stringify({ Name: ward, Versions: [1, 2, 3], ActiveVersion: 1 }),
  })
  expect(await patient.ready()).toEqual({ status: 503, parts: { ...well, store: 'failed' } })
}

function expectRefused({ status, body, ms }: Asked, boundMs: number = BOUND_MS): void {
  expect([status, body]).toEqual([500, 'internal error\n'])
  expect(ms).toBeLessThan(boundMs)
}

/** It recovers by itself, and takes changes again. */
async function expectWell(patient: Patient): Promise<void> {
  await expect.poll(() => patient.ready()).toEqual({ status: 200, parts: well })
  expect(await patient.ask({ method: 'activate', name: ward, version: 2 })).toMatchObject({
    status: 200,
  })
  expect((await patient.get()).body).toContain('"Version":2')
}

/** Makes a state directory, and lets `disk` be mounted where its log is. */
async function splitState(state: string, disk: (path: string) => Disk): Promise<Disk> {
  const first = new ServerProcess({ state })
  await first.demandReady()
  await first.stop()
  const audit = join(state, 'audit')
  const segments = readdirSync(audit).map(
    (name) => [name, readFileSync(join(audit, name))] as const,
  )
  const mounted = disk(audit)
  for (const [name, bytes] of segments) writeFileSync(join(audit, name), bytes, { mode: 0o600 })
  return mounted
}

/** Asks until a get fails: the segment in use has room even when the disk has none. */
async function untilRefused(patient: Patient): Promise<void> {
  for (let count = 0; (await patient.get()).status !== 500; count++) {
    expect(count).toBeLessThan(5000)
  }
}

const without = process.env['CI'] === 'true' ? undefined : noDisks()

describe.skipIf(without !== undefined)('a disk that is full', () => {
  test('under the log: it fails closed, recovers by itself, and counts the gap', async () => {
    using stack = new DisposableStack()
    const state = join(stack.use(temporaryDirectory()).path, 'state')
    const disk = stack.use(await splitState(state, (path) => memoryDisk(path, 2 * MIB)))
    const patient = stack.use(await Patient.admit(state))
    disk.fill()
    await untilRefused(patient)
    await expectNoLog(patient)
    patient.startLoad()
    await sleep(1500)
    await expectNoLog(patient)
    disk.drain()
    await expectWell(patient)
    const { lost, counts } = await patient.autopsy('stop')
    expect(lost).toBeGreaterThanOrEqual(2 * harmless.length - 3)
    console.log({ lost, ...counts })
    expect(patient.server.stderr).toMatch(
      /audit_unavailable: Cannot write the audit log in ".*": no space is left.*ENOSPC.*Free space on the file system that holds it; the log continues by itself/,
    )
  })

  test('under the store: values are read, nothing is changed, and it recovers by itself', async () => {
    using stack = new DisposableStack()
    const state = join(stack.use(temporaryDirectory()).path, 'state')
    const disk = stack.use(memoryDisk(state, 48 * MIB))
    stack.use(await splitState(state, (path) => memoryDisk(path, 64 * MIB)))
    const patient = stack.use(await Patient.admit(state))
    disk.fill()
    await expectNoStore(patient)
    patient.startLoad()
    await sleep(1500)
    await expectNoStore(patient)
    disk.drain()
    await expectWell(patient)
    const { counts } = await patient.autopsy()
    console.log(counts)
    expect(counts.abandoned).toBeGreaterThanOrEqual(2 * changes.length)
    expect(patient.server.stderr).toMatch(
      /store_unavailable: .*disk is full.*Free space on the disk/,
    )
  })

  test('under both, a real file system: nothing that was acknowledged is lost', async () => {
    using stack = new DisposableStack()
    const { path } = stack.use(temporaryDirectory())
    const disk = stack.use(new ImageDisk(path, join(path, 'disk'), 64 * MIB))
    const patient = stack.use(await Patient.admit(join(disk.path, 'state')))
    patient.startLoad()
    await sleep(300)
    disk.fill()
    await untilRefused(patient)
    // A change that came before the log failed may have found the store's disk full.
    await expectNoLog(patient, expect.stringMatching(/^(?:ok|failed)$/))
    disk.drain()
    await expectWell(patient)
    const { lost, counts } = await patient.autopsy()
    console.log({ lost, ...counts })
  })
})

describe.skipIf(without !== undefined)('a disk that does not answer', () => {
  test('under the log: every call is answered within the bound', async () => {
    using stack = new DisposableStack()
    const { path } = stack.use(temporaryDirectory())
    const state = join(path, 'state')
    const mount = (at: string) => new ImageDisk(path, at, 16 * MIB)
    const disk = stack.use(await splitState(state, mount)) as ImageDisk
    const patient = stack.use(await Patient.admit(state))
    patient.startLoad()
    await sleep(200)
    disk.freeze()
    stack.defer(() => disk.thaw())
    await expectNoLog(patient)
    disk.thaw()
    await expectWell(patient)
    const { lost, counts } = await patient.autopsy('stop')
    console.log({ lost, ...counts })
    expect(patient.server.stderr).toMatch(/did not take it within 5000 ms.*Check the disk/)
  })

  test('under the store: values are read as ever, and changes fail within the bound', async () => {
    using stack = new DisposableStack()
    const { path } = stack.use(temporaryDirectory())
    const state = join(path, 'state')
    const disk = stack.use(new ImageDisk(path, state, 64 * MIB))
    rmSync(join(state, 'lost+found'), { recursive: true })
    chmodSync(state, 0o700)
    stack.use(await splitState(state, (at) => memoryDisk(at, 64 * MIB)))
    const patient = stack.use(await Patient.admit(state))
    await patient.get()
    patient.startLoad()
    await sleep(200)
    disk.freeze()
    stack.defer(() => disk.thaw())
    const pending = changes.map((change) => patient.ask(change))
    // What is not in memory can be read or not, but not for ever.
    const cold = [1, 2, 3].map((version) => patient.ask({ method: 'get', name: ward, version }))
    for (let at = 0; at < 200; at++) {
      const { status, ms } = await patient.get()
      expect([status, ms < 1000]).toEqual([200, true])
    }
    for (const answer of await Promise.all(pending)) expectRefused(answer, BOUND_MS + TURN_MS)
    for (const { ms } of await Promise.all(cold)) expect(ms).toBeLessThan(BOUND_MS)
    expect(await patient.ready()).toEqual({ status: 503, parts: { ...well, store: 'failed' } })
    disk.thaw()
    await expect.poll(() => patient.ready()).toMatchObject({ status: 200 })
    const { counts } = await patient.autopsy()
    console.log(counts)
    expect(patient.server.stderr).toMatch(/store_unavailable: .*did not answer within 5000 ms/)
  })
})

describe.skipIf(without !== undefined)('a disk that fails', () => {
  test('under the log: the segment is given up, and a new one goes on when the disk does', async () => {
    using stack = new DisposableStack()
    const { path } = stack.use(temporaryDirectory())
    const state = join(path, 'state')
    const patient = stack.use(await Patient.admit(state))
    patient.startLoad()
    await sleep(200)
    const audit = join(state, 'audit')
    const segments = readdirSync(audit)
    const fault = await befall(patient.server.serverPid, {
      // A new segment fails in the sync of its name.
      paths: [audit, ...segments.map((name) => join(audit, name))],
      calls: ['pwrite64', 'fsync'],
      what: 'error=EIO',
    })
    await untilRefused(patient)
    await expectNoLog(patient)
    await fault.mend()
    await expectWell(patient)
    const { lost, counts } = await patient.autopsy('stop')
    console.log({ lost, ...counts })
    expect(readdirSync(audit).length).toBeGreaterThan(segments.length)
    expect(patient.server.stderr).toMatch(/audit_unavailable: .*its disk failed.*Check the disk/)
  })

  test('under the store: a commit whose sync failed is made or not, and the log says which', async () => {
    using stack = new DisposableStack()
    const { path } = stack.use(temporaryDirectory())
    const state = join(path, 'state')
    const patient = stack.use(await Patient.admit(state))
    patient.startLoad()
    await sleep(200)
    const fault = await befall(patient.server.serverPid, {
      paths: [join(state, 'sotto.db-wal')],
      calls: ['fsync', 'fdatasync'],
      what: 'error=EIO',
    })
    await expectNoStore(patient)
    await sleep(500)
    await expectNoStore(patient)
    await fault.mend()
    await expectWell(patient)
    const { counts } = await patient.autopsy()
    console.log(counts)
    expect(counts.abandoned).toBeGreaterThanOrEqual(2 * changes.length)
    expect(patient.server.stderr).toMatch(/store_unavailable: .*the disk failed.*system log/)
  })
})

describe.skipIf(without !== undefined)('a disk that is slow', () => {
  const DELAY_MS = 600

  test('under the store: gets of other secrets go on as if it were not', async () => {
    using stack = new DisposableStack()
    const { path } = stack.use(temporaryDirectory())
    const state = join(path, 'state')
    const patient = stack.use(await Patient.admit(state))
    await using fault = await befall(patient.server.serverPid, {
      paths: [join(state, 'sotto.db-wal')],
      calls: ['fsync', 'fdatasync'],
      what: `delay_enter=${DELAY_MS * 1000}`,
    })
    const commits: Promise<Asked>[] = []
    const reads: number[] = []
    const ending = new AbortController()
    const write = async (name: string) => {
      for (let at = 0; at < 4; at++) {
        const value = Buffer.from(`${name} ${at}`).toString('base64')
        commits.push(patient.ask({ method: 'put', name, value }))
        await commits.at(-1)
      }
    }
    const read = async () => {
      while (!ending.signal.aborted) {
        const { status, ms } = await patient.get()
        expect(status).toBe(200)
        reads.push(ms)
      }
    }
    const readers = [1, 2, 3, 4].map(() => read())
    await Promise.all(['slow/a', 'slow/b', 'slow/c'].map((name) => write(name)))
    ending.abort()
    await Promise.all(readers)
    await fault.mend()
    const slow = await Promise.all(commits)
    for (const { status } of slow) expect(status).toBe(200)
    const sorted = reads.toSorted((a, b) => a - b)
    const [median, late, most] = [0.5, 0.99, 1].map(
      (share) => sorted[Math.ceil(sorted.length * share) - 1] ?? 0,
    )
    const commit = Math.min(...slow.map(({ ms }) => ms))
    console.log({ reads: reads.length, median, late, most, commit })
    expect(commit).toBeGreaterThan(DELAY_MS)
    expect(reads.length).toBeGreaterThan(100)
    expect(late).toBeLessThan(DELAY_MS / 2)
    await patient.autopsy()
  })

  test('under the log: calls that wait together share a write, and none waits for long', async () => {
    using stack = new DisposableStack()
    const { path } = stack.use(temporaryDirectory())
    const state = join(path, 'state')
    const patient = stack.use(await Patient.admit(state))
    const audit = join(state, 'audit')
    await using fault = await befall(patient.server.serverPid, {
      paths: readdirSync(audit).map((name) => join(audit, name)),
      calls: ['pwrite64'],
      what: `delay_exit=${DELAY_MS * 1000}`,
    })
    const began = performance.now()
    const answers = await Promise.all(Array.from({ length: 100 }, () => patient.get()))
    for (const { status } of answers) expect(status).toBe(200)
    const all = performance.now() - began
    console.log({ all })
    expect(all).toBeGreaterThan(DELAY_MS)
    expect(all).toBeLessThan(5 * DELAY_MS)
    expect(await patient.ready()).toMatchObject({ status: 200 })
    await fault.mend()
    await patient.autopsy()
  })
})

describe.skipIf(without !== undefined)('a directory without permission', () => {
  // Root may write everywhere; without these capabilities it is a user like any other.
  const plain = ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--']

  test.each([
    [
      'the log that cannot be written',
      'audit',
      0o500,
      /audit log in ".*audit": .*EACCES|audit log in ".*audit": .*permission/,
    ],
    [
      'the log that cannot be read',
      'audit',
      0o000,
      /audit log in ".*audit": .*EACCES|audit log in ".*audit": .*permission/,
    ],
    ['the state directory', '', 0o500, /Cannot lock ".*": .*(?:EACCES|permission|may not)/],
  ])(
    '%s: the start is refused, says why, and changes nothing',
    async (_, folder, mode, message) => {
      using stack = new DisposableStack()
      const { path } = stack.use(temporaryDirectory())
      const state = join(path, 'state')
      const healthy = stack.use(await Patient.admit(state, plain))
      await healthy.autopsy()
      const before = filesIn(state)
      chmodSync(join(state, folder), mode)
      stack.defer(() => chmodSync(join(state, folder), 0o700))
      const server = new ServerProcess({ state, under: plain })
      expect(await server.ready).toBeUndefined()
      await server.exited
      expect(server.child.exitCode).toBeGreaterThan(0)
      expect(server.stderr).toMatch(message)
      expect(server.stderr).toMatch(/^hint: /m)
      chmodSync(join(state, folder), 0o700)
      expect(filesIn(state)).toEqual(before)
      const again = new ServerProcess({ state, under: plain })
      await again.demandReady()
      expect(await again.stop()).toBe(0)
    },
  )

  test('lost while the server runs: it fails closed, and goes on when it is given back', async () => {
    using stack = new DisposableStack()
    const { path } = stack.use(temporaryDirectory())
    const state = join(path, 'state')
    const disk = stack.use(await splitState(state, (at) => memoryDisk(at, 2 * MIB)))
    const patient = stack.use(await Patient.admit(state, plain))
    // The segment that is open can be written whatever the folder's mode: only the next cannot be.
    disk.fill()
    await untilRefused(patient)
    chmodSync(disk.path, 0o500)
    disk.drain()
    await sleep(1500)
    await expectNoLog(patient)
    chmodSync(disk.path, 0o700)
    await expectWell(patient)
    await patient.autopsy('stop')
    expect(patient.server.stderr).toMatch(
      /(?:EACCES|permission|may not).*Check the disk and the folder/,
    )
  })
})

/** The names of all files below `path`. */
function filesIn(path: string): string[] {
  return readdirSync(path, { recursive: true }).map(String).toSorted()
}
