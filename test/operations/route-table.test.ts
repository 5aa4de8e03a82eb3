/**
 * Every call of the API: which actions it needs, on which names, and what each of its ends leaves on the audit
 * log. A new call without a line here does not type, and fails.
 */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { callErrors } from '../../client/api/calls.ts'
import { type ManyName, manyMethods } from '../../client/api/many.ts'
import { operations, type OperationName } from '../../client/api/operations.ts'
import type { Action } from '../../client/api/types.ts'
import { type MethodName, methods } from '../../client/api/wire.ts'
import { everything, type Line } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { type Elsewhere, spec, startElsewhere, TARGET } from './elsewhere.ts'

type Call = MethodName | ManyName | OperationName

/** What a call needs: an action on a name, or on each name of a pattern. Empty: no secret is concerned. */
type Need = readonly [action: Action, name: string]

/** What is on the log afterwards, or that it is only counted in the metrics. */
type Left = Readonly<Record<string, unknown>> | 'counted'

interface Row {
  /** None: it shows what the caller may see, and refuses nobody. */
  readonly needs: readonly Need[]
  readonly body: object
  readonly leaves: Left
  /** Other ends: a body, and what that leaves. */
  readonly ends?: readonly (readonly [body: object, leaves: Left])[]
  /** Whether it is refused to every caller from the network, whatever the rules. */
  readonly onHost?: true
  /** Whether a refusal is told within an answer 200. */
  readonly within?: true
}

const ok = (action: Action) => ({ kind: 'access', action, authorized: true, result: 'ok' })
const bad = (action: Action, result: string) => ({ ...ok(action), result })
const change = (action: Action, verb: string) => ({ kind: 'change', action, verb })
const operation = (action: Action, name: OperationName) => ({ ...ok(action), operation: name })
const backend = (action: Action, verb: string) => ({ kind: 'backend', action, verb })
const rotation = (action: Action, verb: string) => ({ kind: 'rotation', action, verb })
const manual = { kind: 'manual', secret: 'rotated/a', converge: 'manual' }
const rotated = (Name: string, more: object = {}) => ({ Name, Config: { ...manual, ...more } })
const onRotated = (name: string) =>
  [
    ['get', name],
    ['put', name],
    ['activate', name],
  ] as const
const database = (server: string, more: object = {}) => ({
  Name: 'database',
  Config: {
    kind: 'postgres-pair',
    secret: 'rotated/b',
    server,
    database: 'app',
    admin: { user: 'sotto', secret: 'rotated/admin' },
    role: 'app',
    logins: ['app_a', 'app_b'],
    ...more,
  },
})
const Value = Buffer.from('a value').toString('base64')

