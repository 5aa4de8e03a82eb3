/** Invariant 11: a caller cannot fill the disk by being refused, by the number of refusals or by their bytes. */
import { hash } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { TailnetFile } from '../../server/identity/development.ts'
import { everything, type Service, startService } from '../support/service.ts'

const strangers = Array.from({ length: 20 }, (_, at) => `127.0.1.${at + 1}`)
const tailnet: TailnetFile = {
  nodes: {
    '127.0.0.1': { name: 'root', user: 'root@example.com', rules: [everything] },
    ...Object.fromEntries(strangers.map((ip) => [ip, { name: ip, user: `${ip}@example.com` }])),
  },
}

function logBytes({ state }: Service): number {
  const folder = join(state, 'audit')
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
}

async function refuse(service: Service, from: string, name: string): Promise<void> {
  await expect(service.client(from).get(name)).rejects.toMatchObject({ code: 'denied' })
}

test('C3: a long name that no secret can have is recorded as its beginning and its hash', async () => {
  await using service = await startService({}, { tailnet })
  const long = `prod/${'\u0001é'.repeat(1300)}`
  await refuse(service, '127.0.1.1', long)
  await expect(service.client().get(long)).rejects.toMatchObject({ code: 'not_found' })
  const records = service.records().filter(({ kind }) => kind === 'access')
  expect(records.map(({ result }) => result)).toEqual(['denied', 'not-found'])
  for (const { secret, secretHash } of records) {
    expect(long.startsWith(secret as string)).toBe(true)
    expect((secret as string).length).toBeGreaterThan(30)
    expect(secretHash).toBe(hash('sha256', long))
  }
  const control = '\u0001'.repeat(512)
  const whole = ['"'.repeat(512), 'é'.repeat(256), '\u0001'.repeat(100)]
  for (const name of [control, ...whole]) await refuse(service, '127.0.1.2', name)
  const [short, ...others] = service.records().slice(-4)
  expect(short).toMatchObject({ secretHash: hash('sha256', control) })
  expect(others.map(({ secret, secretHash }) => [secret, secretHash])).toEqual(
    whole.map((name) => [name, undefined]),
  )
})

test('C3: a caller causes some kilobytes a minute by being refused, and the rest is counted', async () => {
  const service = await startService({}, { tailnet })
  const before = logBytes(service)
  const names = Array.from({ length: 80 }, (_, at) => `${at}${'\u0001'.repeat(2000)}`)
  for (const name of names) await refuse(service, '127.0.1.1', name)
  expect(logBytes(service) - before).toBeLessThan(40 * 1024)
  await service.server.stop()
  const records = service.records()
  const denied = records.filter(({ result }) => result === 'denied').length
  const [summary] = records.filter(({ kind }) => kind === 'refusals')
  expect(summary).toMatchObject({ count: names.length - denied, ip: '127.0.1.1' })
  await service[Symbol.asyncDispose]()
})

test('C3: all callers together cause some hundred kilobytes a minute, and each is counted', async () => {
  const service = await startService({}, { tailnet })
  const before = logBytes(service)
  const each = Array.from({ length: 40 }, (_, at) => `${at}${'x'.repeat(500)}`)
  await Promise.all(
    strangers.map(async (from) => {
      for (const name of each) await refuse(service, from, name)
    }),
  )
  expect(logBytes(service) - before).toBeLessThan(300 * 1024)
  await service.server.stop()
  const records = service.records()
  const counted = records
    .filter(({ kind }) => kind === 'refusals')
    .reduce((sum, { count }) => sum + (count as number), 0)
  const denied = records.filter(({ result }) => result === 'denied').length
  expect(counted + denied).toBe(strangers.length * each.length)
  await service[Symbol.asyncDispose]()
})
