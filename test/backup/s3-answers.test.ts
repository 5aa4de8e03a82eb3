/** What is made of answers at the endpoint of a bucket: S3's own words, and what is not S3 at all. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { inProcess } from '../cli/play.ts'
import { asSottoError, type SottoError } from '../../client/api/errors.ts'
import { s3Target } from '../../server/backup/targets/s3.ts'
import type { S3Place } from '../../server/backup/targets/s3-place.ts'
import { awsVariables, stubAwsVariables } from '../support/aws-variables.ts'
import {
  type Scripted,
  type ScriptedServer,
  type Seen,
  startScripted,
} from '../support/scripted.ts'

const AWS_REGION = 'eu-central-1'
/** Parts are small: so large is an upload in two. */
const PART = 1024
const NAME = 'a.backup'

let s3: ScriptedServer

beforeEach(async () => {
  stubAwsVariables({ AWS_REGION })
  s3 = await startScripted()
})

afterEach(async () => {
  vi.unstubAllEnvs()
  await s3[Symbol.asyncDispose]()
})

const target = (given: Partial<S3Place> = {}) =>
  s3Target(
    { bucket: 'backups', prefix: 'sotto', region: 'eu-central-1', endpoint: s3.url, ...given },
    { waitMs: 6000, partMs: 9000, partBytes: PART },
  )

const put = (size = 1, to = target()): Promise<void> =>
  to.put({ name: NAME, size, content: contentOf(size) })

async function* contentOf(size: number): AsyncGenerator<Uint8Array> {
  yield Buffer.alloc(size)
}

async function read(): Promise<Uint8Array[]> {
  const pieces: Uint8Array[] = []
  for await (const piece of await target().get(NAME)) pieces.push(piece)
  return pieces
}

async function failure(act: () => Promise<unknown>): Promise<SottoError> {
  const error = await act().then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error, 'it was taken as done').toBeDefined()
  expect(asSottoError(error).hint).toMatch(/\.$/)
  return asSottoError(error)
}

const xml = (body: string, status = 200): Scripted => ({
  status,
  headers: { 'content-type': 'application/xml' },
  body: `<?xml version="1.0" encoding="UTF-8"?>\n${body}`,
})

const refused = (code: string, message = '', status = 400): Scripted =>
  xml(`<Error><Code>${code}</Code><Message>${message}</Message></Error>`, status)

const kept = (headers = {}): Scripted => ({ headers: { etag: '"1"', ...headers } })

/** Which call came in. */
function operation({ method, url }: Seen): string {
  const { pathname, searchParams: query } = new URL(url, 'http://s3')
  if (query.has('retention')) return 'retention'
  if (query.has('uploads')) return method === 'POST' ? 'begin' : 'uploads'
  if (query.has('uploadId')) return { PUT: 'part', POST: 'complete' }[method] ?? 'abort'
  if (query.has('list-type')) return 'list'
  return `${method} ${pathname}`
}

/** What S3 answers to an upload, but for some calls. */
function answering(others: Readonly<Record<string, Scripted>>): (seen: Seen) => Scripted {
  const usual: Readonly<Record<string, Scripted>> = {
    begin: xml(
      '<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>',
    ),
    uploads: xml('<ListMultipartUploadsResult></ListMultipartUploadsResult>'),
    part: kept(),
    complete: xml(
      '<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>',
    ),
    abort: { status: 204 },
    retention: refused('NoSuchObjectLockConfiguration', '', 404),
  }
  return (seen) => others[operation(seen)] ?? usual[operation(seen)] ?? { status: 404 }
}

/** What else may listen there, and says that all is well. */
const foreign: readonly (readonly [name: string, answer: Scripted, type: string])[] = [
  [
    'a page',
    { headers: { 'content-type': 'text/html; charset=utf-8' }, body: '<html><p>Sign in</html>' },
    ', "text/html"',
  ],
  [
    'a page of a server of files',
    { headers: { 'content-type': 'text/html', etag: '"1"' }, body: '<!DOCTYPE html>\n<p>Hi' },
    ', "text/html"',
  ],
  ['nothing', {}, ''],
  [
    'JSON',
    { headers: { 'content-type': 'application/json', etag: 'W/"1"' }, body: '{"ok":true}' },
    ', "application/json"',
  ],
  ['another document', xml('<feed><entry/></feed>'), ', "application/xml"'],
  ['a document with the name inside', xml('<a><ListBucketResult/></a>'), ', "application/xml"'],
]