/** In this order: what one makes, another may use. */
const table = {
  list: { needs: [], body: {}, leaves: ok('info') },
  whoami: { needs: [], body: { Name: 'prod/a' }, leaves: 'counted' },
  put: {
    needs: [['put', 'prod/a']],
    body: { Name: 'prod/a', Value },
    leaves: change('put', 'put'),
    ends: [[{ Name: 'prod/a', Value }, bad('put', 'unchanged')]],
  },
  'create-version': {
    needs: [['create-version', 'prod/a']],
    body: { Name: 'prod/a', Version: 7, Value },
    leaves: change('create-version', 'create-version'),
    ends: [[{ Name: 'prod/a', Version: 7, Value }, bad('create-version', 'refused')]],
  },
  info: {
    needs: [['info', 'prod/a']],
    body: { Name: 'prod/a' },
    leaves: ok('info'),
    ends: [[{ Name: 'prod/none' }, bad('info', 'not-found')]],
  },
  rollout: {
    needs: [['info', 'prod/a']],
    body: { Name: 'prod/a' },
    leaves: operation('info', 'rollout'),
    ends: [[{ Name: 'prod/none' }, { ...bad('info', 'not-found'), operation: 'rollout' }]],
  },
  get: {
    needs: [['get', 'prod/a']],
    body: { Name: 'prod/a' },
    leaves: ok('get'),
    ends: [
      [{ Name: 'prod/none' }, bad('get', 'not-found')],
      [{ Name: 'prod/a', Version: 7, UpdateIfChanged: true }, 'counted'],
    ],
  },
  'get-many': {
    needs: [
      ['get', 'prod/a'],
      ['get', 'shown/a'],
    ],
    body: { Secrets: [{ Name: 'prod/a' }, { Name: 'shown/a' }], All: true },
    leaves: { ...ok('get'), operation: 'get-many' },
    ends: [
      [{ Secrets: [{ Name: 'prod/none' }] }, bad('get', 'not-found')],
      [{ Secrets: [{ Name: 'prod/a', Version: 7, UpdateIfChanged: true }] }, 'counted'],
    ],
  },
  watch: {
    needs: [['get', 'prod/a']],
    body: { Secrets: [{ Name: 'prod/a' }], Wait: 0 },
    leaves: { ...ok('get'), operation: 'watch' },
    within: true,
  },
  activate: {
    needs: [['activate', 'prod/a']],
    body: { Name: 'prod/a', Version: 1 },
    leaves: change('activate', 'activate'),
    ends: [
      [{ Name: 'prod/a', Version: 1 }, bad('activate', 'unchanged')],
      [{ Name: 'prod/a', Version: 3 }, bad('activate', 'not-found')],
    ],
  },
  'delete-version': {
    needs: [['delete', 'prod/a']],
    body: { Name: 'prod/a', Version: 7 },
    leaves: change('delete', 'delete-version'),
    ends: [
      [{ Name: 'prod/a', Version: 1 }, bad('delete', 'refused')],
      [{ Name: 'prod/a', Version: 7 }, bad('delete', 'not-found')],
    ],
  },
  delete: {
    needs: [['delete', 'prod/a']],
    body: { Name: 'prod/a' },
    leaves: change('delete', 'delete'),
    ends: [[{ Name: 'prod/a' }, bad('delete', 'not-found')]],
  },
  'secret-list': { needs: [], body: {}, leaves: ok('info') },
  'secret-put': {
    needs: [
      ['put', 'prod/b'],
      ['activate', 'prod/b'],
    ],
    body: { Name: 'prod/b', Value, Expect: 0, Activate: true },
    leaves: change('put', 'put'),
    ends: [
      [{ Name: 'prod/b', Value, Expect: 1 }, bad('put', 'unchanged')],
      [{ Name: 'prod/b', Value, Expect: 2 }, bad('put', 'refused')],
      [
        { Name: 'prod/b', Value: 'bmV3', Expect: 1, Activate: true },
        change('activate', 'activate'),
      ],
    ],
  },
  'secret-history': {
    needs: [['info', 'prod/b']],
    body: { Name: 'prod/b' },
    leaves: operation('info', 'secret-history'),
    ends: [[{ Name: 'prod/none' }, bad('info', 'not-found')]],
  },
  'secret-activate': {
    needs: [['activate', 'prod/b']],
    body: { Name: 'prod/b', Expect: 2 },
    leaves: change('activate', 'activate'),
    ends: [
      [{ Name: 'prod/b', Version: 1 }, bad('activate', 'unchanged')],
      [{ Name: 'prod/b', Version: 2, Expect: 2 }, bad('activate', 'refused')],
      [{ Name: 'prod/b', Version: 3 }, bad('activate', 'not-found')],
      [{ Name: 'prod/none' }, bad('activate', 'not-found')],
    ],
  },
  'backend-create': {
    needs: [
      ['backends:create', ''],
      ['get', 'backends/token'],
      ['get', 'shown/*'],
    ],
    body: spec('vault', {}, { mirror: { secrets: ['shown/*'] } }),
    leaves: backend('backends:create', 'create'),
    ends: [
      [spec('vault', {}, { mirror: { secrets: ['shown/*'] } }), bad('backends:create', 'refused')],
      [spec('far', {}, { url: 'https://evil.example' }), bad('backends:create', 'refused')],
    ],
  },
  'backend-apply': {
    needs: [
      ['backends:edit', ''],
      ['get', '*'],
    ],
    body: spec('vault', { Default: true }),
    leaves: backend('backends:edit', 'edit'),
    ends: [[spec('vault', { Default: true }), bad('backends:edit', 'unchanged')]],
  },
  'backend-list': {
    needs: [['backends:view', '']],
    body: {},
    leaves: operation('backends:view', 'backend-list'),
  },
  'backend-describe': {
    needs: [['backends:view', '']],
    body: { Name: 'vault' },
    leaves: operation('backends:view', 'backend-describe'),
    ends: [[{ Name: 'none' }, bad('backends:view', 'not-found')]],
  },
  'backend-secrets': {
    needs: [['backends:view', '']],
    body: { Name: 'vault' },
    leaves: operation('backends:view', 'backend-secrets'),
    ends: [[{ Name: 'none' }, bad('backends:view', 'not-found')]],
  },
  'backend-test': {
    needs: [['backends:view', '']],
    body: { Name: 'vault' },
    leaves: operation('backends:view', 'backend-test'),
    ends: [[{ Name: 'none' }, bad('backends:view', 'not-found')]],
  },
  'migrate-plan': {
    needs: [['migrate', '']],
    body: { From: 'default', To: 'vault' },
    leaves: operation('migrate', 'migrate-plan'),
    ends: [
      [{ From: 'default', To: 'none' }, bad('migrate', 'not-found')],
      [{ From: 'vault', To: 'vault' }, bad('migrate', 'refused')],
    ],
  },
  'migrate-secret': {
    needs: [
      ['migrate', ''],
      ['get', 'shown/a'],
    ],
    body: { Name: 'shown/a', From: 'default', To: 'vault' },
    leaves: change('migrate', 'migrate'),
    ends: [
      [{ Name: 'shown/a', From: 'default', To: 'vault' }, bad('migrate', 'unchanged')],
      [{ Name: 'shown/a', From: 'default', To: 'none' }, bad('migrate', 'not-found')],
    ],
  },
  'mirror-status': {
    needs: [['mirror', '']],
    body: {},
    leaves: operation('mirror', 'mirror-status'),
    ends: [[{ Backend: 'none' }, bad('mirror', 'not-found')]],
  },
  'mirror-sync': {
    needs: [['mirror', '']],
    body: {},
    leaves: operation('mirror', 'mirror-sync'),
    ends: [[{ Backend: 'none' }, bad('mirror', 'not-found')]],
  },
  'mirror-plan': {
    needs: [['mirror', '']],
    body: { Backend: 'shown' },
    leaves: operation('mirror', 'mirror-plan'),
    ends: [[{ Backend: 'none' }, bad('mirror', 'not-found')]],
  },
  'backend-delete': {
    needs: [['backends:delete', '']],
    body: { Name: 'spare' },
    leaves: backend('backends:delete', 'delete'),
    ends: [
      [{ Name: 'spare' }, bad('backends:delete', 'not-found')],
      [{ Name: 'default' }, bad('backends:delete', 'refused')],
    ],
  },
  'rotation-create': {
    needs: [['rotation:edit', ''], ...onRotated('rotated/b'), ['get', 'rotated/admin']],
    body: database(TARGET),
    leaves: rotation('rotation:edit', 'create'),
    ends: [
      [database(TARGET), bad('rotation:edit', 'refused')],
      [database('postgres://evil.example:5432'), bad('rotation:edit', 'refused')],
    ],
  },
  'rotation-apply': {
    needs: [['rotation:edit', ''], ...onRotated('rotated/a')],
    body: rotated('key'),
    leaves: rotation('rotation:edit', 'create'),
    ends: [
      [rotated('key', { owner: 'the team' }), rotation('rotation:edit', 'edit')],
      [rotated('key', { owner: 'the team' }), bad('rotation:edit', 'unchanged')],
    ],
  },
  'rotation-list': {
    needs: [['rotation:view', '']],
    body: {},
    leaves: operation('rotation:view', 'rotation-list'),
  },
  'rotation-describe': {
    needs: [['rotation:view', '']],
    body: { Name: 'key' },
    leaves: operation('rotation:view', 'rotation-describe'),
    ends: [[{ Name: 'none' }, bad('rotation:view', 'not-found')]],
  },
  'rotation-status': {
    needs: [['rotation:view', '']],
    body: {},
    leaves: operation('rotation:view', 'rotation-status'),
    ends: [[{ Name: 'none' }, bad('rotation:view', 'not-found')]],
  },
  'rotation-plan': {
    needs: [['rotation:view', '']],
    body: { Name: 'key' },
    leaves: operation('rotation:view', 'rotation-plan'),
    ends: [[{ Name: 'none' }, bad('rotation:view', 'not-found')]],
  },
  // What they do to a run: test/rotation/rotations.test.ts.
  'rotation-abort': {
    needs: [['rotation:run', '']],
    body: { Name: 'key' },
    leaves: bad('rotation:run', 'refused'),
  },
  'rotation-retire': {
    needs: [['rotation:run', '']],
    body: { Name: 'key' },
    leaves: bad('rotation:run', 'refused'),
  },
  'rotation-reconcile': {
    needs: [['rotation:run', '']],
    body: { Name: 'key' },
    leaves: bad('rotation:run', 'refused'),
  },
  'rotation-run': {
    needs: [['rotation:run', '']],
    body: { Name: 'key' },
    leaves: rotation('rotation:run', 'step'),
    ends: [
      [{ Name: 'key' }, bad('rotation:run', 'refused')],
      [{ Name: 'none' }, bad('rotation:run', 'not-found')],
    ],
  },
  'rotation-done': {
    needs: [
      ['rotation:run', ''],
      ['activate', 'rotated/a'],
    ],
    body: { Name: 'key', Version: 1 },
    leaves: rotation('rotation:run', 'step'),
    ends: [[{ Name: 'none', Version: 1 }, bad('rotation:run', 'not-found')]],
  },
  'rotation-delete': {
    needs: [['rotation:edit', '']],
    body: { Name: 'key' },
    leaves: bad('rotation:edit', 'refused'),
    ends: [[{ Name: 'none' }, bad('rotation:edit', 'not-found')]],
  },
  'job-status': { needs: [], body: {}, leaves: ok('info') },
  'job-run': {
    needs: [['mirror', '']],
    body: { Name: 'mirror' },
    leaves: operation('mirror', 'job-run'),
    ends: [[{ Name: 'mirror', Started: 'x' }, operation('mirror', 'job-run')]],
  },
  'backup-create': {
    needs: [['backup', '']],
    body: {},
    leaves: operation('backup', 'backup-create'),
  },
  'backup-status': {
    needs: [['backup', '']],
    body: {},
    leaves: operation('backup', 'backup-status'),
  },
  'backup-adopt': {
    needs: [['backup', '']],
    body: {},
    leaves: operation('backup', 'backup-adopt'),
  },
  'branch-status': {
    needs: [['backends:view', '']],
    body: {},
    leaves: operation('backends:view', 'branch-status'),
  },
  // With the store's own branch it is an `adopt`: test/mirror/records.test.ts.
  'branch-adopt': {
    needs: [
      ['backends:edit', ''],
      ['backup', ''],
    ],
    body: { Branch: '0000000000000000' },
    leaves: { ...operation('backends:edit', 'branch-adopt'), result: 'refused' },
  },
  'key-status': { needs: [['keys', '']], body: {}, leaves: operation('keys', 'key-status') },
  'key-rotate': { needs: [['keys', '']], body: {}, leaves: operation('keys', 'key-rotate') },
  'key-rewrap': {
    needs: [['keys', '']],
    body: {},
    leaves: operation('keys', 'key-rewrap'),
    ends: [[{ Key: 'none' }, operation('keys', 'key-rewrap')]],
  },
  'key-check': { needs: [['keys', '']], body: {}, leaves: operation('keys', 'key-check') },
  // At the operators' socket: test/http/operators.test.ts.
  'key-add': {
    needs: [['keys', '']],
    body: { Provider: 'local', Settings: [{ Name: 'new-key-file', Value: '/etc/passwd' }] },
    leaves: { ...operation('keys', 'key-add'), authorized: false, result: 'denied' },
    onHost: true,
  },
  'key-remove': {
    needs: [['keys', '']],
    body: { Key: 'local' },
    leaves: { ...operation('keys', 'key-remove'), authorized: false, result: 'denied' },
    onHost: true,
  },
  'audit-query': {
    needs: [['audit', '']],
    body: {},
    leaves: operation('audit', 'audit-query'),
  },
} as const satisfies Record<Call, Row>

