/** Programs that know nothing of Sotto read a secret: curl, Python's standard library, fetch and node:http. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeWith, requirePeer } from '../support/peers.ts'
import { type Running, startSotto, temporaryDirectory } from '../support/sotto.ts'
import { alice, app, root, unknown, writeTailnet } from './tailnet.ts'

const run = promisify(execFile)

const headers = { 'Content-Type': 'application/json', 'Sec-X-Tailscale-No-Browsers': 'setec' }
const body = '{"name":"prod/key"}'
const answer = '{"Value":"b25l","Version":1}'

const python = `
import json, sys, urllib.request
url, name = sys.argv[1:]
request = urllib.request.Request(
    url + "/api/get",
    data=json.dumps({"name": name}).encode(),
    headers=${JSON.stringify(headers)},
)
sys.stdout.write(urllib.request.urlopen(request).read().decode())
`

describeWith(['curl', 'python3'], 'plain HTTP clients', () => {
  const directory = temporaryDirectory()
  let sotto: Running

  beforeAll(async () => {
    sotto = await startSotto({ args: ['--tailnet', writeTailnet(directory.path)] })
    await ask('put', '{"Name":"prod/key","Value":"b25l"}')
  })
  afterAll(async () => {
    await sotto.stop()
    directory[Symbol.dispose]()
  })

  async function ask(method: string, content: string): Promise<string> {
    const sent = { method: 'POST', headers, body: content }
    return (await fetch(`${sotto.url}/api/${method}`, sent)).text()
  }

  /** What curl prints for a get, called from a loopback address: the answer and its status. */
  async function curl(from: string, ...more: string[]): Promise<string> {
    const sent = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
    const args = ['-sS', '--interface', from, ...sent, '-d', body, '-w', '%{http_code}', ...more]
    return (await run(requirePeer('curl'), [...args, `${sotto.url}/api/get`])).stdout
  }

  test('fetch', async () => {
    expect(await ask('get', body)).toBe(answer)
  })

  test('node:http', async () => {
    const sent = request(`${sotto.url}/api/get`, { method: 'POST', headers }).end(body)
    const [incoming] = (await once(sent, 'response')) as [NodeJS.ReadableStream]
    expect(await text(incoming)).toBe(answer)
  })

  test("Python's urllib", async () => {
    const { stdout } = await run(requirePeer('python3'), ['-c', python, sotto.url, 'prod/key'])
    expect(stdout).toBe(answer)
  })

  test('curl', async () => {
    expect(await curl(root)).toBe(`${answer}200`)
  })

  test('curl with a body that it sends only when asked to', async () => {
    expect(await curl(root, '-H', 'Expect: 100-continue')).toBe(`${answer}200`)
  })

  test('callers are told apart by their address', async () => {
    expect(await curl(app)).toBe(`${answer}200`)
    expect(await curl(alice)).toBe('access denied\n403')
    expect(await curl(unknown)).toBe('unable to identify caller\n500')
  })

  test('a browser gets nothing', async () => {
    const sent = ['-sS', '-d', body, '-H', 'Content-Type: application/json']
    const { stdout } = await run(requirePeer('curl'), [...sent, `${sotto.url}/api/get`])
    expect(stdout).toBe('access denied\n')
  })
})
