/** What callers with some rights tried, by the number of the finding: A2, B3, B4, B5, B7. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { errorTable, SottoError } from '../../client/api/errors.ts'
import { operatorActions } from '../../client/api/types.ts'
import { answerFor } from '../../server/http/answer.ts'
import { jwtRoleAt } from '../../server/backends/own-identity.ts'
import { ORIGIN } from '../support/backend-spec.ts'
import { makePair } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { callers, OTHER, sealed, spec, startElsewhere } from './elsewhere.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const jwt = { tokenSecretRef: undefined, auth: { method: 'jwt', role: 'sotto' } }
const jwtRole = { role: 'sotto', origin: ORIGIN, namespace: '', mount: 'jwt' }

describe('A2: nobody becomes the home of what they may not get', () => {
  test('A2 (P2): a new default needs get on every name', async () => {
    await using elsewhere = await startElsewhere()
    const { send, opened, of } = elsewhere
    const mine = spec('mine', { Default: true })
    for (const method of ['backend-create', 'backend-apply']) {
      expect(await send(3, method, mine)).toMatchObject({ status: 403, error: 'denied' })
    }
    expect(of('keeper').at(0)).toMatchObject({
      authorized: false,
      action: 'get',
      secret: '*',
      result: 'denied',
    })
    // Not in two steps either, nor by one that is made first and moved later.
    expect((await send(3, 'backend-create', spec('mine'))).status).toBe(200)
    expect((await send(3, 'backend-apply', mine)).status).toBe(403)
    expect((await send(4, 'put', { Name: 'victim/db', Value: base64('S3cr3t') })).status).toBe(200)
    expect(opened).toEqual([])
  })

  test('A2: that new secrets are kept elsewhere again needs it too, so that none is caught on the way', async () => {
    await using elsewhere = await startElsewhere()
    const { send } = elsewhere
    expect((await send(1, 'backend-create', spec('team', { Default: true }))).status).toBe(200)
    const own = { Name: 'default', Type: 'sotto', Default: true }
    expect((await send(3, 'backend-apply', own)).status).toBe(403)
    expect((await send(3, 'backend-apply', spec('team'))).status).toBe(403)
    expect((await send(3, 'backend-delete', { Name: 'team' })).status).toBe(403)
    expect((await send(1, 'backend-apply', own)).status).toBe(200)
    expect((await send(3, 'backend-delete', { Name: 'team' })).status).toBe(200)
  })

  const { certificate } = makePair(['other.example.com'])
  const changes: [string, object][] = [
    ['url', { url: OTHER }],
    ['caCertificate', { caCertificate: certificate }],
    ['tokenSecretRef', { tokenSecretRef: { name: 'prod/token' } }],
    ['tokenSecretRef.key', { tokenSecretRef: { name: 'backends/token', key: 'field' } }],
    ['auth', jwt],
    ['mount', { mount: 'attackers' }],
    ['pathPrefix', { pathPrefix: 'loot' }],
    ['namespace', { namespace: 'attackers' }],
  ]

  test.each(changes)('A2 (P10): a home of others keeps its %s', async (_field, config) => {
    const backends = { backendJwtRoles: [jwtRole] }
    await using elsewhere = await startElsewhere({ backends })
    const { service, send, opened } = elsewhere
    await service.client().put('prod/token', Buffer.from('mine'))
    expect((await send(1, 'backend-create', spec('team', { Default: true }))).status).toBe(200)
    const changed = spec('team', { Default: true }, config)
    // While it is the default and keeps nothing, and later while it keeps something and is not.
    expect((await send(3, 'backend-apply', changed)).status).toBe(403)
    await send(4, 'put', { Name: 'victim/db2', Value: base64('one') })
    expect((await send(3, 'backend-apply', changed)).status).toBe(403)
    await send(1, 'backend-apply', spec('team'))
    expect((await send(3, 'backend-apply', { ...changed, Default: false })).status).toBe(403)
    await send(4, 'put', { Name: 'victim/db2', Value: base64('rotated') })
    expect(new Set(opened.map((each) => JSON.stringify(each)))).toEqual(
      new Set([JSON.stringify(spec('team').Config)]),
    )
    const words = spec('team', { Description: 'The same' })
    expect((await send(3, 'backend-apply', words)).status).toBe(200)
  })

  test('A2: a backend that comes to keep secrets while its change is on the way stays where it is', async () => {
    await using elsewhere = await startElsewhere()
    const { send, shared } = elsewhere
    const [asked, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let waits = false
    let places = 0
    shared.before = (method) => {
      if (method !== 'identity') return
      const identity = `place ${++places}`
      shared.identity = waits ? answered.promise.then(() => identity) : identity
      if (waits) asked.resolve()
      waits = false
    }
    await send(1, 'put', { Name: 'victim/db', Value: base64('one') })
    // Whether the new place of one is within the other is asked there, and answered when an attacker likes.
    for (const [name, config] of [
      ['team', {}],
      ['slow', { mount: 'attackers', pathPrefix: 'sotto' }],
    ] as const) {
      expect((await send(3, 'backend-create', spec(name, {}, config))).status).toBe(200)
    }
    waits = true
    const change = send(3, 'backend-apply', spec('team', {}, { url: OTHER }))
    await asked.promise
    const move = { Name: 'victim/db', From: 'default', To: 'team' }
    expect(await send(1, 'migrate-secret', move)).toMatchObject({ status: 200 })
    answered.resolve()
    expect(await change).toMatchObject({ status: 409, error: 'conflict' })
    const { body } = await send(1, 'backend-describe', { Name: 'team' })
    expect(JSON.parse(body)).toMatchObject({ Config: { url: ORIGIN }, Secrets: 1 })
  })

  test('A2: what a mirror shows now counts as well as what it is to show', async () => {
    await using elsewhere = await startElsewhere()
    const { send } = elsewhere
    const mirror = (pattern: string, more = {}, name = 'shown') =>
      spec(name, {}, { ...more, mirror: { secrets: [pattern] } })
    expect((await send(3, 'backend-create', mirror('victim/*'))).status).toBe(403)
    expect((await send(1, 'backend-create', mirror('victim/*'))).status).toBe(200)
    // A run that is under way would write what it began with to the new place.
    expect((await send(3, 'backend-apply', mirror('prod/*', { url: OTHER }))).status).toBe(403)
    expect((await send(3, 'backend-apply', spec('shown', {}, { url: OTHER }))).status).toBe(403)
    const ours = (more = {}) => spec('ours', {}, { ...more, mirror: { secrets: ['prod/*'] } })
    expect((await send(3, 'backend-create', ours())).status).toBe(200)
    expect((await send(3, 'backend-apply', ours({ url: OTHER }))).status).toBe(200)
  })

  test('A2, B4: what a mirror shows now is told to nobody who may not see backends', async () => {
    const editor = { action: ['backends:edit', 'backends:delete'], secret: ['*'] }
    const nodes = {
      ...callers.nodes,
      '127.0.0.10': { ...callers.nodes['127.0.0.5'], name: 'editor', rules: [editor] },
    }
    await using elsewhere = await startElsewhere({ tailnet: { nodes } })
    const { send, of } = elsewhere
    const shows = (...secrets: string[]) => spec('shown', {}, { mirror: { secrets } })
    expect((await send(1, 'backend-create', shows('hr/salaries-*'))).status).toBe(200)
    for (const [caller, wanted, told] of [
      [10, spec('shown'), 'every name that this concerns'],
      [10, shows('prod/*'), 'every name that this concerns'],
      [10, shows('hr/salaries-*'), 'each of "hr/salaries-*"'],
      [3, spec('shown'), 'each of "hr/salaries-*"'],
    ] as const) {
      const { status, hint } = await send(caller, 'backend-apply', wanted)
      expect({ status, hint }).toEqual({
        status: 403,
        hint: `It takes a rule that allows get on ${told}.`,
      })
    }
    expect(of('editor').at(0)).toMatchObject({ result: 'denied', secret: 'hr/salaries-*' })
  })

  test('A2 (P14): the identity of the server goes only where the settings say', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    const evil = spec('j', { Default: true }, { ...jwt, namespace: 'attackers', mount: 'loot' })
    {
      await using elsewhere = await startElsewhere({ state })
      const { send, opened } = elsewhere
      expect((await send(9, 'backend-create', evil)).status).toBe(403)
      for (const caller of [1, 9]) {
        const refused = await send(caller, 'backend-create', { ...evil, Default: false })
        expect(refused).toMatchObject({ status: 400, error: 'backend_not_allowed' })
        expect(refused.detail).toContain('--backend-jwt-role')
        expect(refused.detail).toContain(`${ORIGIN}/v1/attackers/auth/jwt/role/sotto`)
      }
      expect(opened).toEqual([])
    }
    const backends = { backendJwtRoles: [jwtRole] }
    {
      await using elsewhere = await startElsewhere({ state, backends })
      const { send, service } = elsewhere
      const { certificate: authority } = makePair(['bao.example.com'])
      const refused: [string, object][] = [
        ['namespace', { namespace: 'attackers' }],
        ['mount', { auth: { ...jwt.auth, mount: 'evil' } }],
        ['role', { auth: { ...jwt.auth, role: 'any' } }],
        ['method', { auth: { method: 'kubernetes', role: 'sotto' } }],
        ['origin', { url: OTHER }],
        ['authority', { caCertificate: authority }],
      ]
      for (const [what, config] of refused) {
        const answer = await send(1, 'backend-create', spec('j', {}, { ...jwt, ...config }))
        expect([what, answer.error]).toEqual([what, 'backend_not_allowed'])
      }
      expect((await send(9, 'backend-create', spec('j', {}, jwt))).status).toBe(200)
      await send(1, 'backend-apply', spec('j', { Default: true }, jwt))
      expect(await service.client().put('prod/a', Buffer.from('one'))).toBe(1)
    }
    // The settings change: what was set up before is not used any more, and says why.
    await using elsewhere = await startElsewhere({ state })
    expect(elsewhere.service.said.join()).toMatch(
      /error: Cannot use backend "j": .*--backend-jwt-role/,
    )
    const answer = await elsewhere.send(1, 'get', { Name: 'prod/a' })
    expect(answer).toMatchObject({ status: 502, error: 'backend_refused' })
    expect(answer.detail).toContain('--backend-jwt-role')
    expect(elsewhere.opened).toEqual([])
  })

  test('A2: the server itself logs in under the authorities of the settings alone', async () => {
    using scratch = temporaryDirectory()
    const [one, two, other] = [makePair(['a']), makePair(['b']), makePair(['c'])]
    const backendCaFile = join(scratch.path, 'ca.pem')
    writeFileSync(backendCaFile, `${one.certificate}\n${two.certificate}`)
    const backends = { backendJwtRoles: [jwtRole], backendCaFile }
    await using elsewhere = await startElsewhere({ backends })
    const made = async (caCertificate: string) =>
      (await elsewhere.send(1, 'backend-apply', spec('j', {}, { ...jwt, caCertificate }))).status
    expect(await made(two.certificate)).toBe(200)
    expect(await made(`${two.certificate}\n${other.certificate}`)).toBe(400)
    expect(await made('-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----')).toBe(400)
    writeFileSync(backendCaFile, 'none')
    await expect(startElsewhere({ backends })).rejects.toMatchObject({ code: 'local' })
  })

  test('A2: a role in the settings is read in one way or not at all', () => {
    expect(jwtRoleAt(`${ORIGIN}/v1/auth/jwt/role/sotto`)).toEqual(jwtRole)
    expect(jwtRoleAt(`${ORIGIN}/v1/a/b/auth/k8s/eu/role/so%2Ftto`)).toEqual({
      origin: ORIGIN,
      namespace: 'a/b',
      mount: 'k8s/eu',
      role: 'so/tto',
    })
    for (const wrong of [
      ORIGIN,
      `${ORIGIN}/v1/auth/jwt/role/`,
      `${ORIGIN}/v1/auth/role/sotto`,
      `${ORIGIN}/v1/auth/jwt/login`,
      `${ORIGIN}/auth/jwt/role/sotto`,
      `${ORIGIN}/v1/a/auth/b/auth/c/role/d`,
      `${ORIGIN}/v1/auth/a/role/b/role/c`,
      `${ORIGIN}/v1/auth/jwt/role/sotto?x`,
      `${ORIGIN}/v1/auth/jwt/role/%zz`,
      'auth/jwt/role/sotto',
      'ftp://a/v1/auth/jwt/role/sotto',
    ]) {
      expect(jwtRoleAt(wrong), wrong).toBeUndefined()
    }
  })
})

describe('B3: whoever guesses at a value leaves a record each time', () => {
  test('B3 (P3): while the home is down no guess is answered, right or wrong, and each is on the log', async () => {
    await using elsewhere = await startElsewhere()
    const { send, shared, of, service } = elsewhere
    await send(1, 'backend-create', spec('vault', { Default: true }))
    await send(4, 'put', { Name: 'victim/db', Value: base64('S3cr3t-of-victim') })
    shared.before = (_method, name) => {
      throw sealed(name)
    }
    const guesses = ['wrong1', 'wrong2', 'hunter2', 'letmein', 'S3cr3t-of-victim']
    for (const guess of guesses) {
      const answer = await send(6, 'put', { Name: 'victim/db', Value: base64(guess) })
      expect([guess, answer.status, answer.body]).toEqual([
        guess,
        503,
        errorTable.backend_unavailable.text + '\n',
      ])
    }
    await service.server.stop()
    const records = of('putter')
    expect(records[0]).toMatchObject({
      kind: 'access',
      action: 'put',
      secret: 'victim/db',
      result: 'failed',
      reason: 'backend_unavailable',
    })
    const counted = records.find(({ kind }) => kind === 'refusals')
    expect(1 + Number(counted?.['count'])).toBe(guesses.length)
  })

  test('B3: nor where no number is left, and every other failure of put and create-version is recorded', async () => {
    await using elsewhere = await startElsewhere()
    const { send, of, shared } = elsewhere
    const last = { Name: 'victim/full', Version: 4_294_967_295, Value: base64('right') }
    await send(1, 'create-version', last)
    for (const guess of ['wrong', 'right']) {
      const answer = await send(6, 'put', { Name: 'victim/full', Value: base64(guess) })
      expect([guess, answer.error]).toEqual([guess, 'versions_exhausted'])
    }
    expect(of('putter')).toMatchObject([{ action: 'put', result: 'refused' }])
    await send(1, 'backend-create', spec('vault', { Default: true }))
    shared.before = (_method, name) => {
      throw sealed(name)
    }
    const { id } = await send(1, 'create-version', { ...last, Name: 'victim/new' })
    expect(of('root').find(({ request }) => request === id)).toMatchObject({
      action: 'create-version',
      secret: 'victim/new',
      result: 'failed',
    })
  })
})

describe('B4: an error tells nothing that its caller may not know', () => {
  test('B4, B7: branch status names no secret, counts none and tells no target to who may not know them', async () => {
    using scratch = temporaryDirectory()
    const place = { kind: 'directory', path: scratch.path } as const
    const backups = { place, keep: undefined, rehearsal: undefined }
    await using elsewhere = await startElsewhere({ backups })
    const { send, shared } = elsewhere
    await send(1, 'backend-create', spec('vault', { Default: true }))
    await send(4, 'put', { Name: 'victim/db', Value: base64('one') })
    shared.before = () => {
      throw sealed('victim/db')
    }
    const { text } = errorTable.backend_unavailable
    const { body: whole } = await send(1, 'branch-status', {})
    expect(JSON.parse(whole)).toMatchObject({
      Backends: [{ Name: 'vault', Secrets: 1, Place: expect.stringContaining('"victim/db"') }],
      BackupTarget: scratch.path,
    })
    const { body: part } = await send(9, 'branch-status', {})
    const { Backends } = JSON.parse(part) as { Backends: unknown[] }
    expect(Backends).toEqual([
      { Name: 'vault', Secrets: 0, Leftovers: 0, Place: `unknown: ${text}` },
    ])
    expect(part).not.toContain(scratch.path)
  })

  test('B4 (P5): a backend that rests names no secret of others, and its address to operators alone', async () => {
    await using elsewhere = await startElsewhere()
    const { send, shared } = elsewhere
    await send(1, 'backend-create', spec('vault', { Default: true }))
    await send(4, 'put', { Name: 'victim/db', Value: base64('one') })
    await send(3, 'put', { Name: 'prod/one', Value: base64('one') })
    shared.before = (_method, name) => {
      throw sealed(name)
    }
    const victim = await send(4, 'get', { Name: 'victim/db' })
    expect(victim).toMatchObject({ status: 503, error: 'backend_unavailable', detail: undefined })
    const keeper = await send(3, 'get', { Name: 'prod/one' })
    expect(keeper).toMatchObject({ status: 503, error: 'backend_unavailable' })
    expect(keeper.detail).toMatch(/it is sealed$/)
    expect(keeper.detail).not.toContain('victim')
    expect((await send(4, 'put', { Name: 'victim/db', Value: base64('two') })).detail).toBe(
      undefined,
    )
  })

  test('B4: whatever an act on a backend rejects with is marked, of every code there is', async () => {
    await using elsewhere = await startElsewhere()
    const { send, shared } = elsewhere
    await send(1, 'backend-create', spec('vault', { Default: true }))
    const codes = new Set(Object.keys(errorTable) as (keyof typeof errorTable)[])
    // After that one it is left alone.
    codes.delete('backend_unavailable')
    let reached = 0
    for (const code of [...codes, 'backend_unavailable'] as const) {
      shared.before = (_method, name) => {
        reached++
        throw new SottoError(code, `Cannot read "${name}" at ${ORIGIN}: permission denied`)
      }
      for (const Name of ['victim/db', 'victim/other']) {
        const { status, detail, body } = await send(4, 'put', { Name, Value: base64('two') })
        expect([code, status >= 304, detail]).toEqual([code, true, undefined])
        expect(body).not.toMatch(/example|denied"|permission/)
      }
    }
    expect(reached).toBeGreaterThanOrEqual(2 * codes.size + 1)
  })

  test('B4: of every error of the table, one that is for an action is sent to callers with it alone', () => {
    for (const code of Object.keys(errorTable) as (keyof typeof errorTable)[]) {
      const error = new SottoError(code, `Cannot read "hr/salaries" at ${ORIGIN}`, {
        onlyFor: 'backends:view',
      })
      const detail = (actions: string[], pattern = '*') =>
        answerFor(error, [{ action: actions, secret: [pattern] }]).headers?.includes('Sotto-Detail')
      expect(detail(['get', 'info', 'put', 'mirror', 'migrate', 'backends:edit'])).toBe(false)
      expect(detail(['backends:view'], 'prod/*')).toBe(false)
      const { status, open } = errorTable[code]
      expect([code, detail(['backends:view'])]).toEqual([code, status > 0 && open])
      expect(answerFor(error).headers).not.toContain('Sotto-Detail')
    }
  })

  test('B4: jobs, mirrors and the test of a backend tell of failures what their caller may know', async () => {
    const tailnet = {
      nodes: {
        ...callers.nodes,
        '127.0.0.7': {
          name: 'tester',
          user: 'tester@example.com',
          rules: [
            { action: ['mirror', 'backends:edit', 'backends:view', 'keys'], secret: ['*'] },
            { action: ['info'], secret: ['prod/*'] },
          ],
        },
      },
    }
    await using elsewhere = await startElsewhere({ tailnet })
    const { send, shared, service } = elsewhere
    const client = service.client()
    for (const name of ['hr/salaries', 'prod/a']) await client.put(name, Buffer.from('one'))
    const mirror = { secrets: ['hr/*', 'prod/*'] }
    await send(1, 'backend-create', spec('shown', {}, { mirror }))
    shared.before = (method, name) => {
      if (method === 'readProjection') throw sealed(name)
    }
    const texts: string[] = []
    for (const caller of [7, 8]) {
      for (const [method, body] of [
        ['mirror-sync', { Backend: 'shown' }],
        ['mirror-status', {}],
        ['mirror-plan', { Backend: 'shown' }],
        ['job-status', {}],
        ['job-run', { Name: 'mirror' }],
        ['key-status', {}],
      ] as const) {
        const { body: text, detail } = await send(caller, method, body)
        texts.push(`${caller} ${text} ${detail}`)
      }
    }
    expect(texts.filter((each) => /^8.*(?:example\.com|sealed)/.test(each))).toEqual([])
    expect(texts.join('\n')).not.toContain('hr/salaries')
    expect(texts.join('\n')).toContain(errorTable.backend_unavailable.text)
    const { LastMessage } = await client.operate('job-run', { Name: 'mirror' })
    expect(LastMessage).toContain('it is sealed')
    const ready = await fetch(`${service.url}/readyz`)
    expect(await ready.text()).not.toMatch(/example|salaries|sealed/)
  })

  test('D4: where a key is kept is told to those alone who may know every name', async () => {
    const rules = [{ action: ['keys'], secret: ['*'] }]
    const keeper = { name: 'keys', user: 'keys@example.com', rules }
    await using elsewhere = await startElsewhere({
      tailnet: { nodes: { ...callers.nodes, '127.0.0.7': keeper } },
    })
    const { send, service } = elsewhere
    rmSync(join(service.state, 'local.key'))
    const where = /local\.key|no key of this store/
    for (const [method, body, told] of [
      ['key-rotate', {}, where],
      ['key-rotate', { Root: true }, where],
      ['key-rewrap', {}, where],
      ['key-check', {}, where],
      ['key-status', {}, /Wraps/],
    ] as const) {
      const answers = [await send(7, method, body), await send(1, method, body)]
      const [part, whole] = answers.map(({ detail = '', hint = '', body: text }) =>
        [detail, hint, text].join(' '),
      )
      expect(part, method).not.toMatch(/local\.key|\/|no key of this store/)
      expect(whole, method).toMatch(told)
    }
    // What of a key the caller named itself is not withheld.
    const { detail } = await send(7, 'key-rewrap', { Key: 'other' })
    expect(detail).toMatch(/other/)
  })

  test('B4: where a credential is stays masked when it cannot be used', async () => {
    await using elsewhere = await startElsewhere()
    const { send, worlds, service } = elsewhere
    await send(1, 'backend-create', spec('vault'))
    await send(1, 'backend-test', { Name: 'vault' })
    await service.client().put('backends/text', Buffer.from('text'))
    for (const ref of [{ name: 'backends/none' }, { name: 'backends/text', key: 'k' }]) {
      const failure = await worlds[0]?.credential(ref).catch((error: SottoError) => error)
      expect(failure).toMatchObject({ code: 'backend_refused' })
      expect(String(failure)).not.toContain('backends/')
    }
    const read = service.records().filter(({ secret }) => secret === 'backends/none')
    expect(read).toMatchObject([{ principal: { user: 'system:backend' }, result: 'not-found' }])
  })
})

test('B4: which backend logs in with a secret is told to who may see backends', async () => {
  const rules = [
    { action: ['migrate'], secret: ['*'] },
    { action: ['get'], secret: ['backends/*'] },
  ]
  const mover = { name: 'token mover', user: 'token@example.com', rules }
  const nodes = { ...callers.nodes, '127.0.0.10': mover }
  await using elsewhere = await startElsewhere({ tailnet: { nodes } })
  const { send } = elsewhere
  for (const name of ['hidden', 'vault']) {
    expect((await send(1, 'backend-create', spec(name))).status).toBe(200)
  }
  const way = { From: 'default', To: 'vault' }
  for (const [caller, who] of [
    [10, 'a backend'],
    [3, 'backend "hidden"'],
  ] as const) {
    const { body } = await send(caller, 'migrate-secret', { ...way, Name: 'backends/token' })
    const Reason = `${who} logs in with it`
    expect(JSON.parse(body)).toEqual({ Result: 'skipped', Reason })
    const planned = await send(caller, 'migrate-plan', { ...way, Names: ['backends/token'] })
    expect(JSON.parse(planned.body)).toMatchObject({ Secrets: [{ Reason }] })
  }
})

describe('B5: numbers answer to the rules', () => {
  test('B5 (P4): migrate alone finds no name by counting, and what was asked is on the log', async () => {
    await using elsewhere = await startElsewhere()
    const { send, service, of } = elsewhere
    for (const name of ['hr/salaries', 'prod/one', 'prod/pay-roll']) {
      await service.client().put(name, Buffer.from('one'))
    }
    await send(1, 'backend-create', spec('vault'))
    await send(1, 'migrate-secret', { Name: 'prod/one', From: 'default', To: 'vault' })
    const plan = async (caller: number, Names: string[], From = 'default', To = 'vault') => {
      const { status, body } = await send(caller, 'migrate-plan', { From, To, Names })
      return status === 200 ? (JSON.parse(body) as object) : status
    }
    const none = { Secrets: [], Hidden: 0 }
    for (const names of [[], ['*'], ['hr/*'], ['hr/salaries'], ['hr/none'], ['prod/*']]) {
      // What is hidden matches nothing, as what is not there.
      const answer = names.length === 0 ? none : 404
      expect(await plan(2, names)).toEqual(answer)
      expect(await plan(2, names, 'vault', 'default')).toEqual(answer)
    }
    expect(of('mover')).toContainEqual(
      expect.objectContaining({
        operation: 'migrate-plan',
        result: 'not-found',
        asked: expect.stringContaining('"Names":["*"]'),
      }),
    )
    await plan(2, ['x'.repeat(500), 'y'.repeat(500)])
    const long = of('mover').at(-1)?.['asked']
    expect(String(long).length).toBeLessThan(600)
    const [there, planned] = ['prod/one', 'prod/pay-roll'].map((Name) => ({ Name }))
    expect(await plan(3, ['prod/*'])).toEqual({
      Secrets: [
        { ...there, Result: 'skipped', Reason: expect.any(String) },
        { ...planned, Result: 'migrated' },
      ],
      Hidden: 0,
    })
    expect(await plan(3, ['hr/*'])).toBe(404)
  })

  test('B5 (P13): a sync by name looks at what its caller has info on, and says no more', async () => {
    const tailnet = {
      nodes: {
        ...callers.nodes,
        '127.0.0.7': {
          name: 'watcher',
          user: 'watcher@example.com',
          rules: [
            { action: ['mirror', 'backends:view'], secret: ['*'] },
            { action: ['info'], secret: ['prod/*'] },
          ],
        },
      },
    }
    await using elsewhere = await startElsewhere({ tailnet })
    const { send, service, of, shared } = elsewhere
    for (const name of ['hr/salaries', 'prod/one', 'prod/two']) {
      await service.client().put(name, Buffer.from('one'))
    }
    const looked: string[] = []
    shared.before = (method, name) => {
      if (method === 'readProjection') looked.push(name)
    }
    await send(1, 'backend-create', spec('shown', {}, { mirror: { secrets: ['hr/*', 'prod/*'] } }))
    await service.client().operate('mirror-sync', { Backend: 'shown', AcceptMount: false })
    const answers = async (caller: number, name: string) => {
      const { body } = await send(caller, 'mirror-sync', { Backend: 'shown', Secrets: [name] })
      const { LastResult, LastMessage } = JSON.parse(body) as Record<string, unknown>
      return { LastResult, LastMessage }
    }
    looked.length = 0
    expect(await answers(8, 'hr/salaries')).toEqual(await answers(8, 'hr/none'))
    expect(await answers(7, 'hr/salaries')).toEqual(await answers(7, 'hr/none'))
    expect(looked).toEqual([])
    await answers(7, 'prod/one')
    expect(looked).toEqual(['prod/one'])
    expect(of('mirrorer')[0]).toMatchObject({ operation: 'mirror-sync', result: 'ok' })
    expect(of('mirrorer')[0]?.['asked']).toContain('hr/salaries')

    const status = async (caller: number) =>
      JSON.parse((await send(caller, 'mirror-status', {})).body) as { Counts: object }[]
    expect((await status(1))[0]?.Counts).toEqual({ ok: 3 })
    expect((await status(7))[0]?.Counts).toEqual({ ok: 2 })
    expect((await status(8))[0]?.Counts).toEqual({})
    await send(1, 'migrate-secret', { Name: 'prod/two', From: 'default', To: 'shown' })
    const kept = async (caller: number) =>
      (JSON.parse((await send(caller, 'backend-list', {})).body) as { Secrets: number }[]).map(
        ({ Secrets }) => Secrets,
      )
    expect(await kept(1)).toEqual([3, 1])
    expect(await kept(7)).toEqual([1, 1])
    expect(await kept(9)).toEqual([0, 0])
    expect((await send(8, 'mirror-plan', { Backend: 'shown' })).body).toBe('{"Items":[]}')
  })

  test('B4, B5: no operation tells an operator a name, a number of secrets or an address that rules hide', async () => {
    const single = operatorActions.filter((each) => each !== 'audit' && each !== 'metrics')
    // A branch is adopted by two together.
    const alone = [...single, 'backup backends:edit']
    const nodes = Object.fromEntries(
      alone.map((action, at) => [
        `127.0.2.${at + 1}`,
        {
          name: action,
          user: 'op@example.com',
          rules: [
            { action: action.split(' '), secret: ['*'] },
            { action: ['info', 'get'], secret: ['mine/*'] },
          ],
        },
      ]),
    )
    await using elsewhere = await startElsewhere({
      tailnet: { nodes: { ...callers.nodes, ...nodes } },
    })
    const { send, service, shared } = elsewhere
    const client = service.client()
    const hidden = ['hr/a', 'hr/salaries', 'victim/db', 'zz/last']
    for (const name of [...hidden, 'mine/a']) await client.put(name, Buffer.from('one'))
    await send(1, 'backend-create', spec('shown', {}, { mirror: { secrets: ['*'] } }))
    await send(1, 'backend-create', spec('vault', { Default: true }))
    await client.operate('mirror-sync', { Backend: 'shown', AcceptMount: false })
    for (const Name of hidden.slice(0, 2)) {
      const move = { Name, From: 'default', To: 'vault' }
      expect((await send(1, 'migrate-secret', move)).status).toBe(200)
    }
    const { Branch } = await client.operate('branch-status', {})
    const bodies: [string, object][] = [
      ['branch-status', {}],
      ['branch-adopt', { Branch }],
      ...['mirror', 'backends', 'rotation', 'none'].map((Name): [string, object] => [
        'job-run',
        { Name },
      ]),
      ...['job-status', 'backup-create', 'backup-status', 'backend-list', 'mirror-status'].map(
        (method): [string, object] => [method, {}],
      ),
      ...['key-status', 'key-rotate', 'key-rewrap', 'key-check'].map((method): [string, object] => [
        method,
        {},
      ]),
      ...['shown', 'vault', 'none'].flatMap((Name): [string, object][] => [
        ['backend-describe', { Name }],
        ['backend-secrets', { Name }],
        ['backend-delete', { Name: Name === 'shown' ? 'default' : Name }],
        ['mirror-plan', { Backend: Name }],
        ['mirror-plan', { Backend: Name, After: 'h' }],
        ['mirror-sync', { Backend: Name, OnDrift: 'adopt' }],
        ['migrate-plan', { From: 'default', To: Name }],
        ['migrate-plan', { From: Name, To: 'default', Names: ['*'] }],
        ['backend-apply', spec(Name, { Default: true })],
        ['backend-create', spec(Name)],
      ]),
    ]
    const learned: string[] = []
    for (const failing of [undefined, 'readProjection', 'removeLeaf', 'readClaim']) {
      for (const name of hidden) await client.put(name, Buffer.from(`${failing}`)).catch(() => {})
      shared.before = (method, name) => {
        if (method === failing) throw sealed(name)
      }
      for (const [at, action] of alone.entries()) {
        for (const [method, body] of bodies) {
          const answer = await send(`127.0.2.${at + 1}`, method, body)
          const text = `${answer.body} ${answer.detail}`
          const address = action === 'backends:view' ? /$^/ : /example\.com|memory of a test/
          const told = hidden.some((name) => text.includes(name)) || address.test(text)
          const counted =
            /[2-9] (?:secrets|looked|written|values? that)|"(?:Secrets|ok|drift|failed)":[2-9]/.test(
              text,
            )
          if (told || counted) learned.push(`${action} ${method}: ${text}`)
        }
      }
    }
    expect(learned).toEqual([])
  })

  test('B5: that a backend is in use is told without a number to who has no info', async () => {
    const tailnet = {
      nodes: {
        ...callers.nodes,
        '127.0.0.7': {
          name: 'remover',
          user: 'remover@example.com',
          rules: [{ action: ['backends:delete'], secret: ['*'] }],
        },
      },
    }
    await using elsewhere = await startElsewhere({ tailnet })
    const { send } = elsewhere
    await send(1, 'backend-create', spec('vault', { Default: true }))
    await send(4, 'put', { Name: 'victim/db', Value: base64('one') })
    await send(1, 'backend-apply', { Name: 'default', Type: 'sotto', Default: true })
    const gone = { Name: 'vault' }
    expect((await send(7, 'backend-delete', gone)).detail).toMatch(/it keeps secrets$/)
    expect((await send(1, 'backend-delete', gone)).detail).toMatch(/it keeps 1 secret$/)
  })
})

describe('B7: a job that may not be run', () => {
  test('B7 (P1): is refused, whether there is one of that name or not, and that is on the log', async () => {
    await using elsewhere = await startElsewhere()
    const { send, of } = elsewhere
    for (const Name of ['backends', 'rotation', 'mirror', 'backup', 'none']) {
      const { status, error } = await send(5, 'job-run', { Name, Started: 'x' })
      expect([Name, status, error]).toEqual([Name, 403, 'denied'])
    }
    const refused = of('nobody')
    expect(refused.map(({ action }) => action)).toEqual([
      'backends:edit',
      'keys',
      'mirror',
      'backup',
    ])
    expect(refused[0]).toMatchObject({
      operation: 'job-run',
      authorized: false,
      result: 'denied',
      asked: '{"Name":"backends","Started":"x"}',
    })
    expect((await send(1, 'job-run', { Name: 'none' })).status).toBe(404)
    expect((await send(1, 'job-run', { Name: 'mirror', Started: 'x' })).status).toBe(200)
    expect(of('root').at(-2)).toMatchObject({ operation: 'job-run', result: 'not-found' })
    expect(of('root').at(-1)).toMatchObject({ operation: 'job-run', result: 'ok' })
  })
})
