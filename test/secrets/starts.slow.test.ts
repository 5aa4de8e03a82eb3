/** What a server that refuses to start says, compared with what docs/guides/runbook.md tells operators. */
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createKeyFile } from '../../server/crypto/local-key.ts'
import { startServer } from '../../server/start/server.ts'
import { bytes, startService } from '../support/service.ts'
import { runSotto, temporaryDirectory } from '../support/sotto.ts'

const operations = readFileSync(new URL('../../docs/guides/runbook.md', import.meta.url), 'utf8')

test('every refusal that the operations page lists is one that the program gives', async () => {
  using scratch = temporaryDirectory()
  const said: string[] = []
  const start = async (stateDir: string, keyFile?: string): Promise<void> => {
    const listen = { host: '127.0.0.1', port: 0 }
    const failed = await startServer({
      dev: true,
      tailnet: undefined,
      stateDir,
      keyFile,
      listen,
    }).then(
      () => new Error('it started'),
      (error: unknown) => error,
    )
    said.push(failed instanceof Error ? failed.message : '')
  }
  const state = join(scratch.path, 'state')
  const old = join(scratch.path, 'old.db')
  {
    await using service = await startService({}, { state })
    await service.client().put('prod/a', bytes('one'))
    await start(state)
    await service.server.stop()
    cpSync(join(state, 'sotto.db'), old)
  }
  {
    await using service = await startService({}, { state })
    await service.client().put('prod/a', bytes('two'))
  }
  const otherKey = join(scratch.path, 'other.key')
  await createKeyFile(otherKey)
  await start(state, otherKey)
  await start(state, join(scratch.path, 'none.key'))
  cpSync(join(state, 'sotto.db'), join(scratch.path, 'new.db'))
  cpSync(old, join(state, 'sotto.db'))
  await start(state)
  cpSync(join(scratch.path, 'new.db'), join(state, 'sotto.db'))
  rmSync(join(state, 'audit'), { recursive: true })
  await start(state)
  const unfinished = join(scratch.path, 'unfinished')
  mkdirSync(join(unfinished, 'restore.0123abcd.partial'), { recursive: true, mode: 0o700 })
  await start(unfinished)
  const open = join(scratch.path, 'open')
  mkdirSync(open)
  chmodSync(open, 0o755)
  await start(open)
  const shared = join(scratch.path, 'shared')
  mkdirSync(join(shared, 'state'), { recursive: true, mode: 0o700 })
  chmodSync(shared, 0o777)
  await start(join(shared, 'state'))
  const foreign = join(scratch.path, 'foreign')
  mkdirSync(foreign, { mode: 0o700 })
  // Only root can give a folder away.
  if (process.getuid?.() === 0) {
    chownSync(foreign, 12_345, 12_345)
    await start(foreign)
  } else {
    said.push(readFileSync(new URL('../../client/platform/owned.ts', import.meta.url), 'utf8'))
  }
  const setec = join(scratch.path, 'setec')
  mkdirSync(setec, { mode: 0o700 })
  for (const name of ['database', 'audit.log']) writeFileSync(join(setec, name), '')
  await start(setec)
  const cut = join(scratch.path, 'cut')
  mkdirSync(cut, { mode: 0o700 })
  for (const name of ['local.key', 'sotto.db.0123abcd.new']) writeFileSync(join(cut, name), '')
  const refused = await runSotto(['init', '--state-dir', cut])
  expect([refused.code, readdirSync(cut).length]).toEqual([1, 2])
  expect(refused.stderr).toContain('has no store, but "local.key" and "sotto.db.0123abcd.new"')
  said.push(refused.stderr)
  for (const name of readdirSync(cut)) rmSync(join(cut, name))
  expect((await runSotto(['init', '--state-dir', cut])).code).toBe(0)
  const arn = 'arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab'
  const nowhere = ['--kms-key', arn, '--kms-endpoint', 'http://127.0.0.1:1']
  const under = join(scratch.path, 'under-kms')
  const unreachable = await runSotto(['init', '--state-dir', under, ...nowhere], {
    env: { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' },
  })
  expect([unreachable.code, readdirSync(under).includes('sotto.db')]).toEqual([1, false])
  expect(unreachable.stderr).toContain(': KMS could not be reached (ECONNREFUSED)')
  said.push(unreachable.stderr)
  const token = join(scratch.path, 'token')
  writeFileSync(token, 'none', { mode: 0o600 })
  const transit = ['--transit-key', 'sotto', '--transit-url', 'http://127.0.0.1:1']
  const silent = ['--transit-insecure', '--transit-token-file', token]
  const closed = await runSotto(['init', '--state-dir', under, ...transit, ...silent])
  expect([closed.code, readdirSync(under).includes('sotto.db')]).toEqual([1, false])
  said.push(closed.stderr)
  const missing = await runSotto(['server', '--state-dir', join(scratch.path, 'none')])
  expect(missing.code).toBe(1)
  const trusting = await runSotto(['server', '--state-dir', state], {
    env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' },
  })
  expect(trusting.code).toBe(1)
  said.push(trusting.stderr)
  said.push(missing.stderr, readFileSync(new URL('../../cli/main.ts', import.meta.url), 'utf8'))

  const section = operations.slice(operations.indexOf('### The server does not start'))
  const rows = section.slice(section.indexOf('| It says |')).split('\n\n')[0] ?? ''
  const shown = rows
    .split('\n')
    .slice(2)
    .flatMap((row) =>
      [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, each]) => each ?? ''),
    )
  expect(shown.length).toBeGreaterThanOrEqual(7)
  for (const phrase of shown) {
    expect(
      said.some((message) => message.includes(phrase)),
      phrase,
    ).toBe(true)
  }
})