const rows = Object.entries(table) as [Call, Row][]

/** A caller of its own for each request, so that no refusal is only counted. */
const callers = new Map<string, { address: string; rules: (typeof everything)[] }>()

function addCaller(name: string, needs: readonly Need[]): void {
  const rules = needs.map(([action, secret]) => ({ action: [action], secret: [secret || '*'] }))
  // An operator's action is on the empty name, which a pattern of all names matches too.
  const address = `127.0.${1 + Math.trunc(callers.size / 200)}.${1 + (callers.size % 200)}`
  callers.set(name, { address, rules })
}

for (const [call, { needs, ends = [] }] of rows) {
  addCaller(call, needs)
  // One with everything else that is needed, and the action itself on another name.
  needs.forEach((need, at) => {
    addCaller(`${call} without ${need.join(' ')}`, needs.with(at, [need[0], 'other/*']))
  })
  ends.forEach((_, at) =>
    addCaller(
      `${call} end ${at}`,
      needs.map(([action]) => [action, '*']),
    ),
  )
}

describe('the table of calls', () => {
  const scratch = temporaryDirectory()
  let elsewhere: Elsewhere

  beforeAll(async () => {
    const nodes = Object.fromEntries(
      [...callers].map(([name, { address, rules }]) => [
        address,
        { name, user: 'op@example.com', rules },
      ]),
    )
    const root = { name: 'root', user: 'root@example.com', rules: [everything] }
    const tailnet = { nodes: { ...nodes, '127.0.0.1': root } }
    const place = { kind: 'directory', path: join(scratch.path, 'backups') } as const
    const backups = { place, keep: undefined, rehearsal: undefined }
    elsewhere = await startElsewhere({ tailnet, backups })
    const { service, send } = elsewhere
    await service.client().put('shown/a', Buffer.from('one'))
    await service.client().put('rotated/a', Buffer.from('one'))
    await service.client().put('rotated/b', Buffer.from('one'))
    await send(1, 'backend-create', spec('shown', {}, { mirror: { secrets: ['shown/*'] } }))
    await send(1, 'backend-create', spec('spare'))
  })

  afterAll(async () => {
    await elsewhere[Symbol.asyncDispose]()
    scratch[Symbol.dispose]()
  })

  const addressOf = (name: string): string => callers.get(name)?.address ?? ''

  test('has every call, with the action that its description tells', () => {
    expect(Object.keys(table).toSorted()).toEqual(Object.keys(callErrors).toSorted())
    const told = rows.map(([call, { needs }]) => {
      const { action } = { ...methods, ...manyMethods, ...operations }[call]
      return [call, action === null ? needs[0]?.[0] : action]
    })
    expect(told).toEqual(rows.map(([call, { needs }]) => [call, needs[0]?.[0]]))
  })

  test.each(rows)(
    '%s',
    async (call, { needs, body, leaves, ends = [], onHost = false, within = false }) => {
      const { send, of } = elsewhere
      for (const need of needs) {
        const caller = `${call} without ${need.join(' ')}`
        const { status, id } = await send(addressOf(caller), call, body)
        expect([caller, status]).toEqual([caller, within ? 200 : 403])
        expect(of(caller), caller).toMatchObject([
          {
            kind: 'access',
            request: id,
            authorized: false,
            action: need[0],
            result: 'denied',
            ...(need[1] === '' ? { operation: call } : { secret: need[1] }),
          },
        ])
      }
      await demandLeft(call, call, body, leaves, onHost)
      for (const [at, [other, left]] of ends.entries()) {
        await demandLeft(call, `${call} end ${at}`, other, left)
      }
    },
  )

  async function demandLeft(
    call: Call,
    caller: string,
    body: object,
    leaves: Left,
    isRefused = false,
  ) {
    const { send, of } = elsewhere
    const before = await counted(call)
    const { status, id } = await send(addressOf(caller), call, body)
    expect([caller, status === 403]).toEqual([caller, isRefused])
    expect(await counted(call)).toBe(before + 1)
    const records: Line[] = of(caller).filter(({ request }) => request === id)
    const told = records.filter((record) =>
      Object.entries(leaves).every(([field, value]) => record[field] === value),
    )
    const isCounted = leaves === 'counted'
    expect([caller, records.length > 0, told.length > 0]).toEqual([caller, !isCounted, !isCounted])
  }

  /** Requests of that method that the metrics have, however they ended. */
  async function counted(call: Call): Promise<number> {
    const page = await (await fetch(`${elsewhere.service.url}/metrics`)).text()
    const lines = page.matchAll(/^sotto_requests_total\{method="([^"]+)",.*\} (\d+)$/gm)
    return [...lines].reduce((sum, [, of, count]) => sum + (of === call ? Number(count) : 0), 0)
  }
})