const verbs: Readonly<Record<string, () => Promise<unknown>>> = {
  list: () => target().list(),
  put: () => put(),
  'put in parts': () => put(PART + 1),
  get: () => read(),
  delete: () => target().delete(NAME),
}

describe.each(Object.keys(verbs))('U8: to %s', (verb) => {
  test.each(foreign)('an answer that is not S3’s is refused: %s', async (_name, answer, type) => {
    s3.answer = () => answer
    const error = await failure(verbs[verb] ?? (() => Promise.resolve()))
    expect(error.code).toBe('target_unavailable')
    expect(error.message).toContain(`: what answers at "${s3.url}" is not S3 (status 200${type})`)
    expect(error.message).toMatch(/^Cannot (?:list|put|get|delete)/)
    expect(error.hint).toContain('--backup-endpoint')
  })

  test('a refusal that is not S3’s says nothing of the bucket', async () => {
    for (const status of [301, 307, 400, 401, 403, 404, 409, 412]) {
      s3.answer = () => ({ ...foreign[0]?.[1], status })
      const error = await failure(verbs[verb] ?? (() => Promise.resolve()))
      expect(error.message).toContain(`is not S3 (status ${status}, "text/html")`)
    }
  })
})

test.each([
  ['begin', PART + 1],
  ['part', PART + 1],
  ['complete', PART + 1],
  ['GET', 1],
] as const)('U8: one answer of something else is enough, to %s', async (call, size) => {
  for (const [, answer] of foreign) {
    s3.answer = answering({ [call]: answer, [`PUT /backups/sotto/${NAME}`]: answer })
    expect((await failure(() => put(size))).message).toContain('is not S3')
  }
})

test('U8: no deletion is done by an answer to the question before it', async () => {
  s3.answer = answering({ retention: { ...foreign[0]?.[1] } })
  expect((await failure(() => target().delete(NAME))).message).toContain('is not S3')
  expect(s3.seen.map(operation)).toEqual(['retention'])
})

describe('U8: the name is taken', () => {
  const path = `/backups/sotto/${NAME}`

  test('where S3 says so, and has something there', async () => {
    const taken = refused('PreconditionFailed', '', 412)
    s3.answer = answering({ [`PUT ${path}`]: taken, [`HEAD ${path}`]: kept() })
    expect((await failure(() => put())).message).toMatch(/: the name is taken$/)
  })

  test('by nobody, where what was put is not what is there', async () => {
    s3.answer = answering({ [`PUT ${path}`]: kept(), [`HEAD ${path}`]: kept() })
    expect((await failure(() => put())).message).toMatch(
      /: the bucket says that it kept it, and shows another object in its place$/,
    )
    s3.answer = answering({ [`PUT ${path}`]: kept(), [`HEAD ${path}`]: { ...foreign[1]?.[1] } })
    expect((await failure(() => put())).message).toContain('is not S3')
  })

  test('by nobody, where something else refused', async () => {
    s3.answer = answering({ [`PUT ${path}`]: { status: 412 }, [`HEAD ${path}`]: kept() })
    expect((await failure(() => put())).message).toContain('is not S3 (status 412)')
  })
})

test('U8: a list that is cut off is not taken for the whole', async () => {
  const page = (rest: string) =>
    xml(
      `<ListBucketResult><Contents><Key>sotto/${NAME}</Key><Size>1</Size></Contents><IsTruncated>true</IsTruncated>${rest}</ListBucketResult>`,
    )
  for (const rest of ['', '<NextContinuationToken>same</NextContinuationToken>']) {
    s3.answer = () => page(rest)
    expect((await failure(() => target().list())).message).toMatch(
      /: the answer of S3 lacks the rest of the list$/,
    )
  }
})

