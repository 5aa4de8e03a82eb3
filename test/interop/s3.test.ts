/** Backups in a real S3 server over real HTTP: the contract, and each failure's message. */
import { randomBytes } from 'node:crypto'
import { globSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import {
  CreateMultipartUploadCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
} from '@aws-sdk/client-s3'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { s3Target, type S3Options } from '../../server/backup/targets/s3.ts'
import type { S3Place } from '../../server/backup/targets/s3-place.ts'
import { backupTargetContract } from '../contract/backup-target.ts'
import type { Fault } from '../support/fault-proxy.ts'
import { type FaultyS3, startFaultyS3 } from '../support/faulty-s3.ts'
import { backupName } from '../../server/backup/name.ts'
import { describeWith } from '../support/peers.ts'
import { S3_REGION, type S3Server, type S3User, startS3 } from '../support/s3.ts'
import { credentials, type Moto, startMoto } from './kms/moto.ts'

interface IamStatement {
  readonly Action: readonly string[]
  readonly Resource: string
}

/** What IAM calls the right to each call, where that has another name. */
const actionOf: Readonly<Record<string, string>> = {
  CreateMultipartUpload: 's3:PutObject',
  UploadPart: 's3:PutObject',
  CompleteMultipartUpload: 's3:PutObject',
  PutObject: 's3:PutObject',
  HeadObject: 's3:GetObject',
  GetObject: 's3:GetObject',
  DeleteObject: 's3:DeleteObject',
  GetObjectRetention: 's3:GetObjectRetention',
  AbortMultipartUpload: 's3:AbortMultipartUpload',
  ListObjectsV2: 's3:ListBucket',
  ListMultipartUploads: 's3:ListBucketMultipartUploads',
}

const MIB = 1024 * 1024
/** The smallest parts that S3 takes. */
const PART = 5 * MIB
/** Longer than the server needs for an answer while much else runs. */
const WAIT_MS = 3000
const DAY_MS = 24 * 3600 * 1000

const named = (revision: number, storeId = '0'.repeat(32)): string =>
  backupName({ created: '2026-01-02T03:04:05.678Z', storeId, revision })

describeWith(['versitygw'], 'S3', () => {
  let s3: S3Server
  let proxy: FaultyS3
  let bucket: string
  const small = Buffer.from('a small backup')
  const large = randomBytes(2 * PART + 7)

  const as = (user: S3User): void => {
    for (const [name, value] of Object.entries(user)) vi.stubEnv(name, value)
  }

  beforeAll(async () => {
    s3 = await startS3()
  })
  afterAll(() => s3[Symbol.asyncDispose]())
  beforeEach(async () => {
    as(s3.owner)
    proxy = await startFaultyS3(s3.url)
    bucket = await s3.bucket()
  })
  afterEach(async () => {
    vi.unstubAllEnvs()
    await proxy[Symbol.asyncDispose]()
  })

  const target = (given: Partial<S3Place> = {}, options: Partial<S3Options> = {}) =>
    s3Target(
      { bucket, prefix: 'sotto', region: S3_REGION, endpoint: proxy.url, ...given },
      { waitMs: WAIT_MS, partMs: 2 * WAIT_MS, partBytes: PART, ...options },
    )

  const put = (name: string, bytes: Uint8Array, to = target()): Promise<void> =>
    to.put({ name, size: bytes.byteLength, content: piecesOf(bytes) })

  async function failure(act: () => Promise<unknown>): Promise<SottoError> {
    const error = await act().then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(error).toBeInstanceOf(SottoError)
    const shown = inspect(error, { depth: Infinity, showHidden: true })
    for (const secret of s3.secrets) expect(shown).not.toContain(secret)
    expect((error as SottoError).hint).toMatch(/\.$/)
    return error as SottoError
  }

  /** Where it is three days later than the service says. */
  const later: Partial<S3Options> = { clock: (told) => new Date(told.getTime() + 3 * DAY_MS) }

  const operations = (): string[] => proxy.calls.map(({ operation }) => operation)

  backupTargetContract('s3', async () => {
    as(s3.owner)
    const place = { bucket: await s3.bucket(), prefix: '', region: S3_REGION, endpoint: s3.url }
    return {
      target: s3Target(place, { partBytes: PART }),
      again: s3Target(place),
      nowhere: s3Target({ ...place, bucket: 'nowhere-at-all' }),
      [Symbol.asyncDispose]: async () => {},
    }
  })

  describe('an object', () => {
    test('stands under the prefix, and what is beside it is not listed', async () => {
      for (const Key of ['top.backup', 'sotto/deep/a.backup', 'sotto/.hidden', 'sottox.backup']) {
        await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'x' }))
      }
      await put('a.backup', small)
      expect(await target().list()).toMatchObject([{ name: 'a.backup', size: small.length }])
      const version = expect.stringMatching(/./)
      expect(await target({ prefix: '' }).list()).toEqual([
        { name: 'sottox.backup', size: 1, version },
        { name: 'top.backup', size: 1, version },
      ])
      expect(target().description).toBe(`s3://${bucket}/sotto`)
    })

    test('goes in parts of a bounded size, with checksums and on a condition', async () => {
      await put('a.backup', large)
      expect(operations()).toEqual([
        'CreateMultipartUpload',
        'ListMultipartUploads',
        'UploadPart',
        'UploadPart',
        'UploadPart',
        'CompleteMultipartUpload',
        'HeadObject',
      ])
      const parts = proxy.calls.filter(({ operation }) => operation === 'UploadPart')
      expect(parts.map(({ bytes }) => bytes)).toEqual([PART, PART, 7])
      for (const { headers } of parts) expect(headers['x-amz-checksum-sha256']).toBeDefined()
      const last = proxy.calls.find(({ operation }) => operation === 'CompleteMultipartUpload')
      expect(last?.headers['if-none-match']).toBe('*')
      expect((await read('a.backup')).equals(large)).toBe(true)
    })

    test('is listed with more than fit on one page', async () => {
      const names = Array.from({ length: 1005 }, (_, at) => `b${String(at).padStart(4, '0')}`)
      for (let at = 0; at < names.length; at += 100) {
        await Promise.all(
          names
            .slice(at, at + 100)
            .map((name) =>
              s3.client.send(
                new PutObjectCommand({ Bucket: bucket, Key: `sotto/${name}`, Body: 'x' }),
              ),
            ),
        )
      }
      expect((await target().list()).map(({ name }) => name)).toEqual(names)
    })

    test('of many that race for one name is the one of exactly one', async () => {
      const racers = await Promise.allSettled(
        Array.from({ length: 8 }, (_, at) => put('a.backup', Buffer.from(`racer ${at}`))),
      )
      expect(racers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      const losers = racers.filter((each) => each.status === 'rejected')
      for (const { reason } of losers) expect(reason).toMatchObject({ code: 'target_unavailable' })
    })

    test('is not replaced by parts either', async () => {
      await put('a.backup', large)
      const error = await failure(() => put('a.backup', randomBytes(large.length)))
      expect(error.message).toBe(`Cannot put "a.backup" in s3://${bucket}/sotto: the name is taken`)
      expect(await s3.unfinished(bucket)).toBe(0)
      expect((await read('a.backup')).equals(large)).toBe(true)
    })
  })

  async function read(name: string, from = target()): Promise<Buffer> {
    const pieces: Uint8Array[] = []
    for await (const piece of await from.get(name)) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  describe('what goes wrong once', () => {
    test.for<[string, Fault, string]>([
      ['throttling', { kind: 'error', type: 'SlowDown', status: 503 }, 'PutObject'],
      ['a fault of S3', { kind: 'error', type: 'InternalError', status: 500 }, 'PutObject'],
      ['a reset half-way', { kind: 'reset' }, 'PutObject'],
      ['a lost answer', { kind: 'lost' }, 'PutObject'],
      ['a lost answer to the question after it', { kind: 'lost' }, 'HeadObject'],
      ['silence', { kind: 'hang' }, 'PutObject'],
    ])('%s hinders no small object', async ([, fault, operation]) => {
      proxy.fail(fault, 1, operation)
      await put('a.backup', small)
      expect(await target().list()).toMatchObject([{ name: 'a.backup', size: small.length }])
      expect((await read('a.backup')).equals(small)).toBe(true)
    })

    test.for<[string, Fault, string]>([
      ['throttling of a part', { kind: 'error', type: 'SlowDown', status: 503 }, 'UploadPart'],
      ['a part that is reset half-way', { kind: 'reset' }, 'UploadPart'],
      ['a lost answer to a part', { kind: 'lost' }, 'UploadPart'],
      ['a lost answer to the end', { kind: 'lost' }, 'CompleteMultipartUpload'],
      ['half an answer to the end', { kind: 'cut' }, 'CompleteMultipartUpload'],
    ])('%s hinders no large object', async ([, fault, operation]) => {
      proxy.fail(fault, 1, operation)
      await put('a.backup', large)
      expect(await target().list()).toMatchObject([{ name: 'a.backup', size: large.length }])
      expect((await read('a.backup')).equals(large)).toBe(true)
      expect(await s3.unfinished(bucket)).toBe(0)
    })
  })

  describe('the message', () => {
    const about = (attempted: string) =>
      `Cannot ${attempted} in s3://${bucket}/sotto in region ${S3_REGION} at "${proxy.url}": `

    test.for<[string, Fault, RegExp, RegExp]>([
      [
        'of throttling',
        { kind: 'error', type: 'SlowDown', status: 503 },
        /S3 throttled each attempt \(SlowDown\)$/,
        /quota/,
      ],
      [
        'of a reset half-way',
        { kind: 'reset' },
        /S3 could not be reached \((?:ECONNRESET|EPIPE)\)$/,
        /network/,
      ],
      ['of a lost answer', { kind: 'lost' }, /S3 could not be reached \(ECONNRESET\)$/, /network/],
      [
        'of silence',
        { kind: 'hang' },
        /S3 could not be reached|did not answer within/,
        /--backup-endpoint/,
      ],
      [
        'of a fault of S3',
        { kind: 'error', type: 'InternalError', status: 500 },
        /S3 failed \(InternalError, status 500\)$/,
        /health/,
      ],
      [
        'of a clock that is wrong',
        { kind: 'error', type: 'RequestTimeTooSkewed', status: 403 },
        /the clock of this machine is wrong$/,
        /doctor/,
      ],
      [
        'of an expired token',
        { kind: 'error', type: 'ExpiredToken', status: 400 },
        /the credentials were refused: they are wrong or have expired, or the clock is$/,
        /Renew/,
      ],
      [
        'of bytes that changed on the way',
        { kind: 'error', type: 'BadDigest', status: 400 },
        /its bytes were changed on the way$/,
        /between/,
      ],
      [
        'of a service without conditional writes',
        { kind: 'error', type: 'NotImplemented', status: 501 },
        /does not know what was asked$/,
        /If-None-Match/,
      ],
      [
        'U17: of a refusal that nobody foresaw',
        { kind: 'error', type: 'Teapot', status: 418 },
        /S3 refuses it \(Teapot, status 418\)$/,
        /endpoint/,
      ],
    ])('%s; a part that fails for good leaves nothing', async ([, fault, found, hint]) => {
      // The first part passes.
      proxy.fail(fault, 100, 'UploadPart', 1)
      const began = performance.now()
      const error = await failure(() => put('a.backup', large))
      expect(performance.now() - began).toBeLessThan(5 * WAIT_MS)
      expect(error.code).toBe('target_unavailable')
      expect(error.message).toMatch(found)
      expect(error.message).toContain(about('put "a.backup"'))
      expect(error.hint).toMatch(hint)
      expect(await s3.unfinished(bucket)).toBe(0)
      expect(await target().list()).toEqual([])
    })

    test('of wrong credentials', async () => {
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'not-the-secret')
      for (const call of [
        () => target().list(),
        () => put('a.backup', small),
        () => read('a.backup'),
      ]) {
        const error = await failure(call)
        expect(error.message).toMatch(/: the credentials were refused: /)
        expect(error.hint).toContain('clock')
      }
      vi.stubEnv('AWS_ACCESS_KEY_ID', 'NOBODY')
      expect((await failure(() => target().list())).message).toMatch(
        /: the credentials were refused: /,
      )
    })

    test('of no credentials, and of a profile that is not there', async () => {
      vi.stubEnv('AWS_ACCESS_KEY_ID', undefined)
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', undefined)
      expect((await failure(() => target().list())).message).toMatch(
        /: there are no AWS credentials$/,
      )
      const unnamed = await failure(() => target({ profile: 'none' }).list())
      expect(unnamed.message).toMatch(/: there are no AWS credentials for profile "none"$/)
      expect(unnamed.hint).toContain('--backup-profile')
    })

    test('of no region', async () => {
      const { region: _, ...place } = { bucket, prefix: '', region: '', endpoint: proxy.url }
      const error = await failure(() => s3Target(place).list())
      expect(error.message).toMatch(/: no region is known$/)
      expect(error.hint).toContain('--backup-bucket-region')
    })

    test('of no permission, by what was to be done', async () => {
      await put('a.backup', small)
      as(s3.other)
      for (const call of [
        () => target().list(),
        () => put('b.backup', small),
        () => put('b.backup', large),
        () => read('a.backup'),
        () => target().delete('a.backup'),
      ]) {
        const error = await failure(call)
        expect(error.code).toBe('target_unavailable')
        expect(error.message).toMatch(/: no permission/)
        expect(error.hint).toContain('docs/guides/backup.md#backups-in-s3')
      }
      as(s3.owner)
      expect(await target().list()).toHaveLength(1)
    })

    test('of no permission to delete, for who may put', async () => {
      await s3.allow(bucket, ['s3:PutObject', 's3:GetObject', 's3:ListBucket'])
      as(s3.other)
      await put('a.backup', small)
      const error = await failure(() => target().delete('a.backup'))
      expect(error.message).toMatch(/: no permission/)
      expect(await target().list()).toHaveLength(1)
    })

    test('of a bucket that is not there', async () => {
      const error = await failure(() => target({ bucket: 'nowhere-at-all' }).list())
      expect(error.message).toMatch(/: there is no such bucket$/)
      expect(error.hint).toContain('never made')
    })

    test('of a bucket of another region', async () => {
      const error = await failure(() => target({ region: 'us-west-2' }).list())
      expect(error.message).toMatch(/: the bucket is in another region, eu-central-1$/)
      expect(error.hint).toBe('Give eu-central-1 as --backup-bucket-region in place of us-west-2.')
    })

    test('of a part that the bucket lost', async () => {
      proxy.fail({ kind: 'delay', ms: 300 }, 1, 'CompleteMultipartUpload')
      async function* content(): AsyncGenerator<Uint8Array> {
        yield large.subarray(0, PART + 1)
        const [part] = globSync(join(s3.data, bucket, '.sgwtmp/multipart/**/1'))
        rmSync(part ?? '')
        yield large.subarray(PART + 1)
      }
      const error = await failure(() =>
        target().put({ name: 'a.backup', size: large.length, content: content() }),
      )
      expect(error.message).toMatch(/: a part of it is missing or was changed in the bucket/)
      expect(await target().list()).toEqual([])
      expect(await s3.unfinished(bucket)).toBe(0)
    })

    test.for<[string, Fault, RegExp]>([
      [
        'that is cut',
        { kind: 'cut' },
        /S3 could not be reached \(ECONNRESET\) after \d+ of 10485767 bytes$/,
      ],
      [
        'that stops',
        { kind: 'stall' },
        /(?:could not be reached|did not answer).* after \d+ of 10485767 bytes$/,
      ],
    ])('of a download %s half-way', async ([, fault, found]) => {
      await put('a.backup', large)
      proxy.fail(fault, 1, 'GetObject')
      expect((await failure(() => read('a.backup'))).message).toMatch(found)
    })

    test('of an endpoint where nothing listens, and of one in the clear', async () => {
      const refused = await failure(() => target({ endpoint: 'http://127.0.0.1:1' }).list())
      expect(refused.message).toMatch(/: S3 could not be reached \(ECONNREFUSED\)$/)
      const clear = { endpoint: 'http://s3.example' }
      expect(await failure(() => target(clear).list())).toMatchObject({
        code: 'unsafe',
        message: expect.stringContaining('backups would cross the network in the clear'),
        hint: expect.stringContaining('--backup-insecure'),
      })
      const allowed = await failure(() => target({ ...clear, clear: true }).list())
      expect(allowed.message).toMatch(/: S3 could not be reached/)
    })
  })

  describe('an object lock', () => {
    test('keeps what it was put with, and says until when', async () => {
      const locked = await s3.bucket({ locks: true })
      const own = target({ bucket: locked, lock: { mode: 'GOVERNANCE', days: 2 } })
      await put('a.backup', small, own)
      await put('b.backup', large, own)
      for (const name of ['a.backup', 'b.backup']) {
        const error = await failure(() => own.delete(name))
        expect(error.code).toBe('backup_locked')
        const [, until = ''] = /keeps it until (\S+)$/.exec(error.message) ?? []
        expect(Date.parse(until) - Date.now()).toBeGreaterThan(1.9 * DAY_MS)
      }
      expect(await own.list()).toHaveLength(2)
      await target({ bucket: locked }, later).delete('a.backup')
      expect(await own.list()).toHaveLength(1)
    })

    test.each([-365, -1, 1, 365].map((days) => days * DAY_MS))(
      'U1: lasts as long as it is to, by the clock of the service: that of this machine is off by %i ms',
      async (off) => {
        const locked = await s3.bucket({ locks: true })
        const own = target({ bucket: locked, lock: { mode: 'GOVERNANCE', days: 2 } })
        const now = Date.now()
        vi.useFakeTimers({ toFake: ['Date'], now: now + off })
        try {
          await put('a.backup', small, own)
          await put('b.backup', large, own)
          for (const name of ['a.backup', 'b.backup']) {
            const error = await failure(() => own.delete(name))
            expect(error.code).toBe('backup_locked')
            const [, until = ''] = /keeps it until (\S+)$/.exec(error.message) ?? []
            const days = (Date.parse(until) - now) / DAY_MS
            expect(days).toBeGreaterThan(1.9)
            expect(days).toBeLessThan(2.1)
          }
        } finally {
          vi.useRealTimers()
        }
      },
    )

    test('that somebody else put on an object counts, too', async () => {
      const locked = await s3.bucket({ locks: true })
      const own = target({ bucket: locked })
      await put('a.backup', small, own)
      const Retention = {
        Mode: 'COMPLIANCE',
        RetainUntilDate: new Date(Date.now() + DAY_MS),
      } as const
      await s3.client.send(
        new PutObjectRetentionCommand({ Bucket: locked, Key: 'sotto/a.backup', Retention }),
      )
      expect((await failure(() => own.delete('a.backup'))).code).toBe('backup_locked')
      await put('b.backup', small, own)
      await own.delete('b.backup')
      expect(await own.list()).toHaveLength(1)
    })

    test('is refused by a bucket that has none', async () => {
      const own = target({ lock: { mode: 'COMPLIANCE', days: 1 } })
      for (const bytes of [small, large]) {
        const error = await failure(() => put('a.backup', bytes, own))
        expect(error.message).toMatch(/: the bucket has no object lock$/)
        expect(error.hint).toContain('--backup-lock')
      }
      expect(await own.list()).toEqual([])
    })
  })

  describe('the policy in docs/guides/backup.md', () => {
    const page = readFileSync(new URL('../../docs/guides/backup.md', import.meta.url), 'utf8')
    const [, text = ''] = /<!-- iam -->\n```json\n([^]*?)```/.exec(page) ?? []
    const { Statement } = JSON.parse(text) as { Statement: IamStatement[] }
    const allowed = Statement.flatMap(({ Action }) => Action)

    test('is enough for every verb, with a lock and in parts', async () => {
      const locked = await s3.bucket({ locks: true })
      await s3.allow(locked, allowed)
      as(s3.other)
      const place = { bucket: locked, lock: { mode: 'GOVERNANCE', days: 2 } } as const
      const left = { Bucket: locked, Key: `sotto/${named(1)}` }
      await s3.client.send(new CreateMultipartUploadCommand(left))
      s3.age(locked, 2 * DAY_MS)
      await put('a.backup', small, target(place))
      await put(named(2), large, target(place))
      expect(await s3.unfinished(locked)).toBe(0)
      expect(await target(place).list()).toHaveLength(2)
      expect(await read(named(2), target(place))).toEqual(large)
      expect((await failure(() => target(place).delete('a.backup'))).code).toBe('backup_locked')
      await target(place, later).delete('a.backup')
      expect(await target(place).list()).toHaveLength(1)
    })

    test('allows the calls that are made, on what they are made on, and no more', async () => {
      const locked = await s3.bucket({ locks: true })
      const place = { bucket: locked, lock: { mode: 'GOVERNANCE', days: 1 } } as const
      await put('a.backup', large, target(place))
      proxy.fail({ kind: 'error', type: 'BadDigest' }, 1, 'UploadPart')
      await failure(() => put('b.backup', large, target(place)))
      await read('a.backup', target(place))
      await target(place).list()
      await target(place, later).delete('a.backup')
      // Of an object that is put with a lock, IAM asks for the right to put one.
      const asked = proxy.calls.flatMap(({ operation, headers }) => [
        actionOf[operation] ?? operation,
        ...('x-amz-object-lock-mode' in headers ? ['s3:PutObjectRetention'] : []),
      ])
      expect([...new Set(asked)].toSorted()).toEqual(allowed.toSorted())
      for (const { Action, Resource } of Statement) {
        const onBucket = !Resource.endsWith('/*')
        for (const action of Action) expect(action.includes('Bucket')).toBe(onBucket)
      }
    })
  })

  test('U1, U2: parts of the same store that were left a day ago go, by the clock of the service; no others do', async () => {
    const others = [
      'sotto/other.backup',
      `sotto/${named(1, 'f'.repeat(32))}`,
      `elsewhere/${named(1)}`,
    ]
    for (const Key of [...others, `sotto/${named(1)}`]) {
      await s3.client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }))
    }
    // The clock here does not make them old, nor young.
    const putAt = async (off: number, revision: number): Promise<void> => {
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + off })
      await put(named(revision), large).finally(() => vi.useRealTimers())
    }
    await putAt(365 * DAY_MS, 2)
    expect(await s3.unfinished(bucket)).toBe(4)
    s3.age(bucket, 1.1 * DAY_MS)
    await putAt(-365 * DAY_MS, 3)
    expect(await s3.unfinished(bucket)).toBe(3)
  })
})

