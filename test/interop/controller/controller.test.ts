/** The controller between a real API server and a real Sotto: what it writes, and what it leaves alone. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pathOf } from '../../support/cluster.ts'
import { describeWith } from '../../support/peers.ts'
import { bytes } from '../../support/service.ts'
import { type Json, startWorld, type World } from './fixture.ts'

/** As secrets-manager's own sample has it. */
const sample = `---
apiVersion: secrets-manager.tuenti.io/v1alpha1
kind: SecretDefinition
metadata:
  name: secretdefinition-sample
spec:
  name: supersecretnew
  keysMap:
    decoded:
      path: secret/data/pathtosecret1
      encoding: base64
      key: value
    raw:
      path: secret/data/pathtosecret1
      key: value
`

describeWith(['cluster'], 'the controller', () => {
  let world: World

  beforeAll(async () => {
    world = await startWorld()
    for (const name of ['team', 'other']) await world.namespace(name)
    await world.controller()
  })

  afterAll(() => world?.[Symbol.asyncDispose]())

  test('S3-1, S3-4 to S3-7: the sample of secrets-manager becomes a Secret', async () => {
    await world.put('pathtosecret1', 'ZGVjb2RlZA==')
    await world.cluster.apply(sample)
    const definition = await world.reason('secretdefinition-sample', 'Synced')
    expect(await world.secret('supersecretnew')).toEqual({
      decoded: 'decoded',
      raw: 'ZGVjb2RlZA==',
    })
    const { metadata, type } = await world.cluster.must(
      'GET',
      pathOf('Secret', 'default', 'supersecretnew'),
    )
    expect(type).toBe('Opaque')
    expect(metadata.labels).toEqual({ 'app.kubernetes.io/managed-by': 'sotto' })
    expect(metadata.ownerReferences).toEqual([
      {
        apiVersion: 'secrets-manager.tuenti.io/v1alpha1',
        kind: 'SecretDefinition',
        name: 'secretdefinition-sample',
        uid: definition.metadata.uid,
        controller: true,
      },
    ])
    expect(definition.status).toMatchObject({
      observedGeneration: 1,
      secretName: 'supersecretnew',
      keys: [
        { key: 'decoded', version: 1 },
        { key: 'raw', version: 1 },
      ],
    })
    const events = await world.cluster.must('GET', '/api/v1/namespaces/default/events')
    expect(events.items).toMatchObject([
      { reason: 'Synced', type: 'Normal', involvedObject: { name: 'secretdefinition-sample' } },
    ])
  })

  test('S3-1: an activation is in the Secret as it is told, and a put alone is not', async () => {
    await world.put('team/db', '{"user":"app","password":"one"}')
    await world.define('db', { name: 'db', keysMap: keys('team/db', 'user', 'password') }, 'team')
    await world.reason('db', 'Synced', 'team')
    expect(await world.secret('db', 'team')).toEqual({ user: 'app', password: 'one' })
    const client = world.service.client()
    const version = await client.put('team/db', bytes('{"user":"app","password":"two"}'))
    expect(await world.secret('db', 'team')).toEqual({ user: 'app', password: 'one' })
    const began = performance.now()
    await client.activate('team/db', version)
    await expect
      .poll(() => world.secret('db', 'team'), { interval: 20 })
      .toEqual({ user: 'app', password: 'two' })
    // Long before the next look. The times of many are in many.test.ts.
    expect(performance.now() - began).toBeLessThan(60_000)
    await expect
      .poll(async () => (await world.definition('db', 'team')).status.keys)
      .toMatchObject([
        { key: 'password', version: 2 },
        { key: 'user', version: 2 },
      ])
  })

  test('the secret of another namespace is Denied, the same whether it exists, and nothing is fetched', async () => {
    await world.put('other/there', 'x')
    for (const name of ['there', 'missing']) {
      const keysMap = { own: { path: 'team/own' }, theirs: { path: `other/${name}` } }
      await world.define(`of-${name}`, { name: `of-${name}`, keysMap }, 'team')
    }
    const there = await world.reason('of-there', 'Denied', 'team')
    const missing = await world.reason('of-missing', 'Denied', 'team')
    const said = ({ status }: Json): string => JSON.stringify(status.conditions)
    const undated = (text: string): string => text.replaceAll(/"[^"]*Z"/g, '""')
    expect(undated(said(missing))).toBe(
      undated(said(there)).replaceAll('other/there', 'other/missing'),
    )
    expect(there.status.conditions).toMatchObject([
      { type: 'Ready', status: 'False', reason: 'Denied' },
      { type: 'Denied', status: 'True' },
    ])
    expect(await world.secret('of-there', 'team')).toBeUndefined()
    // Not even what it may have.
    const asked = JSON.stringify(world.service.records().filter(isOfController))
    for (const name of ['other/there', 'other/missing', 'team/own'])
      expect(asked).not.toContain(name)
    expect(asked).toContain('team/db')
  })

  test('what Sotto denies is Denied, and the Secret stays as it was', async () => {
    await world.put('team/revoked', 'x')
    await world.define('revoked', { name: 'revoked', keysMap: keys('team/revoked') }, 'team')
    await world.reason('revoked', 'Synced', 'team')
    world.allow(['team/db', 'other/*', 'default/*', 'pathtosecret1'])
    await world.reason('revoked', 'Denied', 'team')
    expect(await world.secret('revoked', 'team')).toEqual({ value: 'x' })
    world.allow(['*'])
    await world.reason('revoked', 'Synced', 'team')
  })

  test('S3-6: a text that is not Base64, a field that is not there and an unknown encoding are told', async () => {
    await world.put('team/plain', 'plain text')
    const cases = {
      undecodable: [{ path: 'team/plain', key: 'value', encoding: 'base64' }, 'Missing'],
      'no-field': [{ path: 'team/plain', key: 'password' }, 'Missing'],
      encoding: [{ path: 'team/plain', key: 'value', encoding: 'hex' }, 'Invalid'],
    } as const
    for (const [name, [source, reason]] of Object.entries(cases)) {
      await world.define(name, { name, keysMap: { it: source } }, 'team')
      const { status } = await world.reason(name, reason, 'team')
      expect(JSON.stringify(status)).not.toContain('plain text')
      expect(await world.secret(name, 'team')).toBeUndefined()
    }
  })

  test('numbers and truths are text, bytes are whole, and a version is fixed', async () => {
    await world.put('team/kinds', '{"port":5432,"tls":true}')
    await world.put('team/bytes', Buffer.from([0, 255, 254]))
    await world.put('team/kinds', '{"port":1}')
    const keysMap = {
      port: { path: 'secret/data/team/kinds', key: 'port', version: 1 },
      tls: { path: 'secret/team/kinds', key: 'tls', version: 1 },
      now: { path: 'team/kinds', key: 'port' },
      bytes: { path: 'team/bytes' },
    }
    await world.define('kinds', { name: 'kinds', keysMap }, 'team')
    await world.reason('kinds', 'Synced', 'team')
    const { data } = await world.cluster.must('GET', pathOf('Secret', 'team', 'kinds'))
    expect(data).toEqual({
      port: base64('5432'),
      tls: base64('true'),
      now: base64('1'),
      bytes: 'AP/+',
    })
  })

  test('a missing key waits for Sotto, keeps what was, or holds all, as the definition says', async () => {
    await world.put('team/one', 'one')
    const keysMap = { one: { path: 'team/one' }, late: { path: 'team/late' } }
    await world.define('late', { name: 'late', keysMap }, 'team')
    await world.define('all', { name: 'all', keysMap, onMissing: 'fail' }, 'team')
    await world.reason('late', 'Missing', 'team')
    expect(await world.secret('late', 'team')).toBeUndefined()
    await world.put('team/late', 'late')
    for (const name of ['late', 'all']) {
      await world.reason(name, 'Synced', 'team')
      expect(await world.secret(name, 'team')).toEqual({ one: 'one', late: 'late' })
    }
    await world.service.client().delete('team/late')
    await world.put('team/one', 'two')
    await expect.poll(() => world.secret('late', 'team')).toEqual({ one: 'two', late: 'late' })
    await world.reason('late', 'Missing', 'team')
    await world.reason('all', 'Missing', 'team')
    expect(await world.secret('all', 'team')).toEqual({ one: 'one', late: 'late' })
  })

  test('a Secret of someone else stays as it is, and is taken over where the definition says so', async () => {
    await world.put('team/adopt', 'new')
    const secret = {
      metadata: { name: 'theirs' },
      data: { value: base64('old'), more: base64('more') },
    }
    await world.cluster.must('POST', pathOf('Secret', 'team'), secret)
    await world.define('theirs', { name: 'theirs', keysMap: keys('team/adopt') }, 'team')
    const { status } = await world.reason('theirs', 'Conflict', 'team')
    expect(status.conditions[0].message).toContain('adopt')
    expect(await world.secret('theirs', 'team')).toEqual({ value: 'old', more: 'more' })
    await world.define(
      'theirs',
      { name: 'theirs', keysMap: keys('team/adopt'), adopt: true },
      'team',
    )
    await world.reason('theirs', 'Synced', 'team')
    // What is not of the definition is still theirs.
    expect(await world.secret('theirs', 'team')).toEqual({ value: 'new', more: 'more' })
  })

  test('two definitions of one name do not fight: the first has it', async () => {
    await world.put('team/a', 'a')
    await world.put('team/b', 'b')
    await world.define('first', { name: 'shared', keysMap: keys('team/a') }, 'team')
    await world.reason('first', 'Synced', 'team')
    await world.define('second', { name: 'shared', keysMap: keys('team/b'), adopt: true }, 'team')
    const { status } = await world.reason('second', 'Conflict', 'team')
    expect(status.conditions[0].message).toContain('first')
    expect(await world.secret('shared', 'team')).toEqual({ value: 'a' })
  })

  test('a value that someone edited is theirs, unless the definition says adopt', async () => {
    await world.put('team/edit', 'one')
    const spec = { name: 'edit', keysMap: keys('team/edit') }
    await world.define('edit', spec, 'team')
    await world.reason('edit', 'Synced', 'team')
    const path = `${pathOf('Secret', 'team', 'edit')}?fieldManager=someone`
    const type = 'application/merge-patch+json'
    await world.cluster.must('PATCH', path, { data: { value: base64('edited') } }, { type })
    await world.put('team/edit', 'two')
    const { status } = await world.reason('edit', 'Conflict', 'team')
    expect(status.conditions[0].message).toMatch(/data\.value is set by "someone/)
    expect(await world.secret('edit', 'team')).toEqual({ value: 'edited' })
    await world.define('edit', { ...spec, adopt: true }, 'team')
    await world.reason('edit', 'Synced', 'team')
    expect(await world.secret('edit', 'team')).toEqual({ value: 'two' })
  })

  test('a key, a label and a name that a definition no longer has are gone', async () => {
    await world.put('team/gone', '{"a":"1","b":"2"}')
    await world.define('gone', { name: 'gone', keysMap: keys('team/gone', 'a', 'b') }, 'team')
    await world.reason('gone', 'Synced', 'team')
    await world.define('gone', { name: 'gone', keysMap: keys('team/gone', 'a') }, 'team')
    await expect.poll(() => world.secret('gone', 'team')).toEqual({ a: '1' })
    await world.define('gone', { name: 'renamed', keysMap: keys('team/gone', 'a') }, 'team')
    await expect.poll(() => world.secret('gone', 'team')).toBeUndefined()
    expect(await world.secret('renamed', 'team')).toEqual({ a: '1' })
  })

  test('a type that changes is told: Kubernetes cannot change it', async () => {
    await world.put('team/tls', '{"tls.crt":"c","tls.key":"k"}')
    const spec = { name: 'tls', keysMap: keys('team/tls', 'tls.crt', 'tls.key') }
    await world.define('tls', { ...spec, type: 'kubernetes.io/tls' }, 'team')
    await world.reason('tls', 'Synced', 'team')
    await world.define('tls', { ...spec, type: 'Opaque' }, 'team')
    await world.reason('tls', 'Conflict', 'team')
    const { type } = await world.cluster.must('GET', pathOf('Secret', 'team', 'tls'))
    expect(type).toBe('kubernetes.io/tls')
  })

  test('with its definition a Secret is deleted by the garbage collector, or stays where that says so', async () => {
    await world.put('team/end', 'x')
    const spec = (name: string, more = {}): object => ({ name, keysMap: keys('team/end'), ...more })
    await world.define('deleted', spec('deleted'), 'team')
    await world.define('retained', spec('retained', { deletionPolicy: 'Retain' }), 'team')
    for (const name of ['deleted', 'retained']) {
      await world.reason(name, 'Synced', 'team')
      await world.cluster.must('DELETE', pathOf('SecretDefinition', 'team', name))
    }
    await expect.poll(() => world.secret('deleted', 'team')).toBeUndefined()
    expect(await world.secret('retained', 'team')).toEqual({ value: 'x' })
  })
})

/** Keys that are fields of one secret; without fields, `value` is all of it. */
function keys(path: string, ...fields: readonly string[]): object {
  if (fields.length === 0) return { value: { path } }
  return Object.fromEntries(fields.map((key) => [key, { path, key }]))
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

function isOfController(line: object): boolean {
  return JSON.stringify(line).includes('"kubernetes"')
}
