/** V5: hints cross the wire where their message does; those about the server only to operators. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { errorTable, type ErrorCode, SottoError } from '../../client/api/errors.ts'
import { operatorActions } from '../../client/api/types.ts'
import { answerFor } from '../../server/http/answer.ts'
import { startService } from '../support/service.ts'
import { askOnce } from './raw.ts'

const root = new URL('../..', import.meta.url).pathname

/** The header of that name in the answer for `error` to callers with `action` on `pattern`. */
function header(error: SottoError, name: string, action = '', pattern = '*'): string | undefined {
  const { headers = [] } = answerFor(error, [{ action: [action], secret: [pattern] }])
  const at = headers.indexOf(name)
  return at < 0 ? undefined : (JSON.parse(headers[at + 1] ?? '') as string)
}

describe('V5: of every error of the table', () => {
  const codes = Object.keys(errorTable) as ErrorCode[]
  test.each(codes)('%s: a hint is sent to operators where the message is', (code) => {
    const error = new SottoError(code, 'Cannot do it', { hint: 'Start it with --backup-to /srv.' })
    const { status, open } = errorTable[code]
    const sent = status > 0 && open
    for (const action of operatorActions) {
      expect(header(error, 'Sotto-Hint', action) !== undefined).toBe(sent)
      expect(header(error, 'Sotto-Hint', action, 'prod/*')).toBeUndefined()
    }
    for (const action of ['get', 'info', 'put', 'activate', 'delete', 'create-version']) {
      expect(header(error, 'Sotto-Hint', action)).toBeUndefined()
    }
    expect(header(new SottoError(code, 'Cannot', { callerHint: 'Ask.' }), 'Sotto-Hint')).toBe(
      'Ask.',
    )
    const hidden = new SottoError(code, 'Cannot', { hint: 'Look at X.', onlyFor: 'backends:view' })
    expect(header(hidden, 'Sotto-Hint', 'audit')).toBeUndefined()
  })
})

test('V5: what every caller is sent has no flag, path, address or reason of the server', () => {
  const sources = readdirSync(join(root, 'server'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => ({ name, text: readFileSync(join(root, 'server', name), 'utf8') }))
  const hints = sources.flatMap(({ name, text }) =>
    [...text.matchAll(/callerHint:\s*(['`][^\n]*)/g)].map(([, hint = '']) => ({ name, hint })),
  )
  expect(hints.length).toBeGreaterThan(4)
  // None is made in another way than as a text that stands there.
  const uses = sources.flatMap(({ text }) => text.match(/\bcallerHint\b/g) ?? [])
  expect(uses).toHaveLength(hints.length + 1)
  for (const { name, hint } of hints) {
    // What the gate puts in was asked for by the caller.
    const fixed = name === 'gate/gate.ts' ? hint.replace('${needed}', '') : hint
    expect(fixed, name).not.toMatch(/\$\{| --[a-z]|\/|\d+\.\d+/)
  }
})

describe('V1, V5: a refused call', () => {
  test('says which rule it takes, the same for what is there and what is not', async () => {
    await using service = await startService()
    await service.client().put('prod/a', Buffer.from('one'))
    const hintOf = async (method: string, body: object) => {
      const asked = { target: `/api/${method}`, body: JSON.stringify(body) }
      const { headers } = await askOnce(service.url, asked, '127.0.0.4')
      return JSON.parse(headers.get('sotto-hint') ?? 'null') as unknown
    }
    for (const Name of ['prod/a', 'prod/none']) {
      expect(await hintOf('get', { Name })).toBe(`It takes a rule that allows get on "${Name}".`)
    }
    const empty = 'with a pattern that the empty name matches, such as *.'
    expect(await hintOf('key-status', {})).toBe(`It takes a rule that allows keys ${empty}`)
    for (const Name of ['backup', 'rehearsal', 'none']) {
      expect(await hintOf('job-run', { Name })).toBe(`It takes a rule that allows backup ${empty}`)
    }
  })

  test('for want of the header says which one', async () => {
    await using service = await startService()
    const answer = await fetch(new URL('/api/list', service.url), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{}',
    })
    expect([answer.status, answer.headers.get('sotto-hint')]).toEqual([
      403,
      '"This API needs the header `Sec-X-Tailscale-No-Browsers: setec`."',
    ])
  })
})