test('a store that --dev made is refused by a normal start, and a production store by --dev', async () => {
  using scratch = temporaryDirectory()
  const made = join(scratch.path, 'made')
  const own = join(scratch.path, 'own')
  {
    await using service = await startService({}, { state: made })
    expect(await service.client().list()).toEqual([])
  }
  const normal = await runSotto(['server', '--state-dir', made])
  expect([normal.code, normal.stderr.includes('was made by --dev')]).toEqual([1, true])
  expect((await runSotto(['init', '--state-dir', own])).code).toBe(0)
  const dev = await runSotto(['server', '--dev', '--state-dir', own])
  expect([dev.code, dev.stderr.includes('was not made by --dev')]).toEqual([1, true])
  const again = await runSotto(['init', '--state-dir', own])
  expect([again.code, again.stderr.includes('is not empty')]).toEqual([1, true])
  const nobody = join(scratch.path, 'tailscaled.sock')
  const production = await runSotto(['server', '--state-dir', own, '--tailscaled-socket', nobody])
  expect([production.code, production.stderr.includes('tailscaled')]).toEqual([1, true])
})

test('an address that is not loopback is refused with --dev, and a tailnet file without it', async () => {
  for (const args of [
    ['--dev', '--listen', '0.0.0.0:0'],
    ['--dev', '--listen', '[::]:0'],
    ['--dev', '--listen', 'nowhere'],
    ['--tailnet', 'x', '--state-dir', 'y'],
    [],
  ]) {
    const { code, stdout } = await runSotto(['server', ...args])
    expect([code, stdout]).toEqual([1, ''])
  }
})

test('a port of its own is listened on for a node that has one', async () => {
  const probe = await startService()
  const port = Number(new URL(probe.url).port)
  await probe[Symbol.asyncDispose]()
  await using service = await startService(
    {},
    {
      tailnet: { nodes: { '127.0.0.2': { name: 'app-1', tags: ['tag:app'], port } } },
    },
  )
  const answer = await fetch(`http://127.0.0.1:${port}/api/whoami`, {
    method: 'POST',
    body: '{}',
    headers: { 'Content-Type': 'application/json', 'Sec-X-Tailscale-No-Browsers': 'setec' },
  })
  expect([service.url.endsWith(`:${port}`), await answer.json()]).toMatchObject([
    false,
    { Hostname: 'app-1' },
  ])
})
