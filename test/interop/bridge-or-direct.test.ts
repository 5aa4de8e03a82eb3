/**
 * docs/guides/bridge-or-direct.md: its mirror, policy and ExternalSecret fit each other, and its programs check what they get
 * before they start.
 */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { readBackends } from '../../cli/handlers/backend-file.ts'
import { filesIn } from '../support/console.ts'
import { top } from '../support/documents.ts'
import { startOpenBao } from '../support/openbao.ts'
import { describeWith, requirePeer } from '../support/peers.ts'
import { run } from '../support/process.ts'
import { bytes, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { leastPolicy, prepare } from './backends/fixture.ts'

const page = readFileSync(join(top, 'docs/guides/bridge-or-direct.md'), 'utf8')
const PASSWORD = 'correct horse'
const SHORT = 'battery staple'
const LONG = 'battery staple battery staple 32'

describeWith(['python3', 'go'], 'docs/guides/bridge-or-direct.md', () => {
  const scratch = temporaryDirectory()
  const at = (name: string): string => join(scratch.path, name)

  beforeAll(async () => {
    for (const [name, text] of filesIn(page)) writeFileSync(at(name), text)
    mkdirSync(at('node_modules'))
    symlinkSync(join(top, 'node_modules/zod'), at('node_modules/zod'))
    writeFileSync(at('package.json'), '{"type":"module"}')
    const options = { cwd: scratch.path, env: { GO111MODULE: 'off' } }
    const built = await run(requirePeer('go'), ['build', '-o', 'config', 'config.go'], options)
    if (built.code !== 0) throw new Error(built.stderr)
  }, 300_000)

  afterAll(() => scratch[Symbol.dispose]())

  const programs: readonly (readonly [string, () => string, readonly string[]])[] = [
    ['TypeScript', () => process.execPath, ['config.ts']],
    ['Python', () => requirePeer('python3'), ['-B', 'config.py']],
    ['Go', () => at('config'), []],
  ]

  test.each(programs)(
    '%s: starts with what it needs, and else says what is wrong',
    async (_, program, args) => {
      const start = (env: Readonly<Record<string, string>>) =>
        run(program(), args, { cwd: scratch.path, env })
      expect(await start({ DB_PASSWORD: PASSWORD, JWT_SECRET: LONG })).toEqual({
        code: 0,
        stdout: 'ready\n',
        stderr: '',
      })
      const none = await start({ JWT_SECRET: LONG })
      expect(none).toMatchObject({ code: 1, stdout: '' })
      expect(none.stderr).toMatch(/^DB_PASSWORD: .+\n$/)
      const both = await start({ DB_PASSWORD: '', JWT_SECRET: SHORT })
      expect(both).toMatchObject({ code: 1, stdout: '' })
      expect(both.stderr).toMatch(/^DB_PASSWORD: .+\nJWT_SECRET: .+\n$/)
      for (const value of [PASSWORD, SHORT, LONG]) {
        expect(none.stderr + both.stderr).not.toContain(value)
      }
    },
  )
})

describeWith(['bao'], 'the bridge of docs/guides/bridge-or-direct.md', () => {
  /** The block of the page under that mark. */
  const block = (mark: string): string =>
    new RegExp(`<!-- ${mark} -->\\n\`\`\`\\w+\\n([^]*?)\`\`\``).exec(page)?.[1] ?? ''

  test('what its manifest names is there, by both lines of its policy', async () => {
    using scratch = temporaryDirectory()
    await using bao = await startOpenBao()
    await prepare(bao)
    await using service = await startService({}, { backendOrigins: [bao.url] })
    const policy = block('policy: bridge')
    writeFileSync(join(scratch.path, 'shop.hcl'), policy)
    const ran = await run('bash', ['-euc', block('run: bridge')], {
      cwd: scratch.path,
      env: {
        PATH: `${dirname(requirePeer('bao'))}:${process.env['PATH']}`,
        HOME: scratch.path,
        BAO_ADDR: bao.url,
        BAO_TOKEN: bao.rootToken,
      },
    })
    expect(ran).toMatchObject({ code: 0 })
    const role = (await bao.must('GET', 'auth/approle/role/shop')).data
    expect(role).toMatchObject({ token_ttl: 3600, token_max_ttl: 14_400, secret_id_ttl: 0 })

    // The token of the mirror needs the same permissions there as at its own prefix.
    await bao.policy('k3s', leastPolicy.replaceAll('/sotto/', '/k3s/'))
    const client = service.client()
    await client.put('backends/vault', bytes(await bao.token({ policies: ['least', 'k3s'] })))
    await client.put('shop', bytes('{"username":"shop","password":"correct horse"}'))
    await client.put('shop/jwt', bytes('battery staple'))
    const file = `kind: secretbackend
name: vault
type: openbao
config:
  url: ${bao.url}
  tokenSecretRef: {name: backends/vault}
${block('spec: bridge')}`
    for (const spec of readBackends(file, 'vault.yaml')) await client.operate('backend-apply', spec)
    let ended = await client.operate('mirror-sync', { AcceptMount: false })
    while (ended.Running) {
      ended = await client.operate('job-run', { Name: 'mirror', Started: ended.LastStart ?? '' })
    }
    expect(ended).toMatchObject({ LastResult: 'ok' })

    const { spec } = parse(block('manifests: bridge')) as {
      spec: { data: { secretKey: string; remoteRef: { key: string; property: string } }[] }
    }
    /** What the Secret would get, or the status of what is refused. */
    const wanted = async (policies: readonly string[]): Promise<Record<string, unknown>> => {
      const token = await bao.token({ policies })
      const read = spec.data.map(async ({ secretKey, remoteRef: { key, property } }) => {
        const { status, body } = await bao.call('GET', `secret/data/${key}`, undefined, { token })
        return [secretKey, status === 200 ? body.data.data[property] : status] as const
      })
      return Object.fromEntries(await Promise.all(read))
    }
    const both = { DB_PASSWORD: 'correct horse', JWT_SECRET: 'battery staple' }
    expect(await wanted(['shop'])).toEqual(both)
    const [exact = '', below = ''] = policy.split(/(?<=\}\n)/)
    await bao.policy('exact', exact)
    await bao.policy('below', below)
    expect(await wanted(['exact'])).toEqual({ ...both, JWT_SECRET: 403 })
    expect(await wanted(['below'])).toEqual({ ...both, DB_PASSWORD: 403 })
  }, 300_000)
})