describeWith(['kms-python'], 'S3 by a role', () => {
  const RoleArn = 'arn:aws:iam::123456789012:role/sotto-backup'
  let moto: Moto
  let proxy: FaultyS3

  beforeAll(async () => {
    moto = await startMoto()
  })
  afterAll(() => moto[Symbol.asyncDispose]())
  beforeEach(async () => {
    for (const [name, value] of Object.entries(credentials)) vi.stubEnv(name, value)
    vi.stubEnv('AWS_ENDPOINT_URL_STS', moto.url)
    proxy = await startFaultyS3(moto.url)
  })
  afterEach(async () => {
    vi.unstubAllEnvs()
    await proxy[Symbol.asyncDispose]()
  })

  const target = () =>
    s3Target({
      bucket: 'backups',
      prefix: '',
      region: S3_REGION,
      endpoint: proxy.url,
      role: RoleArn,
    })

  test('calls with the credentials of the role', async () => {
    await fetch(`${moto.url}/backups`, { method: 'PUT' })
    await target().put({ name: 'a.backup', size: 1, content: piecesOf(Buffer.from('x')) })
    expect(await target().list()).toHaveLength(1)
    expect(proxy.calls.length).toBeGreaterThan(2)
    for (const { headers } of proxy.calls) {
      expect(headers.authorization).not.toContain(credentials['AWS_ACCESS_KEY_ID'])
      expect(headers['x-amz-security-token']).toMatch(/./)
    }
  })

  test('refuses to have those credentials cross the network in the clear', async () => {
    vi.stubEnv('AWS_ENDPOINT_URL_STS', 'http://sts.example')
    await expect(target().list()).rejects.toMatchObject({
      code: 'unsafe',
      message: expect.stringContaining('Cannot assume a role at "sts.example"'),
    })
    expect(proxy.calls).toEqual([])
  })
})

async function* piecesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += 300_000) yield bytes.subarray(at, at + 300_000)
}
