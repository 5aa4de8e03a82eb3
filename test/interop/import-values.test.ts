/** `sotto import sops` and `sotto import openbao` with the released programs. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { expect, test } from 'vitest'
import { inProcess } from '../cli/in-process.ts'
import { startOpenBao } from '../support/openbao.ts'
import { describeWith, requirePeer } from '../support/peers.ts'
import { run } from '../support/process.ts'
import { type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

async function contents(service: Service): Promise<Record<string, string>> {
  const client = service.client()
  const read = (await client.list()).map(async ({ Name }) => {
    return [Name, Buffer.from((await client.get(Name)).Value).toString()] as const
  })
  return Object.fromEntries(await Promise.all(read))
}

describeWith(['sops'], 'SOPS', () => {
  test.each([
    ['a.yaml', 'db:\n  password: "it\'s"\n  port: 5432\nkey: |\n  one\n  two\n'],
    ['a.json', '{"db": {"password": "it\'s", "port": 5432}, "key": "one\\ntwo\\n"}'],
    ['a.env', "password=it's\nport=5432\n"],
  ])('%s', async (name, text) => {
    using folder = temporaryDirectory()
    await using service = await startService()
    const sops = requirePeer('sops')
    const identity = await generateX25519Identity()
    const env = { SOPS_AGE_KEY: identity, PATH: `${join(sops, '..')}:${process.env['PATH']}` }
    const file = join(folder.path, name)
    writeFileSync(file, text)
    const args = ['encrypt', '--age', await identityToRecipient(identity), '--in-place', file]
    expect(await run(sops, args, { env })).toMatchObject({ code: 0 })
    const command = ['import', 'sops', file, '--prefix', 'app/', '-s', service.url]
    expect(await inProcess(command, env)).toMatchObject({ exit: '0' })
    expect(await contents(service)).toEqual(
      name === 'a.env'
        ? { 'app/password': "it's", 'app/port': '5432' }
        : { 'app/db/password': "it's", 'app/db/port': '5432', 'app/key': 'one\ntwo\n' },
    )
  })
})

describeWith(['bao'], 'OpenBao', () => {
  test.each(['1', '2'])('KV version %s', async (version) => {
    await using bao = await startOpenBao()
    await using service = await startService()
    await bao.mount('team/kv', 'kv', { version })
    const write = (path: string, data: object) =>
      bao.must(
        'POST',
        `team/kv/${version === '2' ? 'data/' : ''}${path}`,
        version === '2' ? { data } : data,
      )
    await write('app/db', { user: 'u', password: "it's", port: 5432, list: ['x'] })
    await write('app/db/replica', { password: 'two\nlines' })
    await write('other', { key: 'k' })
    const env = { BAO_ADDR: bao.url, BAO_TOKEN: bao.rootToken }
    const importing = (path: string) =>
      inProcess(['import', 'openbao', path, '--prefix', `${path}/`, '-s', service.url], env)
    expect(await importing('team/kv/app')).toMatchObject({ exit: '1' })
    expect(await importing('team/kv/other')).toMatchObject({ exit: '0' })
    expect(await contents(service)).toEqual({
      'team/kv/app/db/user': 'u',
      'team/kv/app/db/password': "it's",
      'team/kv/app/db/port': '5432',
      'team/kv/app/db/replica/password': 'two\nlines',
      'team/kv/other/key': 'k',
    })
  })

  test('KV of version 1 is known by its mount, whatever its paths look like', async () => {
    await using bao = await startOpenBao()
    await using service = await startService()
    // Made without a version: OpenBao takes that for the first.
    await bao.mount('plain', 'kv', {})
    // Read as version 2, these would be the secrets `app` and nothing.
    await bao.must('POST', 'plain/data/app', { data: 'x', password: 'p' })
    await bao.must('POST', 'plain/metadata/app', { ttl: '1h', key: 'k' })
    const env = { BAO_ADDR: bao.url, BAO_TOKEN: bao.rootToken }
    const command = ['import', 'openbao', 'plain', '--prefix', 'v1/', '-s', service.url]
    expect(await inProcess([...command, '--dry-run'], env)).toMatchObject({ exit: '0' })
    expect(await contents(service)).toEqual({})
    expect(await inProcess(command, env)).toMatchObject({ exit: '0' })
    const all = {
      'v1/data/app/data': 'x',
      'v1/data/app/password': 'p',
      'v1/metadata/app/ttl': '1h',
      'v1/metadata/app/key': 'k',
    }
    expect(await contents(service)).toEqual(all)
    // What changed there is a new version, and what did not is not written again.
    await bao.must('POST', 'plain/data/app', { data: 'x', password: 'q' })
    expect(await inProcess([...command, '--activate'], env)).toMatchObject({ exit: '0' })
    expect(await contents(service)).toEqual({ ...all, 'v1/data/app/password': 'q' })
    expect((await service.client().info('v1/data/app/data')).Versions).toEqual([1])
  })
})
