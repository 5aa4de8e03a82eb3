/** What the command line says of what the server did, and of files that it cannot use. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readBackends } from '../../cli/handlers/backend-file.ts'
import { scripted } from '../client/scripted.ts'
import { type Running, startSotto } from '../support/sotto.ts'
import { inProcess } from './play.ts'

let server: Running
beforeAll(async () => {
  server = await startSotto()
})
afterAll(() => server.stop())

const sotto = (args: readonly string[], input = '', at = server.url) =>
  inProcess(args, { SOTTO_SERVER: at }, Buffer.from(input))
const put = async (name: string, value: string): Promise<string> =>
  (await sotto(['put', name], value)).stdout
const advice = (name: string, version: number): string =>
  `  To activate this version, run 'sotto activate "${name}" ${version}'\n`

describe('C11: what put says goes by what the server did', () => {
  test('a later version that is active at once needs no activation', async () => {
    expect(await put('again', 'one')).toBe('Secret saved as "again", version 1\n')
    expect(await put('again', 'two')).toBe(
      `Secret saved as "again", version 2\n${advice('again', 2)}`,
    )
    await sotto(['delete', '--yes', 'again'])
    // Numbers are not given twice, so the first of the new secret is 3.
    expect(await put('again', 'three')).toBe('Secret saved as "again", version 3\n')
  })

  test('nor does a value that was there already and is active; one that is not does', async () => {
    await put('same', 'one')
    await put('same', 'two')
    expect(await put('same', 'two')).toBe(`Secret saved as "same", version 2\n${advice('same', 2)}`)
    await sotto(['activate', 'same', '2'])
    expect(await put('same', 'two')).toBe('Secret saved as "same", version 2\n')
  })

  test.each([
    [1, ''],
    [2, advice('x', 2)],
  ])(
    'of a setec server, which does not say, version %i is judged by its number',
    async (version, words) => {
      await using old = await scripted((_, response) => response.end(String(version)))
      const { stdout } = await sotto(['put', 'x'], 'value', old.url)
      expect(stdout).toBe(`Secret saved as "x", version ${version}\n${words}`)
    },
  )
})

describe('C11: aliases in the file of backend apply', () => {
  const head = 'kind: secretbackend\nname: vault\ntype: openbao\n'
  const bomb = Array.from({ length: 9 }, (_, at) =>
    at === 0 ? 'a0: &a0 [x,x,x,x,x,x,x,x,x]' : `a${at}: &a${at} [${`*a${at - 1},`.repeat(9)}]`,
  ).join('\n')

  test.each([
    [
      'without an anchor',
      `${head}config: *nowhere\n`,
      'line 4: the alias "nowhere" has no anchor before it',
    ],
    ['as a key', `${head}? *nowhere\n: 1\n`, 'line 4: the alias "nowhere" has no anchor before it'],
    [
      'before its anchor',
      `${head}config: {url: *u, mount: &u x}\n`,
      'line 4: the alias "u" has no anchor',
    ],
    ['in a merge', `${head}<<: *nowhere\n`, 'line 4: the alias "nowhere" has no anchor'],
    ['that balloon', `${head}${bomb}\n`, 'its aliases repeat too much'],
    ['in a merge of no map', `%YAML 1.1\n---\n${head}<<: 5\n`, 'a merge key needs a map'],
    ['in a circle', `${head}config: &c {url: *c}\n`, 'config.url'],
  ])('%s: refused, with the place', async (_, text, said) => {
    const { exit, stdout, stderr } = await sotto(['backend', 'apply', '-f', '-'], text)
    expect({ exit, stdout }).toEqual({ exit: '1', stdout: '' })
    expect(stderr).toMatch(/^sotto: Cannot apply "-": /)
    expect(stderr).toContain(said)
    expect(stderr).not.toContain('the program failed')
  })

  test('that lead somewhere are replaced', () => {
    const text = `${head}config:\n  url: &u https://bao.example\n  mount: kv\n  tokenSecretRef: {name: &n backends/vault, key: *n}\n`
    expect(readBackends(text, 'x')[0]).toMatchObject({
      Config: { tokenSecretRef: { key: 'backends/vault' } },
    })
  })

  test('a key that is no text is refused, and its content is on no stream', async () => {
    const { stderr } = await sotto(
      ['backend', 'apply', '-f', '-'],
      `${head}? {token: hunter2}\n: 1\n`,
    )
    expect(stderr).toMatch(/^sotto: Cannot apply "-": /)
  })
})
