/** What a terminal is sent: nothing that it acts on comes from elsewhere. Needs Python, which has terminals to give. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { shown } from '../../cli/terminal/text.ts'
import { Client } from '../../client/client.ts'
import { cli, type Running, runSotto, startSotto, temporaryDirectory } from '../support/sotto.ts'
import { talk } from '../support/terminal.ts'

const noPython = process.env['CI'] !== 'true' && spawnSync('python3', ['--version']).status !== 0

/** What a terminal acts on: escape sequences of seven bits and of eight, and what reorders text. */
const attack =
  'abc\u001b]52;c;cHduZWQ=\u0007\u001b[2J\u001b]0;title\u0007\r\b\u007f\u009b31m\u202eend'
const attackShown =
  'abc\\u001b]52;c;cHduZWQ=\\u0007\\u001b[2J\\u001b]0;title\\u0007\\u000d\\u0008\\u007f\\u009b31m\\u202eend'
const words = 'The value has control characters, which are shown: --raw sends them.\r\n'

const directory = temporaryDirectory()
let server: Running
let env: Record<string, string>

beforeAll(async () => {
  server = await startSotto()
  env = { SOTTO_SERVER: server.url }
  const client = new Client({ server: server.url })
  await client.put('attack', Buffer.from(attack))
  await client.put('lines', Buffer.from('one\n\ttwo: ü 🗝\n'))
  await client.put('bytes', Buffer.from([0x9b, 0x33, 0x31, 0x6d, 0xff, 0x1b, 0x41, 0x0a]))
  await client.put('turned\u202ename', Buffer.from('x'))
  client.close()
})

afterAll(async () => {
  await server.stop()
  directory[Symbol.dispose]()
})

const onTerminal = (args: readonly string[], stdout?: string) =>
  talk({
    argv: [process.execPath, cli, ...args],
    env,
    dialog: [],
    ...(stdout !== undefined && { stdout }),
  })

describe.skipIf(noPython)('on a terminal', () => {
  test('C4: control characters of a value are shown, not sent', async () => {
    const { screen, exit } = await onTerminal(['get', 'attack'])
    expect({ screen, exit }).toEqual({ screen: `${attackShown}\r\n${words}`, exit: 0 })
  })

  test('C4: bytes that are no text are shown in ASCII', async () => {
    const { screen } = await onTerminal(['get', 'bytes'])
    expect(screen).toBe(`\\x9b31m\\xff\\x1bA\r\n\r\n${words}`)
  })

  test('C4: lines, tabs and letters of all languages arrive as they are, and nothing is said', async () => {
    const { screen } = await onTerminal(['get', 'lines'])
    expect(screen).toBe('one\r\n\ttwo: ü 🗝\r\n\r\n')
  })

  test('C4: --raw sends them', async () => {
    const { screen } = await onTerminal(['get', '--raw', 'attack'])
    expect(screen).toBe(`${attack}\r\n`)
  })

  test.each([
    ['a list', ['list']],
    ['a list as JSON', ['list', '-o', 'json']],
    ['an error', ['get', 'no\u001b[2Jne']],
    ['an error about a file', ['put', 'a', '--from-file', '/\u009b31m']],
    ['a command that is not there', ['\u202eevil']],
    ['help', ['help', '\u009b31m']],
  ])('C4: nothing that a terminal acts on is in %s', async (_, args) => {
    const { screen } = await onTerminal(args)
    expect(screen).not.toBe('')
    expect(screen.replaceAll('\r\n', '')).not.toMatch(/[\p{Control}\u202e]/u)
  })

  test('C4: whatever is written, a terminal is sent no control character but tabs and ends of lines', async () => {
    const script = `
      import { processIo } from ${JSON.stringify(new URL('../../cli/terminal/process-io.ts', import.meta.url).href)}
      const { stdout, stderr } = processIo()
      const all = String.fromCodePoint(...Array.from({ length: 0x3000 }, (_, at) => at))
      for (const each of [stdout, stderr]) await each.write(all)
      for (const each of [stdout, stderr]) await each.write(Uint8Array.from({ length: 256 }, (_, at) => at))`
    const { screen, exit } = await talk({
      argv: [process.execPath, '--input-type=module-typescript', '-e', script],
      env: {},
      dialog: [],
    })
    expect(exit).toBe(0)
    expect(screen.length).toBeGreaterThan(0x6000)
    const left = screen.replaceAll('\r\n', '').replaceAll('\t', '')
    expect(left).not.toMatch(
      /[\p{Control}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u,
    )
  })
})

test('C4: a value that goes elsewhere than to a terminal arrives byte for byte', async () => {
  expect(await runSotto(['get', 'attack'], { env })).toEqual({
    code: 0,
    stdout: attack,
    stderr: '',
  })
  const raw = await runSotto(['get', '--raw', 'attack'], { env })
  expect(raw.stdout).toBe(attack)
  if (noPython) return
  const path = join(directory.path, 'value')
  // Words are for the terminal, the value for the file.
  const { screen } = await onTerminal(['get', 'bytes'], path)
  expect(screen).toBe('')
  expect([...readFileSync(path)]).toEqual([0x9b, 0x33, 0x31, 0x6d, 0xff, 0x1b, 0x41, 0x0a])
})

test('C4: what is shown of text is the text where nothing in it is acted on', () => {
  expect(shown('a\tb\nü🗝\u200d')).toBe('a\tb\nü🗝\u200d')
  expect(shown(Buffer.from('ü\u0085'))).toBe('ü\\u0085')
  expect(shown('\ud800')).toBe('\\ud800')
})

test('C4: the log of a server is lines, whatever is in what they speak of', async () => {
  const gone = join(directory.path, 'a\u009b31m\u202e')
  mkdirSync(gone)
  const started = await startSotto({
    args: ['--state-dir', directory.path + '/state', '--backup-to', gone],
  })
  spawnSync('rm', ['-r', gone])
  try {
    await runSotto(['backup', 'create'], { env: { SOTTO_SERVER: started.url } })
  } finally {
    await started.stop()
  }
  const { stderr } = started.output()
  expect(stderr).toContain('a\\u009b31m\\u202e')
  expect(stderr.slice(stderr.indexOf('put')).replaceAll('\n', '')).not.toMatch(
    /[\p{Control}\u202e]/u,
  )
})
