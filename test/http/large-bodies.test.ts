/** B8: what a body costs before its caller's rights are known; the turns it takes are in turns.slow.test.ts. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeRequest } from '../../client/api/wire.ts'
import { finished } from '../support/finished.ts'
import { type Service, startService } from '../support/service.ts'
import { askOnce, RawConnection, requestText } from './raw.ts'

const stranger = '127.0.0.4'
const fields = `{${'"aaaa":1,'.repeat(200_000)}"Name":"prod/a"}`

describe('B8: a caller without rights', () => {
  let service: Service
  beforeAll(async () => {
    service = await startService()
  })
  afterAll(() => service[Symbol.asyncDispose]())

  const refused = async (target: string, body: string): Promise<unknown> => {
    const before = service.records().length
    expect((await askOnce(service.url, { target, body }, stranger)).status).toBe(403)
    return service.records().slice(before)
  }

  test('B8: is refused before a large body is decoded, and that is recorded', async () => {
    const body = `${'['.repeat(20_000)} is not even JSON`
    expect(await refused('/api/get', body)).toMatchObject([
      { kind: 'access', action: 'get', authorized: false, result: 'denied' },
    ])
  })

  test('B8: is refused with the name on record where the body is small', async () => {
    expect(await refused('/api/get', '{"Name":"prod/b"}')).toMatchObject([
      { result: 'denied', secret: 'prod/b' },
    ])
    const { status } = await askOnce(service.url, { body: '[]' }, stranger)
    expect(status).toBe(400)
  })

  test('B8: is refused an operation whatever its body is', async () => {
    expect(await refused('/api/audit-query', fields)).toMatchObject([
      { result: 'denied', operation: 'audit-query', action: 'audit' },
    ])
    expect(await refused('/api/migrate-plan', 'nonsense')).toMatchObject([
      { result: 'denied', operation: 'migrate-plan' },
    ])
  })

  test('B8: an error names a few fields, however many are unknown', async () => {
    const body = `{${Array.from({ length: 60 }, (_, at) => `"${'x'.repeat(500)}${at}":1`).join(',')}}`
    const { status, headers } = await askOnce(service.url, { target: '/api/job-status', body })
    expect(status).toBe(400)
    expect(headers.get('sotto-detail')).toMatch(/and 57 more"$/)
  })

  test.each([
    ['fields', fields, /too many fields/],
    ['items', `{"Limit":[${'1,'.repeat(2000)}1]}`, /too many values/],
    ['a string', `{"Secret":"${'x'.repeat(140_000)}"}`, /a string is too long/],
  ])('B8: an operation takes so many %s', async (_, body, reason) => {
    const { status, headers } = await askOnce(service.url, { target: '/api/audit-query', body })
    expect([status, headers.get('sotto-detail')]).toEqual([400, expect.stringMatching(reason)])
  })

  test('B8: a method of setec takes any, as Go does', async () => {
    await service.client().put('prod/a', new Uint8Array([1]))
    expect((await askOnce(service.url, { body: fields })).status).toBe(200)
  })
})

test('B8: work that takes long rests, and a small body is read at once', () => {
  const rests = (text: string): number => {
    const work = decodeRequest('put', text)
    let count = 0
    while (work.next().done !== true) count++
    return count
  }
  expect(rests('{"Name":"prod/a","Value":"aGk="}')).toBe(0)
  expect(rests(fields)).toBeGreaterThan(40)
  expect(rests(`{"Name":"a","Value":"${'\\n'.repeat(500_000)}"}`)).toBeGreaterThan(40)
  expect(rests(`{"Name":"a","Value":[${'1,'.repeat(500_000)}1]}`)).toBeGreaterThan(40)
})

test('B8: a value comes through wherever it is cut', () => {
  for (let shift = 0; shift < 12; shift++) {
    const bytes = Buffer.alloc(100_000 + shift, 'sotto/?')
    const base64 = bytes.toString('base64')
    const spellings = [
      base64.replace(/\//g, '\\/'),
      base64.replace(/[a-f]/g, (unit) => `\\u00${unit.charCodeAt(0).toString(16)}`),
      base64.replace(/.{7}/g, '$&\\r\\n'),
      `${base64.slice(0, 60_000)}\\n${base64.slice(60_000)}`,
    ].map((text) => `"${text}"`)
    for (const spelled of [...spellings, `[ ${[...bytes].join(' , ')} ]`]) {
      const request = finished(decodeRequest('put', `{"Name":"a","Value":${spelled}}`))
      expect(bytes.equals(request.Value)).toBe(true)
    }
  }
  for (const bad of [`${'a'.repeat(32_767)}\\\\\\\\${'a'.repeat(40_000)}`, '\\\\'.repeat(40_000)]) {
    expect(() => finished(decodeRequest('put', `{"Name":"a","Value":"${bad}"}`))).toThrow(
      /wrong type/,
    )
  }
})

test('a 100 Continue that waits behind another answer comes before the head of a long one', async () => {
  await using service = await startService()
  await service.client().put('prod/a', Buffer.alloc(1_000_000, 'x'))
  const connection = await RawConnection.open(service.url)
  const more = ['Expect: 100-continue']
  // The put is answered after its change is committed, so the get is done before it.
  const put = { target: '/api/put', body: '{"Name":"prod/b","Value":"eA=="}' }
  connection.socket.write(requestText(put) + requestText({ more }))
  let text = ''
  connection.socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  await expect.poll(() => text.includes('"Version":1}')).toBe(true)
  expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 100', 'HTTP/1.1 200'])
  connection.socket.destroy()
})