test('U8: sotto backup list and restore print no empty list, and end with 1', async () => {
  s3.answer = () => ({ ...foreign[0]?.[1] })
  const env = { ...awsVariables, AWS_REGION, SOTTO_BACKUP_ENDPOINT: s3.url }
  const where = 's3://backups/sotto'
  for (const args of [
    ['backup', 'list', where],
    ['backup', 'list', where, '-o', 'json'],
    ['backup', 'verify', `${where}/${NAME}`],
    ['restore', `${where}/${NAME}`, '--to', '/nowhere/at/all'],
  ]) {
    const { exit, stdout, stderr } = await inProcess(args, env)
    expect(stderr.replaceAll('\\"', '"')).toContain(
      `what answers at "${s3.url}" is not S3 (status 200, "text/html")`,
    )
    expect({ exit, stdout }).toEqual({ exit: '1', stdout: '' })
  }
})

test('U8: what a balancer says while the service is away is tried again', async () => {
  let calls = 0
  s3.answer = () => {
    calls += 1
    if (calls < 3) return { ...foreign[0]?.[1], status: 503 }
    return xml('<ListBucketResult></ListBucketResult>')
  }
  expect(await target().list()).toEqual([])
  calls = Number.NEGATIVE_INFINITY
  expect((await failure(() => target().list())).message).toMatch(/: S3 failed \(status 503\)$/)
})

describe('U17: what S3 says is passed on', () => {
  test.for<[answer: Scripted, found: RegExp, hint: RegExp]>([
    [
      refused('InvalidObjectState', 'The operation is not valid for the storage class', 403),
      /: it is in an archive, where nothing reads it: "The operation is not valid for the storage class"$/,
      /restore-object.*Glacier/,
    ],
    [
      refused('QuotaExceeded', 'Bucket quota of 10 GiB is used up', 403),
      /: there is no room for it \(QuotaExceeded, status 403\): "Bucket quota of 10 GiB is used up"$/,
      /quota.*--backup-keep/,
    ],
    [
      refused('XMinioStorageFull', 'Storage backend has reached its minimum free drive', 507),
      /: there is no room for it \(XMinioStorageFull, status 507\): "Storage backend/,
      /--backup-keep/,
    ],
    [
      refused('NotImplemented', 'A header you provided implies functionality: If-None-Match', 501),
      /: the service at the endpoint does not know what was asked: "A header you .* If-None-Match"$/,
      /conditional writes/,
    ],
    [
      refused('InvalidArgument', 'x-amz-checksum-sha256 is not supported'),
      /: S3 refuses it \(InvalidArgument, status 400\): "x-amz-checksum-sha256 is not supported"$/,
      /documentation/,
    ],
    [
      refused('SlowDown', 'Please reduce your request rate', 503),
      /: S3 throttled each attempt \(SlowDown\): "Please reduce your request rate"$/,
      /quota/,
    ],
    [
      refused('InternalError', 'disk 7 is away', 500),
      /: S3 failed \(InternalError, status 500\): "disk 7 is away"$/,
      /health/,
    ],
    [refused('Odd'), /: S3 refuses it \(Odd, status 400\)$/, /documentation/],
  ])('%o', async ([answer, found, hint]) => {
    s3.answer = () => answer
    const error = await failure(read)
    expect(error.message).toMatch(found)
    expect(error.hint).toMatch(hint)
    expect(error.message).not.toContain('no answer that can be used')
  })

  test('bounded and printable, its code too', async () => {
    const signs = '&#x1b;[2J&#x202e;'
    s3.answer = () => refused(`${signs}${'C'.repeat(5000)}`, `${signs}${'m'.repeat(5000)}`)
    const { message } = await failure(read)
    expect(message.length).toBeLessThan(1000)
    expect(message).not.toMatch(/[\p{Cc}\p{Cf}]/u)
  })

  test('but never of credentials', async () => {
    s3.answer = () => refused('SignatureDoesNotMatch', awsVariables.AWS_SECRET_ACCESS_KEY, 403)
    expect((await failure(read)).message).not.toContain(awsVariables.AWS_SECRET_ACCESS_KEY)
  })
})

