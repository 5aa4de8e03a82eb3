/** Sessions with a real OpenBao: each way to log in, and tokens that are renewed, die and are revoked. */
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { OpenBaoConnection } from '../../../server/openbao/connection.ts'
import type { Login } from '../../../server/openbao/login.ts'
import { InlineSession } from '../../../server/openbao/inline-session.ts'
import { Session } from '../../../server/openbao/session.ts'
import { ManualTimers } from '../../audit/fixtures.ts'
import { makePair } from '../../support/certificates.ts'
import { startKubernetes } from '../../support/kubernetes.ts'
import { type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith } from '../../support/peers.ts'
import { temporaryDirectory } from '../../support/sotto.ts'

const HOUR_MS = 3_600_000
const mine = { method: 'GET', path: 'kv/data/mine' } as const
const others = { method: 'GET', path: 'kv/data/other' } as const
const lookup = { method: 'GET', path: 'auth/token/lookup-self' } as const

describeWith(['bao'], 'a session with OpenBao', () => {
  let bao: OpenBao
  let scratch: ReturnType<typeof temporaryDirectory>
  let timers: ManualTimers
  let sessions: Session[]
  let inlineSessions: InlineSession[]

  beforeAll(async () => {
    bao = await startOpenBao()
    await bao.mount('kv', 'kv', { version: '2' })
    await bao.must('POST', 'kv/data/mine', { data: { a: '1' } })
    await bao.policy('mine', 'path "kv/data/mine" { capabilities = ["read"] }')
    for (const method of ['approle', 'jwt', 'kubernetes', 'userpass']) {
      await bao.enableAuth(method, method)
    }
    await bao.must('POST', 'auth/userpass/users/ann', { password: 'right', policies: 'mine' })
  })

  afterAll(() => bao[Symbol.asyncDispose]())

  beforeEach(() => {
    scratch = temporaryDirectory()
    timers = new ManualTimers()
    sessions = []
    inlineSessions = []
  })

  afterEach(async () => {
    await Promise.all([...sessions, ...inlineSessions].map((session) => session.close()))
    scratch[Symbol.dispose]()
  })

  /** An AppRole of these settings. */
  async function role(name: string, settings: object): Promise<void> {
    const usual = { token_policies: 'mine', token_ttl: '1h' }
    await bao.must('POST', `auth/approle/role/${name}`, { ...usual, ...settings })
  }

  function file(name: string, text: string): string {
    const path = join(scratch.path, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }

  async function appRole(name = 'app', settings: object = {}): Promise<Login> {
    await role(name, settings)
    const path = `auth/approle/role/${name}`
    const { data } = await bao.must('GET', `${path}/role-id`)
    const made = await bao.must('POST', `${path}/secret-id`, {})
    const secretId = { file: file('secret-id', `${made.data.secret_id}\n`) }
    return { method: 'approle', roleId: data.role_id, secretId }
  }

  function begin(login: Login, keep = true, url = bao.url): Session {
    const connection = new OpenBaoConnection({ url }, { waitMs: 5000 })
    const session = new Session({ connection, login, keep, timers, random: () => 0.5 })
    sessions.push(session)
    return session
  }

  /** A session that a password is to log in, at an OpenBao that nobody else uses. */
  async function withPassword(other: OpenBao): Promise<Session> {
    await other.enableAuth('userpass', 'userpass')
    await other.must('POST', 'auth/userpass/users/ann', { password: 'right' })
    const password = { file: file('password', 'right') }
    return begin({ method: 'userpass', username: 'ann', password }, true, other.url)
  }

  /** The tokens that were used on `kv/data/mine`, oldest first, as the audit device names them. */
  const tokensUsed = (): string[] => [
    ...new Set<string>(
      bao
        .audit()
        .filter(({ type, request }) => type === 'request' && request.path === mine.path)
        .map(({ auth }) => auth.client_token ?? ''),
    ),
  ]

  describe('begins with', () => {
    test('a token from a file, or from whoever has it', async () => {
      const token = await bao.token({ policies: ['mine'] })
      const path = file('token', `${token}\n`)
      expect(await begin({ method: 'token', token: { file: path } }).call(mine)).toMatchObject({
        ok: true,
      })
      const read = { read: () => Promise.resolve(token) }
      expect(await begin({ method: 'token', token: read }).call(mine)).toMatchObject({ ok: true })
      chmodSync(path, 0o644)
      const exposed = await begin({ method: 'token', token: { file: path } }).call(mine)
      expect(exposed).toMatchObject({
        ok: false,
        failure: { kind: 'exposed', found: expect.stringContaining('(mode 0644)') },
      })
    })

    test.for([
      ['nothing', ''],
      ['two lines', 'a\nb'],
      ['a blank', 'a b'],
    ])('no token from a file of %s', async ([, text = '']) => {
      const login = { method: 'token', token: { file: file('token', text) } } as const
      expect(await begin(login).call(mine)).toMatchObject({ failure: { kind: 'credentials' } })
    })

    test('an AppRole, whose secret id is read again', async () => {
      const login = await appRole()
      expect(await begin(login).call(mine)).toMatchObject({ ok: true })
      const first = begin(login)
      file('secret-id', 'wrong')
      expect(await first.call(mine)).toMatchObject({
        failure: {
          kind: 'login_refused',
          found: 'the approle login at "auth/approle" was refused: "invalid role or secret ID"',
          hint: expect.stringContaining('make a new secret id'),
        },
      })
    })

    test('a JWT of an issuer', async () => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const jwtFile = file('jwt', jwt({ sub: 'app', aud: 'sotto' }, privateKey))
      await bao.must('POST', 'auth/jwt/config', {
        jwt_validation_pubkeys: [publicKey.export({ type: 'spki', format: 'pem' })],
      })
      await bao.must('POST', 'auth/jwt/role/app', {
        role_type: 'jwt',
        user_claim: 'sub',
        bound_audiences: ['sotto'],
        token_policies: 'mine',
      })
      const login = { method: 'jwt', role: 'app', jwtFile } as const
      expect(await begin(login).call(mine)).toMatchObject({ ok: true })
      file('jwt', jwt({ sub: 'app', aud: 'other' }, privateKey))
      expect(await begin(login).call(mine)).toMatchObject({ failure: { kind: 'login_refused' } })
      file('jwt', 'no-jwt')
      expect(await begin(login).call(mine)).toMatchObject({ ok: false })
    })

    test('the service account of a pod', async () => {
      await using cluster = await startKubernetes()
      const jwtFile = file('token', cluster.token('prod', 'sotto'))
      // Kubernetes lets whoever is in the pod read it.
      chmodSync(jwtFile, 0o644)
      await bao.must('POST', 'auth/kubernetes/config', {
        kubernetes_host: cluster.url,
        kubernetes_ca_cert: makePair(['localhost']).certificate,
        disable_local_ca_jwt: true,
      })
      await bao.must('POST', 'auth/kubernetes/role/app', {
        bound_service_account_names: ['sotto'],
        bound_service_account_namespaces: ['prod'],
        token_policies: 'mine',
      })
      const login = { method: 'kubernetes', role: 'app', jwtFile } as const
      expect(await begin(login).call(mine)).toMatchObject({ ok: true })
      expect(await begin({ ...login, role: 'none' }).call(mine)).toMatchObject({
        failure: {
          kind: 'login_refused',
          hint: expect.stringContaining('service account names, namespaces and audience'),
        },
      })
      expect(await begin({ ...login, jwtFile: '/none' }).call(mine)).toMatchObject({
        failure: {
          kind: 'credentials',
          found: 'cannot read the service account token "/none": there is no such file',
        },
      })
    })

    test('a user name and a password', async () => {
      const password = { file: file('password', 'right') }
      const login = { method: 'userpass', username: 'ann', password } as const
      expect(await begin(login).call(mine)).toMatchObject({ ok: true })
      expect(await begin({ ...login, mount: 'none' }).call(mine)).toMatchObject({
        failure: {
          kind: 'login_refused',
          found: 'the userpass login at "auth/none" was refused: "permission denied"',
          hint: expect.stringContaining('Look whether it is mounted there.'),
        },
      })
    })
  })

  test('logs in once for many calls', async () => {
    const session = begin(await appRole())
    const answers = await Promise.all(Array.from({ length: 20 }, () => session.call(mine)))
    expect(answers.every(({ ok }) => ok)).toBe(true)
    expect(session.status).toMatchObject({ logins: 1, failedLogins: 0, tokenTtlMs: HOUR_MS })
    timers.advance(60_000)
    expect(session.status).toMatchObject({ loggedInMs: 60_000, tokenTtlMs: HOUR_MS - 60_000 })
    expect(session.status.renewedMs).toBeUndefined()
  })

  test('renews its token before it dies, for as long as that gives a life worth it', async () => {
    const session = begin(await appRole('waning'))
    await session.call(mine)
    timers.advance(HOUR_MS * 0.6)
    expect(session.status).toMatchObject({ logins: 1, renewals: 0 })
    timers.advance(HOUR_MS * 0.07)
    await expect.poll(() => session.status).toMatchObject({ logins: 1, renewals: 1 })
    expect(session.status).toMatchObject({ tokenTtlMs: HOUR_MS, renewedMs: 0 })
    expect(session.status.loggedInMs).toBe(HOUR_MS * 0.6 + HOUR_MS * 0.07)
    // The role gives less now: OpenBao renews, but for a few seconds.
    await role('waning', { token_ttl: '60s' })
    timers.advance(HOUR_MS * 0.67)
    await expect.poll(() => session.status).toMatchObject({ logins: 2, renewals: 2 })
    expect(await session.call(mine)).toMatchObject({ ok: true })
  })

  test('logs in again before a token dies that cannot be renewed, and goes on while it does', async () => {
    const session = begin(await appRole('batch', { token_type: 'batch' }))
    await session.call(mine)
    const used = tokensUsed().length
    timers.advance(HOUR_MS * 0.67)
    expect(await session.call(mine)).toMatchObject({ ok: true })
    await expect.poll(() => session.status).toMatchObject({ logins: 2, renewals: 0 })
    expect(await session.call(mine)).toMatchObject({ ok: true })
    expect(tokensUsed().length).toBe(used + 1)
  })

  test('keeps its token while OpenBao is sealed, and renews it after that', async () => {
    await using other = await startOpenBao()
    const token = await other.token({ policies: [], ttl: '1h' })
    const login = { method: 'token', token: { file: file('token', token) } } as const
    const session = begin(login, true, other.url)
    expect(await session.call(lookup)).toMatchObject({ ok: true })
    await other.seal()
    timers.advance(HOUR_MS * 0.67)
    await expect.poll(() => session.status.failedRenewals).toBe(1)
    expect(await session.call(lookup)).toMatchObject({ failure: { kind: 'sealed' } })
    await other.unseal()
    timers.advance(60_000)
    await expect.poll(() => session.status.renewals).toBe(1)
    expect(session.status.failure).toBeUndefined()
    expect(session.status.lastFailure).toMatchObject({ failure: { kind: 'sealed' } })
  })

  test('logs in again exactly once when its token was revoked, however many calls find out', async () => {
    const session = begin(await appRole())
    await session.call(mine)
    await revokeAllOfTheRole()
    const answers = await Promise.all(Array.from({ length: 20 }, () => session.call(mine)))
    expect(answers.map(({ ok }) => ok)).toEqual(Array.from({ length: 20 }, () => true))
    expect(session.status.logins).toBe(2)
  })

  test('takes a new token from the file when the old one died, and says what is wrong when none is there', async () => {
    const first = await bao.token({ policies: ['mine'] })
    const second = await bao.token({ policies: ['mine'] })
    const path = file('token', first)
    const session = begin({ method: 'token', token: { file: path } })
    await session.call(mine)
    await bao.revoke(first)
    expect(await session.call(mine)).toMatchObject({
      failure: {
        kind: 'dead_token',
        found: 'the token was refused: it has expired, was revoked, or is not permitted this',
      },
    })
    file('token', second)
    timers.advance(60_000)
    expect(await session.call(mine)).toMatchObject({ ok: true })
  })

  test('does not log in again for what no policy allows', async () => {
    const session = begin(await appRole())
    for (let call = 0; call < 3; call += 1) {
      expect(await session.call(others)).toMatchObject({
        failure: { kind: 'denied', found: 'permission denied' },
      })
    }
    expect(session.status.logins).toBe(1)
    const bare = begin(await appRole('bare', { token_no_default_policy: true }))
    for (let call = 0; call < 3; call += 1) await bare.call(others)
    expect(bare.status.logins).toBe(2)
    expect(await bare.call(mine)).toMatchObject({ ok: true })
  })

  test('is refused so seldom that OpenBao never locks it out', async () => {
    const password = file('password', 'wrong')
    const login = { method: 'userpass', username: 'ann', password: { file: password } } as const
    const session = begin(login)
    // Somebody who is as impatient as can be, for a quarter of an hour.
    for (let second = 0; second < 900; second += 1) {
      expect(await session.call(mine)).toMatchObject({ failure: { kind: 'login_refused' } })
      timers.advance(1000)
    }
    expect(session.status.failedLogins).toBe(3)
    expect((await session.call(mine)) as object).toMatchObject({
      failure: { found: expect.stringMatching(/; the next login is in \d+ s$/) },
    })
    file('password', 'right')
    expect(await begin(login).call(mine)).toMatchObject({ ok: true })
    timers.advance(900_000)
    expect(await session.call(mine)).toMatchObject({ ok: true })
  })

  test('tells what keeps it from logging in, and tries again soon', async () => {
    await using other = await startOpenBao({ storage: 'raft' })
    const session = await withPassword(other)
    await other.kill()
    expect(await session.call(lookup)).toMatchObject({ failure: { kind: 'unreachable' } })
    await other.start()
    timers.advance(1000)
    expect(await session.call(lookup)).toMatchObject({ failure: { kind: 'sealed' } })
    await other.unseal()
    timers.advance(2000)
    expect(await session.call(lookup)).toMatchObject({ ok: true })
    expect(session.status).toMatchObject({ logins: 1, failedLogins: 2 })
  })

  test('R12: asks again for who came while a login hung, and waits for the next where one just failed', async () => {
    await using other = await startOpenBao({ storage: 'raft' })
    const session = await withPassword(other)
    await other.seal()
    expect(await session.call(lookup)).toMatchObject({ failure: { kind: 'sealed' } })
    await other.unseal()
    const answer = session.call(lookup)
    await new Promise(setImmediate)
    timers.advance(1000)
    expect(await answer).toMatchObject({ ok: true })
    expect(session.status).toMatchObject({ logins: 1, failedLogins: 1 })
  })

  test('gives back at its end the token that it made, and no other', async () => {
    const given = await bao.token({ policies: ['mine'] })
    const first = begin({ method: 'token', token: { file: file('token', given) } }, false)
    await first.call(mine)
    await first.close()
    expect(await bao.call('GET', 'kv/data/mine', undefined, { token: given })).toMatchObject({
      status: 200,
    })
    const before = await accessors()
    const second = begin(await appRole(), false)
    await second.call(mine)
    expect(await accessors()).toBe(before + 1)
    await second.close()
    expect(await accessors()).toBe(before)
  })

  describe('with each call', () => {
    function inline(login: Login, url = bao.url): InlineSession {
      if (login.method === 'token') throw new Error('a token logs in already')
      const connection = new OpenBaoConnection({ url }, { waitMs: 5000 })
      const session = new InlineSession({ connection, login, timers, random: () => 0.5 })
      inlineSessions.push(session)
      return session
    }

    test('an AppRole, a password and a JWT log in, and leave no token', async () => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      await bao.must('POST', 'auth/jwt/config', {
        jwt_validation_pubkeys: [publicKey.export({ type: 'spki', format: 'pem' })],
      })
      await bao.must('POST', 'auth/jwt/role/inline', {
        role_type: 'jwt',
        user_claim: 'sub',
        bound_audiences: ['sotto'],
        token_policies: 'mine',
      })
      const jwtFile = file('jwt', jwt({ sub: 'app', aud: 'sotto' }, privateKey))
      const password = { file: file('password', 'right') }
      const logins: Login[] = [
        await appRole('inline'),
        { method: 'userpass', username: 'ann', password },
        { method: 'jwt', role: 'inline', jwtFile },
      ]
      const before = await accessors()
      for (const login of logins) {
        const session = inline(login)
        const answers = await Promise.all(Array.from({ length: 5 }, () => session.call(mine)))
        expect([login.method, answers.map(({ ok }) => ok)]).toEqual([
          login.method,
          [true, true, true, true, true],
        ])
        expect(await session.call(others)).toMatchObject({ failure: { kind: 'denied' } })
        expect(session.status).toMatchObject({ failedLogins: 0, renewals: 0, loggedInMs: 0 })
        expect(session.status.tokenTtlMs).toBeUndefined()
      }
      expect(await accessors()).toBe(before)
    })

    test('what was revoked is refused from the next call on, and so seldom that it is not locked out', async () => {
      const password = { file: file('password', 'wrong') }
      const session = inline({ method: 'userpass', username: 'ann', password })
      const refused = {
        failure: {
          kind: 'login_refused',
          found: expect.stringContaining('the userpass login at "auth/userpass" was refused'),
        },
      }
      // However many come at once.
      const answers = await Promise.all(Array.from({ length: 20 }, () => session.call(mine)))
      for (const answer of answers) expect(answer).toMatchObject(refused)
      expect(session.status).toMatchObject({ logins: 0, failedLogins: 1 })
      expect(await session.call(mine)).toMatchObject({
        failure: { found: expect.stringMatching(/; the next login is in \d+ s$/) },
      })
      file('password', 'right')
      timers.advance(30_000)
      expect(await session.call(mine)).toMatchObject({ ok: true })
      file('password', 'wrong')
      expect(await session.call(mine)).toMatchObject(refused)
      expect(JSON.stringify(session.status)).not.toContain('wrong')
    })
  })

  async function accessors(): Promise<number> {
    return (await bao.must('GET', 'auth/token/accessors?list=true')).data.keys.length
  }

  async function revokeAllOfTheRole(): Promise<void> {
    await bao.must('POST', 'sys/leases/revoke-prefix/auth/approle/login', {})
  }
})

function jwt(claims: object, key: Parameters<typeof sign>[2]): string {
  const now = Math.floor(Date.now() / 1000)
  const [head, body] = [
    { alg: 'ES256', typ: 'JWT' },
    { iat: now, nbf: now, exp: now + 600, ...claims },
  ].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
  const text = `${head}.${body}`
  const signature = sign('sha256', Buffer.from(text), {
    key: key as Parameters<typeof createPublicKey>[0] as string,
    dsaEncoding: 'ieee-p1363',
  })
  return `${text}.${signature.toString('base64url')}`
}
