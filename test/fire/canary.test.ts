/**
 * A canary value goes through every path, and is then looked for everywhere: it may be nowhere but
 * in answers to get. Looked for raw, in hex, and in base64 at each of its three alignments.
 */
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Client } from '../../client/client.ts'
import { TestProcess } from '../support/process.ts'
import { scrape } from '../support/scrape.ts'
import { bytes, fourCallers } from '../support/service.ts'
import { cli, runSotto, type Running, startSotto, temporaryDirectory } from '../support/sotto.ts'

const canary = `CANARY-${randomBytes(12).toString('hex')}-é"\\`
const value = bytes(canary)
const scratch = temporaryDirectory()
const state = join(scratch.path, 'state')
const reports = join(scratch.path, 'reports')

/** Everything that somebody could see, and where it was seen. */
const seen: { where: string; what: string | Buffer }[] = []
let server: Running

beforeAll(async () => {
  writeFileSync(join(scratch.path, 'tailnet.json'), JSON.stringify(fourCallers))
  writeFileSync(join(scratch.path, 'value'), value, { mode: 0o600 })
  mkdirSync(reports)
  server = await startSotto({
    args: ['--state-dir', state, '--tailnet', join(scratch.path, 'tailnet.json')],
    node: ['--report-on-signal', '--report-uncaught-exception', `--report-dir=${reports}`],
  })
})

afterAll(() => scratch[Symbol.dispose]())

