/** A process whose Node was configured to trust anybody, or to give away what passes through it, does not start. */
import { once } from 'node:events'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { refuseUnsafeRuntime } from '../../cli/runtime.ts'
import { Client } from '../../client/client.ts'
import { awsKmsProvider } from '../../server/crypto/aws-kms.ts'
import { OpenBaoConnection } from '../../server/openbao/connection.ts'
import { makePair } from '../support/certificates.ts'
import { run } from '../support/process.ts'
import { cli, temporaryDirectory } from '../support/sotto.ts'

const scratch = temporaryDirectory()
afterAll(() => scratch[Symbol.dispose]())

/** Whoever sits in between, with a certificate of their own making; keeps what was sent to them. */
const pair = makePair(['localhost'])
const heard: string[] = []
const between = createServer({ cert: pair.certificate, key: pair.key }, (request, response) => {
  heard.push(JSON.stringify(request.headers))
  response.end('1')
})
beforeAll(async () => {
  between.listen(0, 'localhost')
  await once(between, 'listening')
})
afterAll(() => between.close())
const there = (): string => `https://localhost:${(between.address() as AddressInfo).port}`

describe('C5: a process that would trust any certificate does not start', () => {
  const state = join(scratch.path, 'state')
  test.each([
    ['the server', ['server', '--dev', '--listen', '127.0.0.1:0']],
    ['init', ['init', '--state-dir', state]],
    ['a command of the client', ['put', 'a']],
    ['a command of keys', ['key', 'status', '--state-dir', state]],
    ['a backup', ['backup', 'verify', 'x.backup']],
    ['doctor', ['doctor']],
  ])('%s', async (_, args) => {
    const env = { NODE_TLS_REJECT_UNAUTHORIZED: '0', SOTTO_SERVER: there() }
    const { code, stdout, stderr } = await run(process.execPath, [cli, ...args], {
      env,
      input: 'hunter2',
    })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain('Cannot run: NODE_TLS_REJECT_UNAUTHORIZED is 0')
    expect(stderr).toContain('NODE_EXTRA_CA_CERTS=FILE')
    expect(readdirSync(scratch.path)).not.toContain('state')
  })

  const keys = join(scratch.path, 'keys.log')
  test.each<[string, string[], Record<string, string>]>([
    ['--tls-keylog', [`--tls-keylog=${keys}`], {}],
    ['in NODE_OPTIONS', [], { NODE_OPTIONS: `--tls-keylog=${keys}` }],
    ['with underscores and quotes', [], { NODE_OPTIONS: `"--tls_keylog=${keys}"` }],
    ['as two words', ['--tls-keylog', keys], {}],
    ['from a file of variables', [`--env-file=${join(scratch.path, 'env')}`], {}],
    [
      'from a file of options',
      [`--experimental-config-file=${join(scratch.path, 'node.json')}`],
      {},
    ],
    ['--tls-min-v1.0', ['--tls-min-v1.0'], {}],
    ['--insecure-http-parser', [], { NODE_OPTIONS: '--insecure-http-parser' }],
    ['--tls-cipher-list', ['--tls-cipher-list=ALL:eNULL:aNULL@SECLEVEL=0'], {}],
    ['--trace-tls', ['--trace-tls'], {}],
    ['--inspect', ['--inspect=127.0.0.1:0'], {}],
    ['--inspect in NODE_OPTIONS', [], { NODE_OPTIONS: '--inspect-publish-uid=http --inspect' }],
    ['--heapsnapshot-signal', [], { NODE_OPTIONS: '--heapsnapshot-signal=SIGUSR2' }],
    ['NODE_DEBUG', [], { NODE_DEBUG: 'http' }],
  ])('nor one that weakens or gives away its connections: %s', async (_, node, env) => {
    writeFileSync(join(scratch.path, 'env'), `NODE_OPTIONS=--tls-keylog=${keys}\n`)
    writeFileSync(join(scratch.path, 'node.json'), '{"nodeOptions":{"insecure-http-parser":true}}')
    const args = [...node, cli, '-s', there(), 'put', 'a']
    const { code, stderr } = await run(process.execPath, args, { env, input: 'hunter2' })
    expect(code).toBe(1)
    expect(stderr).toContain('sotto: Cannot run: ')
    expect(existsSync(keys)).toBe(false)
  })

  test('what other people have set for good reasons is no hindrance', () => {
    const env = {
      NODE_EXTRA_CA_CERTS: '/etc/ssl/own.pem',
      NODE_TLS_REJECT_UNAUTHORIZED: '1',
      NODE_OPTIONS: '--max-semi-space-size=8 --disable-sigusr1 --use-system-ca --tls-min-v1.3',
    }
    expect(() =>
      refuseUnsafeRuntime(env, ['--conditions=x', '--max-old-space-size=99']),
    ).not.toThrow()
  })
})

test('C5: each client checks certificates, whatever the environment says after the start', async () => {
  const value = process.env['NODE_TLS_REJECT_UNAUTHORIZED']
  const warned = vi.spyOn(process, 'emitWarning').mockReturnValue()
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
  try {
    heard.length = 0
    const client = new Client({ server: there(), timeoutMs: 5000 })
    await expect(client.put('a', Buffer.from('x'))).rejects.toMatchObject({ code: 'unreachable' })
    client.close()
    const openBao = new OpenBaoConnection({ url: there() })
    const answer = await openBao.call({ method: 'GET', path: 'sys/health', token: 'root-token' })
    expect(answer).toMatchObject({ ok: false })
    await openBao.close()
    const kms = awsKmsProvider({ key: 'alias/x', endpoint: there(), region: 'eu-north-1' }, 5000)
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDEXAMPLE')
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret')
    await expect(kms.wrap(new Uint8Array(32), 'f'.repeat(32))).rejects.toThrow(/Cannot/)
    expect(heard).toEqual([])
  } finally {
    vi.unstubAllEnvs()
    warned.mockRestore()
    if (value === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = value
  }
})