describe('U12: an endpoint that a variable or a profile names', () => {
  const unset = { endpoint: undefined } as unknown as Partial<S3Place>
  const byName = (): string => s3.url.replace('127.0.0.1', 'localhost')

  const elsewhere = '[default]\nendpoint_url = http://nowhere.example\n'
  const keys = `aws_access_key_id = a\naws_secret_access_key = ${awsVariables.AWS_SECRET_ACCESS_KEY}\n`

  /** Makes the file of profiles: `m` with an endpoint of its own. */
  function profiles(endpoint: string, before = ''): void {
    const directory = mkdtempSync(join(tmpdir(), 'sotto-aws-'))
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
    const profile = `[profile m]\n${keys}endpoint_url = ${endpoint}\n`
    writeFileSync(join(directory, 'config'), `${before}${profile}`)
    vi.stubEnv('AWS_CONFIG_FILE', join(directory, 'config'))
  }

  async function seenBy(given: Partial<S3Place> = {}): Promise<string> {
    s3.answer = () => xml('<ListBucketResult></ListBucketResult>')
    const { endpoint: _, ...place } = { ...target().place, ...unset, ...given } as S3Place
    expect(await s3Target(place, { waitMs: 6000 }).list()).toEqual([])
    const [seen] = s3.seen
    return `${seen?.headers.host} ${seen?.url.split('?')[0]}`
  }

  const inPath = (): string => `localhost:${s3.port} /backups/`

  test.each(['AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL'])(
    '%s: the bucket is in the path, and this machine is not in the clear',
    async (name) => {
      vi.stubEnv(name, byName())
      expect(await seenBy()).toBe(inPath())
    },
  )

  test('that of the profile which is set', async () => {
    profiles(byName(), elsewhere)
    vi.stubEnv('AWS_ACCESS_KEY_ID', undefined)
    vi.stubEnv('AWS_PROFILE', 'm')
    expect(await seenBy()).toBe(inPath())
  })

  test('that of the profile which is given, and of no other', async () => {
    profiles(byName(), elsewhere)
    // With keys in variables, too, the SDK warns.
    vi.stubEnv('AWS_ACCESS_KEY_ID', undefined)
    expect(await seenBy({ profile: 'm' })).toBe(inPath())
  })

  test('that of another profile is not for the one that is given', async () => {
    profiles('', elsewhere)
    vi.stubEnv('AWS_ACCESS_KEY_ID', undefined)
    const { endpoint: _, ...place } = target().place as S3Place
    const proxies = { https: 'http://127.0.0.1:1/' }
    // It is the one of AWS, which is called by https:// and so through the proxy.
    const error = await failure(() => s3Target({ ...place, profile: 'm', proxies }).list())
    expect(error.message).toMatch(/: S3 could not be reached \(ECONNREFUSED\) through the proxy/)
  })

  test('that of the section of services', async () => {
    const services = `[services local]\ns3 =\n  endpoint_url = ${byName()}\nkms =\n  endpoint_url = http://kms.example\n`
    profiles('', `${elsewhere}services = local\n${services}`)
    expect(await seenBy()).toBe(inPath())
  })

  test('is named in messages', async () => {
    vi.stubEnv('AWS_ENDPOINT_URL_S3', byName())
    s3.answer = () => ({ ...foreign[0]?.[1] })
    const { endpoint: _, ...place } = target().place as S3Place
    const error = await failure(() => s3Target(place, { waitMs: 6000 }).list())
    expect(error.message).toContain(` at "${byName()}" ($AWS_ENDPOINT_URL_S3): what answers`)
    expect(error.hint).toContain('$AWS_ENDPOINT_URL_S3')
    profiles('http://minio:9000')
    vi.stubEnv('AWS_ENDPOINT_URL_S3', undefined)
    vi.stubEnv('AWS_ACCESS_KEY_ID', undefined)
    expect(await failure(() => s3Target({ ...place, profile: 'm' }).list())).toMatchObject({
      code: 'unsafe',
      message: expect.stringContaining(
        'at "minio" (endpoint_url of the AWS profile "m"): backups would cross the network',
      ),
    })
    profiles('minio')
    expect(await failure(() => s3Target({ ...place, profile: 'm' }).list())).toMatchObject({
      code: 'usage',
      message: 'Cannot use endpoint_url of the AWS profile "m": it is not a URL',
    })
  })
})