describe('invariant 3: the canary is only in answers to get', () => {
  test('through the client, with every outcome', async () => {
    const client = new Client({ server: server.url })
    await client.put('prod/a', value)
    await client.put('prod/a', value)
    await client.put('prod/a', bytes('other'))
    await client.createVersion('prod/a', 9, value)
    const stranger = new Client({ server: server.url, localAddress: '127.0.0.4' })
    const nobody = new Client({ server: server.url, localAddress: '127.0.0.9' })
    const attempts = [
      () => client.createVersion('prod/a', 9, value),
      () => client.createVersion('prod/a', 0, value),
      () => client.put('', value),
      () => client.put('\u0001', value),
      () => stranger.put('prod/a', value),
      () => stranger.createVersion('prod/a', 77, value),
      () => nobody.put('prod/a', value),
      () => client.put('prod/large', Buffer.concat([value, Buffer.alloc(3_000_000)])),
    ]
    for (const attempt of attempts) {
      const failure: unknown = await attempt().then(
        () => undefined,
        (error: unknown) => error,
      )
      expect(failure).toBeInstanceOf(Error)
      see(
        'an error of the client',
        failure instanceof Error ? `${failure.stack}${JSON.stringify(failure)}` : '',
      )
    }
    see('list', JSON.stringify(await client.list()))
    see('info', JSON.stringify(await client.info('prod/a')))
    const found = await client.get('prod/a')
    expect(Buffer.from(found.Value).toString()).toBe(canary)
  })

  test('through the wire, in every shape that is refused', async () => {
    const base64 = Buffer.from(value).toString('base64')
    const good = { 'Content-Type': 'application/json', 'Sec-X-Tailscale-No-Browsers': 'setec' }
    const bodies = [
      `{"Name":"prod/b","Value":"${base64}`,
      `{"Name":"prod/b","Value":"${base64}!"}`,
      `{"Name":"prod/b","Value":${JSON.stringify(canary)}}`,
      `{"Name":"prod/b","Version":${JSON.stringify(canary)},"Value":"${base64}"}`,
      `{"Name":{"x":"${base64}"},"Value":"${base64}"}`,
      JSON.stringify(canary),
      canary,
      `{"Value":"${base64}"}`,
    ]
    for (const method of ['put', 'create-version', 'get', 'activate', 'delete', 'none']) {
      for (const body of bodies) {
        for (const headers of [
          good,
          { ...good, 'Content-Type': 'text/plain' },
          { 'Content-Type': 'application/json' },
        ]) {
          const answer = await fetch(`${server.url}/api/${method}`, {
            method: 'POST',
            headers,
            body,
          })
          // A put that ignores a wrong field makes the secret: then get answers it, as it should.
          if (method === 'get' && answer.ok) continue
          see(
            `the answer to a bad ${method}`,
            `${JSON.stringify([...answer.headers])}${await answer.text()}`,
          )
        }
      }
    }
    for (const line of [
      `${canary} / HTTP/1.1\r\n\r\n`,
      `POST /api/put HTTP/1.1\r\n${canary}\r\n\r\n`,
      `GET /${encodeURIComponent(canary)} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    ]) {
      see('the answer to what is not HTTP', await raw(line))
    }
  })

  test('through the command line, also while it runs', async () => {
    const put = ['-s', server.url, 'put']
    const runs = [
      await runSotto([...put, 'cli/stdin'], { input: value }),
      await runSotto([...put, '--from-file', join(scratch.path, 'value'), 'cli/file']),
      await runSotto([...put, 'cli/spaces'], { input: ` ${canary} ` }),
      await runSotto([...put, '--verbatim', '-o', 'json', 'cli/json'], { input: ` ${canary} ` }),
      await runSotto(['-s', server.url, 'create-version', 'cli/stdin', '9'], { input: value }),
      await runSotto(['-s', server.url, 'create-version', 'cli/stdin', '9'], { input: value }),
      await runSotto(['-s', 'http://127.0.0.1:1', 'put', 'cli/gone'], { input: value }),
      await runSotto([...put, 'cli/stdin', canary]),
      await runSotto([...put, `cli/stdin`, '--value', canary]),
      await runSotto(['-s', server.url, 'list', '-o', 'json']),
      await runSotto(['-s', server.url, 'info', 'cli/stdin']),
      await runSotto(['-s', server.url, 'whoami', '-o', 'json']),
    ]
    expect(runs.map(({ code }) => code)).toEqual([0, 0, 1, 0, 0, 2, 6, 1, 1, 0, 0, 0])
    for (const { stdout, stderr } of runs) see('what the command line prints', stdout + stderr)
    const got = await runSotto(['-s', server.url, 'get', 'cli/stdin'])
    expect(got.stdout).toBe(canary)
    see('what get says beside the value', got.stderr)

    const input = new PassThrough()
    const waiting = new TestProcess(process.execPath, [cli, ...put, 'cli/slow'], { input })
    input.write(value.slice(0, -1))
    await expect.poll(() => existsSync(`/proc/${waiting.pid}/cmdline`)).toBe(true)
    seeProcess('the command line', waiting.child)
    input.end(value.slice(-1))
    await waiting.exited
  })

  test('not in what the server prints, its arguments, its environment, its report, its files', async () => {
    seeProcess('the server', server.process)
    server.process.kill('SIGUSR2')
    await expect.poll(() => readdirSync(reports).length).toBe(1)
    for (const path of ['healthz', 'readyz', 'api/openapi.json']) {
      see(path, await (await fetch(`${server.url}/${path}`)).text())
    }
    const { text } = await scrape(server.url)
    see('the metrics', text)
    expect(text).toContain('\nsotto_requests_total{method="put",code="ok"} ')
    // Nor the name of any secret, of a caller, or of a node.
    for (const name of ['prod/', 'cli/', 'root@', 'app-1', 'laptop', 'example.com', '127.0.0']) {
      expect(text, name).not.toContain(name)
    }
    await server.kill()
    const { stdout, stderr } = server.output()
    see('what the server prints', stdout + stderr)
    for (const name of readdirSync(scratch.path, { recursive: true, encoding: 'utf8' })) {
      if (name === 'value') continue
      const path = join(scratch.path, name)
      see(name, readIfFile(path))
    }
    expect(seen.length).toBeGreaterThan(150)
    const where = seen.filter(({ what }) => holdsCanary(what)).map((each) => each.where)
    expect(where).toEqual([])
  })

  test('and the search finds it in each of its forms', () => {
    for (const form of [canary, `x${canary}`, Buffer.from(canary).toString('hex')]) {
      expect(holdsCanary(`before ${form} after`)).toBe(true)
    }
    for (const before of ['', 'x', 'xx']) {
      expect(holdsCanary(Buffer.from(`${before}${canary}yy`).toString('base64'))).toBe(true)
    }
    expect(holdsCanary(JSON.stringify({ canary }))).toBe(true)
    expect(holdsCanary('CANARY')).toBe(false)
  })
})

describe('Node is not made to print what passes through it', () => {
  test('NODE_DEBUG is refused', async () => {
    const { code, stderr } = await runSotto(['server', '--dev'], { env: { NODE_DEBUG: 'stream' } })
    expect([code, stderr.includes('NODE_DEBUG')]).toEqual([1, true])
  })

  test('SIGUSR1 does not open the debugger', async () => {
    const running = await startSotto()
    running.process.kill('SIGUSR1')
    expect((await fetch(`${running.url}/healthz`)).status).toBe(200)
    await running.stop()
    expect(running.output().stderr).not.toContain('Debugger listening')
  })
})

function see(where: string, what: string | Buffer): void {
  seen.push({ where, what })
}

function seeProcess(whose: string, { pid }: ChildProcess): void {
  for (const file of ['cmdline', 'environ'])
    see(`${file} of ${whose}`, readFileSync(`/proc/${pid}/${file}`))
}

function readIfFile(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch {
    return Buffer.alloc(0)
  }
}

/** What stands between `CANARY-` and the characters that encodings treat in their own ways. */
const core = canary.slice(0, -3)

function holdsCanary(what: string | Buffer): boolean {
  const haystack = Buffer.from(what)
  return needles.some((needle) => haystack.includes(needle))
}

const needles = [
  core,
  Buffer.from(core).toString('hex'),
  Buffer.from(core).toString('hex').toUpperCase(),
  // Base64 of the middle, without the characters that depend on what stands around it.
  ...[0, 1, 2].map((shift) => Buffer.from(core.slice(shift)).toString('base64').slice(0, 24)),
]

function raw(text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(server.port, '127.0.0.1', () => socket.end(text))
    let answer = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk))
    socket.on('error', () => resolve(answer))
    socket.on('close', () => resolve(answer))
  })
}
