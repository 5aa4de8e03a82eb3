/**
 * Plays failures.txt: what an operator reads when OpenBao, its key or the way in is not what it should be. What
 * is refused is refused within a bound, and changes nothing in the store.
 */
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { type Answered, environmentOf, inProcess, play, type Played } from '../../cli/play.ts'
import { readTranscript, type Variables } from '../../cli/transcript.ts'
import { makePair } from '../../support/certificates.ts'
import { type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith, requirePeer } from '../../support/peers.ts'
import { temporaryDirectory } from '../../support/sotto.ts'

/** With all attempts, and the login before them. */
const BOUND_MS = 25_000

describeWith(['bao'], 'transcripts', () => {
  test('failures.txt', { timeout: 300_000 }, async () => {
    using scratch = temporaryDirectory()
    const dir = scratch.path
    await using bao = await startOpenBao({ storage: 'raft' })
    const tls = makePair(['localhost'])
    await using secure = await startOpenBao({ tls })
    await using silent = await startSilent()
    const variables: Variables = new Map([
      ['dir', dir],
      ['bao', bao.url],
      ['secure', secure.url],
      ['silent', silent.url],
    ])
    const page = readFileSync(
      new URL('../../../docs/guides/keys-transit.md', import.meta.url),
      'utf8',
    )
    const [, policy = ''] = /<!-- transit policy -->\n```hcl\n([^]*?)```/.exec(page) ?? []
    writeFileSync(join(dir, 'sotto.hcl'), policy)
    const steps = readTranscript(readFileSync(new URL('failures.txt', import.meta.url), 'utf8'))
    const store = (): Buffer => readFileSync(join(dir, 'state/sotto.db'))
    for (const step of steps) {
      const refused = step.fields.has('exit')
      const before = refused ? store() : undefined
      const began = performance.now()
      await play(step, 'failures.txt', variables, (played) => act(played, bao, dir))
      if (before === undefined) continue
      expect(performance.now() - began, `line ${step.line}`).toBeLessThan(BOUND_MS)
      expect(store().equals(before), `line ${step.line} changed the store`).toBe(true)
    }
  })
})

async function act(played: Played, bao: OpenBao, dir: string): Promise<Answered> {
  const { program, args } = played
  if (program === 'sotto') {
    return inProcess(args, {
      SOTTO_STATE_DIR: join(dir, 'state'),
      SOTTO_TRANSIT_URL: bao.url,
      SOTTO_TRANSIT_TOKEN_FILE: join(dir, 'token'),
      ...environmentOf(played),
    })
  }
  if (program === 'openbao') {
    const [what = ''] = args
    if (what === 'kill') await bao.kill()
    else if (what === 'start') await bao.start()
    else if (what === 'unseal') await bao.unseal()
    else throw new Error(`OpenBao cannot ${what}`)
    return { stdout: '', stderr: '', exit: '0' }
  }
  if (program === 'save') {
    // save FILE COMMAND…: what the command prints, in a file of mode 0600.
    const [name = '', command = '', ...rest] = args
    const { stdout } = await promisify(execFile)(command, rest, { env: environment(bao, dir) })
    writeFileSync(name, stdout, { mode: 0o600 })
    return { stdout: '', stderr: '', exit: '0' }
  }
  await promisify(execFile)(program, args, { env: environment(bao, dir), cwd: dir })
  return { stdout: '', stderr: '', exit: '0' }
}

function environment({ url, rootToken }: OpenBao, home: string): NodeJS.ProcessEnv {
  const path = `${dirname(requirePeer('bao'))}:${process.env['PATH']}`
  return { PATH: path, HOME: home, BAO_ADDR: url, BAO_TOKEN: rootToken }
}

/** Takes connections and answers nothing. */
async function startSilent() {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).resume()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
