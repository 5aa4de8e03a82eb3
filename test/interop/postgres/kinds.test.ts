/** The kinds that change logins of a real PostgreSQL: what each act does there, and how the server must be. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { RotationConfig } from '../../../client/api/rotations.ts'
import type { Kind, RunValues } from '../../../server/rotation/kinds/contract.ts'
import { kindsOn } from '../../../server/rotation/kinds/kinds.ts'
import { Targets, type TargetsSettings } from '../../../server/rotation/targets.ts'
import { rotationKind } from '../../contract/rotation-kind.ts'
import { makePair } from '../../support/certificates.ts'
import { describeWith } from '../../support/peers.ts'
import { logIn, type Postgres, startPostgres } from '../../support/postgres.ts'
import { temporaryDirectory } from '../../support/sotto.ts'
import { ADMIN, FIRST, first, pairConfig, setUpPair, singleConfig } from './setup.ts'

const previous = Buffer.from(first)
const secrets = { 'rotation/admin': ADMIN }

function kindOn(config: RotationConfig, more: Partial<TargetsSettings> = {}): Kind {
  const allowed = 'server' in config ? [config.server] : []
  return kindsOn(new Targets({ allowed, ...more }))(config)
}

const valuesOf = (candidate: Uint8Array, admin = ADMIN): RunValues => ({
  candidate: async () => Buffer.from(candidate),
  previous: async () => Buffer.from(previous),
  secret: async () => Buffer.from(admin),
})
const none = valuesOf(Buffer.alloc(0))
const passwordIn = (value: Uint8Array): string =>
  (JSON.parse(Buffer.from(value).toString()) as { password: string }).password

describeWith(['postgres', 'initdb'], 'kinds on a PostgreSQL', () => {
  let postgres: Postgres

  beforeAll(async () => {
    postgres = await startPostgres()
  })

  beforeEach(() => setUpPair(postgres))

  afterAll(() => postgres[Symbol.asyncDispose]())

  for (const shape of [{ shape: 'json' }, { shape: 'url' }]) {
    rotationKind(`postgres-pair ${shape.shape}`, async () => {
      const { server } = postgres
      const kind = kindOn(pairConfig(postgres, { template: shape }))
      const before =
        shape.shape === 'json' ? first : `${server.replace('//', '//app_a:the%20first@')}/app`
      const own = { ...none, previous: async () => Buffer.from(before) }
      const candidate = await kind.generate(Buffer.from(before), own)
      return { kind, candidate, previous: Buffer.from(before), secrets }
    })
  }

  rotationKind('postgres-single', async () => {
    const kind = kindOn(singleConfig(postgres))
    return { kind, candidate: await kind.generate(previous, none), previous, secrets }
  })

  test('the new login works beside the old one, which is refused once it is retired', async () => {
    const kind = kindOn(pairConfig(postgres))
    const candidate = await kind.generate(previous, none)
    const values = valuesOf(candidate)
    const { port } = postgres
    const asNew = () => logIn(port, 'app_b', passwordIn(candidate))
    const asOld = () => logIn(port, 'app_a', FIRST)
    await expect(asNew()).rejects.toThrow(/app_b/)
    await kind.apply(values)
    expect([await asNew(), await asOld()]).toEqual(['app', 'app'])
    await kind.retire(values)
    expect(await asNew()).toBe('app')
    await expect(asOld()).rejects.toThrow(/app_a/)
    await kind.restore(values)
    await expect(asNew()).rejects.toThrow(/app_b/)
  })

  test('a login that is in use, is missing, or can do more than a program needs is not touched', async () => {
    const kind = kindOn(pairConfig(postgres))
    const refused = (act: Promise<unknown>, message: RegExp) =>
      expect(act).rejects.toMatchObject({
        code: 'rotation_refused',
        message: expect.stringMatching(message),
      })
    const candidate = await kind.generate(previous, none)
    for (const right of ['SUPERUSER', 'CREATEROLE', 'CREATEDB', 'REPLICATION', 'BYPASSRLS']) {
      await postgres.query(`ALTER ROLE app_b ${right}`)
      await refused(kind.generate(previous, none), /can do more/)
      await refused(kind.apply(valuesOf(candidate)), /can do more/)
      await postgres.query(`ALTER ROLE app_b NO${right}`)
    }
    const stale = Buffer.from(JSON.stringify({ username: 'app_a', password: 'before a restore' }))
    for (const each of [kind, kindOn(singleConfig(postgres))]) {
      await refused(each.generate(stale, none), /"app_a", is not let in/)
    }
    const missing = kindOn(pairConfig(postgres, { logins: ['app_a', 'app_c'] }))
    await refused(missing.generate(previous, none), /There is no role "app_c"/)
    await refused(kind.generate(Buffer.from('a password alone'), none), /the shape json/)
    await refused(kind.generate(previous, valuesOf(candidate, 'wrong')), /as "sotto"/)
    await kind.apply(valuesOf(candidate))
    await postgres.query('ALTER ROLE app_b RESET role')
    await refused(kind.test(valuesOf(candidate)), /does not act as "app"/)
    await postgres.query('ALTER ROLE app_b SET role = app')
    await using undo = new AsyncDisposableStack()
    const held = await open(undo, postgres, 'app_b', passwordIn(candidate))
    await refused(kind.generate(previous, none), /"app_b" has 1 sessions/)
    await refused(kind.apply(valuesOf(await pairCandidate('app_b'))), /"app_b" has 1 sessions/)
    expect((await held.query('SELECT 1')).rowCount).toBe(1)
    // Both of one login: how the rotation is set up was changed.
    await refused(kind.apply(valuesOf(await pairCandidate('app_a'))), /Both versions/)
  })

  test('the witness counts sessions of the old login', async () => {
    const kind = kindOn(pairConfig(postgres))
    const values = valuesOf(await kind.generate(previous, none))
    expect(await kind.sessions(values)).toBe(0)
    await using undo = new AsyncDisposableStack()
    await open(undo, postgres, 'app_a', FIRST)
    expect(await kind.sessions(values)).toBe(1)
  })

  test('a password of one login is changed, and changed back', async () => {
    const kind = kindOn(singleConfig(postgres))
    const candidate = await kind.generate(previous, none)
    const { port } = postgres
    await kind.apply(valuesOf(candidate))
    expect(await logIn(port, 'app_a', passwordIn(candidate))).toBe('app')
    await expect(logIn(port, 'app_a', FIRST)).rejects.toThrow(/app_a/)
    await kind.restore(valuesOf(candidate))
    expect(await logIn(port, 'app_a', FIRST)).toBe('app')
  })

  test('elsewhere than on this machine its certificate and its name are checked', async () => {
    const tls = makePair(['localhost'])
    await using secure = await startPostgres({ tls })
    await setUpPair(secure)
    using scratch = temporaryDirectory()
    const written = (name: string, content: string): string => {
      const path = join(scratch.path, name)
      writeFileSync(path, content)
      return path
    }
    const at = (host: string, caFile?: string): Kind => {
      const server = secure.server.replace('127.0.0.1', host)
      return kindOn(pairConfig({ server }), { isLocal: () => false, caFile })
    }
    const value = async (): Promise<Buffer> => previous
    const caFile = written('ca.pem', tls.certificate)
    expect(await at('localhost', caFile).accepts(value)).toBe(true)
    const other = written('other.pem', makePair(['localhost']).certificate)
    for (const kind of [at('127.0.0.1', caFile), at('localhost', other), at('localhost')]) {
      await expect(kind.accepts(value)).rejects.toMatchObject({ code: 'rotation_unavailable' })
    }
    await expect(at('localhost', '/none').accepts(value)).rejects.toMatchObject({
      code: 'rotation_unavailable',
      message: expect.stringContaining('/none'),
    })
    const { server } = postgres
    const plain = kindOn(pairConfig({ server }), { isLocal: () => false, caFile })
    await expect(plain.accepts(value)).rejects.toThrow(/does not support SSL/)
  })

  test.each(['trust', 'password'])('one whose pg_hba.conf says %s gets nothing', async (method) => {
    await using other = await startPostgres({ hba: `host app app_a all ${method}` })
    await setUpPair(other)
    const accepted = kindOn(pairConfig(other)).accepts(async () => previous)
    await expect(accepted).rejects.toMatchObject({ code: 'rotation_unavailable' })
  })

  test('one whose pg_hba.conf says md5 asks for SCRAM where it has a verifier of that', async () => {
    await using other = await startPostgres({ hba: 'host app app_a all md5' })
    await setUpPair(other)
    const accepts = () => kindOn(pairConfig(other)).accepts(async () => previous)
    expect(await accepts()).toBe(true)
    await other.query(`SET password_encryption = 'md5'; ALTER ROLE app_a PASSWORD '${FIRST}'`)
    await expect(accepts()).rejects.toMatchObject({
      code: 'rotation_unavailable',
      message: expect.stringContaining('by MD5'),
    })
  })
})

async function pairCandidate(username: string): Promise<Buffer> {
  return Buffer.from(JSON.stringify({ username, password: 'another' }))
}

/** A session that stays open as long as `undo` stands. */
async function open(
  undo: AsyncDisposableStack,
  { port }: Postgres,
  user: string,
  password: string,
) {
  const { default: pg } = await import('pg')
  const client = new pg.Client({ host: '127.0.0.1', port, user, password, database: 'app' })
  client.on('error', () => {})
  await client.connect()
  undo.defer(() => client.end())
  return client
}
