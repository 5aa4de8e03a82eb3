/** A server that backs up to a real S3 server: its jobs, what it tells, and a restore from there. */
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import type { BackupsConfig } from '../../server/config/backups.ts'
import { s3Target } from '../../server/backup/targets/s3.ts'
import { ManualTimers } from '../audit/fixtures.ts'
import { type FaultyS3, startFaultyS3 } from '../support/faulty-s3.ts'
import { describeWith } from '../support/peers.ts'
import { S3_REGION, type S3Server, startS3 } from '../support/s3.ts'
import { bytes, type Service, startService } from '../support/service.ts'
import { runSotto, temporaryDirectory } from '../support/sotto.ts'

const DAY_MS = 24 * 3600 * 1000
const MINUTE_MS = 60_000

describeWith(['versitygw'], 'a server that backs up to S3', () => {
  let s3: S3Server
  let proxy: FaultyS3
  let scratch: ReturnType<typeof temporaryDirectory>
  let timers: ManualTimers

  beforeAll(async () => {
    s3 = await startS3()
  })
  afterAll(() => s3[Symbol.asyncDispose]())
  beforeEach(async () => {
    for (const [name, value] of Object.entries(s3.owner)) vi.stubEnv(name, value)
    proxy = await startFaultyS3(s3.url)
    scratch = temporaryDirectory()
    timers = new ManualTimers()
  })
  afterEach(async () => {
    vi.unstubAllEnvs()
    await proxy[Symbol.asyncDispose]()
    scratch[Symbol.dispose]()
  })

  const placeOf = (bucket: string) =>
    ({ kind: 's3', bucket, prefix: 'sotto', region: S3_REGION, endpoint: proxy.url }) as const

  function serve(bucket: string, given: Partial<BackupsConfig> = {}): Promise<Service> {
    const backups: BackupsConfig = {
      place: placeOf(bucket),
      keep: undefined,
      rehearsal: { everyMs: DAY_MS, directory: undefined },
      ...given,
    }
    return startService({ timers }, { state: join(scratch.path, 'state'), backups })
  }

  /** Without the mark of the target. */
  const backupsIn = async (bucket: string) =>
    (await s3Target(placeOf(bucket)).list()).filter(({ name }) => name.endsWith('.backup'))

  const rehearse = (service: Service) => service.client().operate('job-run', { Name: 'rehearsal' })

  test('makes and proves them there, and the store comes back from there', async () => {
    const bucket = await s3.bucket()
    await using service = await serve(bucket)
    await service.client().put('prod/a', bytes('first'))
    await service.client().put('prod/a', bytes('second'))
    expect(await service.client().operate('backup-create', {})).toMatchObject({
      LastResult: 'ok',
      LastMessage: expect.stringContaining('secrets: 1; values: 2'),
    })
    expect(await rehearse(service)).toMatchObject({
      LastResult: 'ok',
      LastMessage: expect.stringContaining('all of its 2 values opened'),
    })
    const [found] = await backupsIn(bucket)
    await service.server.stop()

    const key = join(scratch.path, 'local.key')
    copyFileSync(join(scratch.path, 'state/local.key'), key)
    const where = `s3://${bucket}/sotto`
    const env = {
      ...definedIn(s3.owner),
      SOTTO_BACKUP_ENDPOINT: proxy.url,
      SOTTO_BACKUP_BUCKET_REGION: S3_REGION,
    }
    const listed = await runSotto(['backup', 'list', where], { env })
    expect(listed.stdout).toMatch(new RegExp(`${found?.name} .* whole\\n$`))
    const named = `${where}/${found?.name}`
    const verified = await runSotto(['backup', 'verify', named, '--key-file', key], { env })
    expect(verified.stdout).toMatch(/^Verifies: +yes\n/)
    const to = join(scratch.path, 'restored')
    const restored = await runSotto(['restore', named, '--to', to, '--key-file', key], { env })
    expect(restored, restored.stderr).toMatchObject({ code: 0 })
    copyFileSync(key, join(to, 'local.key'))
    await using again = await startService({}, { state: to })
    expect(Buffer.from((await again.client().get('prod/a')).Value).toString()).toBe('first')
  })

  test('tells a failure of each kind, keeps no half backup, serves on, and makes it up', async () => {
    const bucket = await s3.bucket()
    await using service = await serve(bucket)
    const create = () => service.client().operate('backup-create', {})
    const ready = async () => (await fetch(`${service.url}/readyz`)).json()
    expect(await create()).toMatchObject({ LastResult: 'ok' })
    await service.client().put('prod/a', bytes('value'))

    proxy.fail({ kind: 'reset' }, 3, 'PutObject')
    expect(await create()).toMatchObject({
      LastResult: 'failed',
      LastMessage: expect.stringMatching(/S3 could not be reached \((?:ECONNRESET|EPIPE)\)$/),
    })
    expect(await ready()).toMatchObject({ store: 'ok', backup: 'failed' })
    expect(await backupsIn(bucket)).toHaveLength(1)
    const [last] = service.records().filter(({ kind }) => kind === 'abandoned')
    expect(last).toMatchObject({ reason: expect.stringContaining('could not be reached') })

    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'not-the-secret')
    expect((await create()).LastMessage).toMatch(/the credentials were refused/)
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', s3.owner['AWS_SECRET_ACCESS_KEY'])

    expect(await create()).toMatchObject({ LastResult: 'ok' })
    expect(await ready()).toMatchObject({ backup: 'ok' })
    expect(await backupsIn(bucket)).toHaveLength(2)

    // What is inside is looked at first, then the head, each by itself.
    proxy.fail({ kind: 'cut' }, 1, 'GetObject', 2)
    expect(await rehearse(service)).toMatchObject({
      LastResult: 'failed',
      LastMessage: expect.stringMatching(/ECONNRESET\) after \d+ of \d+ bytes$/),
    })
    expect(await ready()).toMatchObject({ rehearsal: 'failed' })
    expect(await rehearse(service)).toMatchObject({ LastResult: 'ok' })
    for (const secret of s3.secrets) expect(service.said.join('\n')).not.toContain(secret)
  })

  test('leaves what an object lock keeps, and goes on making backups', async () => {
    const bucket = await s3.bucket({ locks: true })
    await using service = await serve(bucket, {
      place: { ...placeOf(bucket), lock: { mode: 'COMPLIANCE', days: 1 } },
      keep: { last: 1, daily: 0, weekly: 0, monthly: 0 },
    })
    for (const value of ['1', '2', '3', '4']) {
      await service.client().put('prod/a', bytes(value))
      const made = await service.client().operate('backup-create', {})
      expect(made).toMatchObject({ LastResult: 'ok' })
      timers.advance(MINUTE_MS)
    }
    expect(await backupsIn(bucket)).toHaveLength(4)
    expect(service.said.join('\n')).not.toContain('not deleted')
    const { Backup } = await service.client().operate('backup-status', {})
    expect(Backup?.LastResult).toBe('ok')
    // The first refusal was enough for an hour.
    const tried = proxy.calls.filter(({ operation }) => operation === 'GetObjectRetention')
    expect(tried).toHaveLength(1)
  })
})

function definedIn(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}
