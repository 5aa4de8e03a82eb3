import { spawnSync } from 'node:child_process'
import { existsSync, renameSync, statSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Rule } from '../../client/api/types.ts'
import { DevelopmentTailnet, type TailnetFile } from '../../server/identity/development.ts'
import type { TcpPeer } from '../../server/identity/identity.ts'
import { refuseUserspaceTailscaled } from '../../server/identity/userspace.ts'
import { identityContract } from '../contract/identity.ts'
import { type Answer, recorded, StubLocalApi } from '../support/local-api.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const nodes: TailnetFile = {
  nodes: {
    '127.0.0.2': {
      name: 'app-1',
      tags: ['tag:app'],
      rules: [{ action: ['get'], secret: ['prod/*'] }],
    },
    '127.0.0.3': { name: 'laptop', user: 'alice@example.com', rules: [], port: 7003 },
  },
}

/** A connection from `remoteAddress`. */
function from(remoteAddress: string, localPort = 1): TcpPeer {
  return { remoteAddress, remotePort: 40_000, localAddress: '127.0.0.1', localPort }
}

function write(path: string, file: unknown): void {
  writeFileSync(path, typeof file === 'string' ? file : JSON.stringify(file))
}

identityContract('the development tailnet', async () => {
  const directory = temporaryDirectory()
  const path = join(directory.path, 'tailnet.json')
  const grant = async (rules: readonly Rule[]): Promise<void> => {
    const [app, laptop] = [nodes.nodes['127.0.0.2'], nodes.nodes['127.0.0.3']]
    write(path, { nodes: { '127.0.0.2': { ...app, rules }, '127.0.0.3': laptop } })
  }
  await grant([])
  return {
    identity: new DevelopmentTailnet(path),
    callers: [from('127.0.0.2'), from('127.0.0.3')],
    stranger: from('127.0.0.9'),
    grant,
    fail: async () => renameSync(path, `${path}.away`),
    recover: async () => renameSync(`${path}.away`, path),
    [Symbol.asyncDispose]: async () => directory[Symbol.dispose](),
  }
})

describe('the default tailnet', () => {
  test('U16: gives both addresses of localhost everything and knows nobody else', async () => {
    const tailnet = new DevelopmentTailnet(undefined)
    for (const [address, ip] of [
      ['127.0.0.1', '127.0.0.1'],
      ['::ffff:127.0.0.1', '127.0.0.1'],
      ['::1', '::1'],
    ] as const) {
      const caller = await tailnet.identify(from(address))
      expect(caller.rules[0]?.secret).toEqual(['*'])
      expect(caller.principal).toMatchObject({ hostname: 'localhost', ip })
    }
    await expect(tailnet.identify(from('127.0.0.2'))).rejects.toMatchObject({
      code: 'unidentified',
    })
  })
})

describe('a tailnet file', () => {
  test('tells callers apart by the address that they call from', async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'tailnet.json')
    write(path, nodes)
    const tailnet = new DevelopmentTailnet(path)
    const app = await tailnet.identify(from('::ffff:127.0.0.2'))
    expect(app.principal).toEqual({ hostname: 'app-1', ip: '127.0.0.2', tags: ['tag:app'] })
    const alice = await tailnet.identify(from('127.0.0.3'))
    expect(alice.principal).toEqual({
      hostname: 'laptop',
      ip: '127.0.0.3',
      user: 'alice@example.com',
    })
  })

  test('U16: takes an address in any spelling', async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'tailnet.json')
    const user = { user: 'alice@example.com', rules: [] }
    write(path, {
      nodes: {
        '0:0:0:0:0:0:0:1': { name: 'six', ...user },
        '::ffff:7f00:2': { name: 'four', ...user },
      },
    })
    const tailnet = new DevelopmentTailnet(path)
    const names = await Promise.all(
      ['::1', '127.0.0.2', '::ffff:127.0.0.2'].map(async (address) => {
        const { principal } = await tailnet.identify(from(address))
        return [principal.hostname, principal.ip]
      }),
    )
    expect(names).toEqual([
      ['six', '::1'],
      ['four', '127.0.0.2'],
      ['four', '127.0.0.2'],
    ])
  })

  test('tells a caller by the port of its own', async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'tailnet.json')
    write(path, nodes)
    const tailnet = new DevelopmentTailnet(path)
    expect(tailnet.ports).toEqual([7003])
    const alice = await tailnet.identify(from('127.0.0.1', 7003))
    expect(alice.principal.hostname).toBe('laptop')
  })

  test('refuses every address that is not loopback', async () => {
    const tailnet = new DevelopmentTailnet(undefined)
    for (const remoteAddress of [
      '10.0.0.1',
      '100.64.0.1',
      '::ffff:10.0.0.1',
      '',
      'fe80::1',
      '1127.0.0.1',
    ]) {
      await expect(tailnet.identify(from(remoteAddress))).rejects.toMatchObject({
        code: 'unidentified',
      })
    }
  })

  test('is read again at each change, also several within a moment', async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'tailnet.json')
    write(path, nodes)
    const tailnet = new DevelopmentTailnet(path)
    for (const action of ['get', 'put', 'get', 'put', 'get']) {
      write(path, {
        nodes: {
          '127.0.0.2': { name: 'a', tags: ['tag:a'], rules: [{ action: [action], secret: [] }] },
        },
      })
      const caller = await tailnet.identify(from('127.0.0.2'))
      expect(caller.rules[0]?.action).toEqual([action])
    }
  })

  test('is read again when it changes after a long time without a change', async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'tailnet.json')
    write(path, nodes)
    const old = new Date(Date.now() - 60_000)
    const tailnet = new DevelopmentTailnet(path)
    const name = async () => (await tailnet.identify(from('127.0.0.2'))).principal.hostname
    await expect.poll(() => Date.now() - statSync(path).ctimeMs).toBeGreaterThan(150)
    expect(await name()).toBe('app-1')
    write(path, { nodes: { '127.0.0.2': { name: 'app-2', tags: ['tag:app'] } } })
    utimesSync(path, old, old)
    await expect.poll(name).toBe('app-2')
  })

  test('names nobody while it is missing or broken, and goes on when it is mended', async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'tailnet.json')
    write(path, nodes)
    const tailnet = new DevelopmentTailnet(path)
    const ask = () => tailnet.identify(from('127.0.0.2'))
    write(path, '{ broken')
    await expect(ask()).rejects.toMatchObject({ code: 'unidentified' })
    await expect(tailnet.check()).rejects.toMatchObject({ code: 'unidentified' })
    unlinkSync(path)
    await expect(ask()).rejects.toMatchObject({ code: 'unidentified' })
    write(`${path}.new`, nodes)
    renameSync(`${path}.new`, path)
    await expect(ask()).resolves.toMatchObject({ principal: { hostname: 'app-1' } })
  })

  test.each([
    ['an address that is not loopback', { nodes: { '10.0.0.1': { name: 'a', user: 'b' } } }],
    ['neither user nor tags', { nodes: { '127.0.0.2': { name: 'a' } } }],
    ['both user and tags', { nodes: { '127.0.0.2': { name: 'a', user: 'b', tags: ['tag:c'] } } }],
    ['no tags', { nodes: { '127.0.0.2': { name: 'a', tags: [] } } }],
    ['a misspelt field', { nodes: { '127.0.0.2': { name: 'a', user: 'b', rule: [] } } }],
    [
      'a misspelt rule',
      { nodes: { '127.0.0.2': { name: 'a', user: 'b', rules: [{ actions: [], secret: [] }] } } },
    ],
    ['no nodes', {}],
    ['no JSON', 'nodes:'],
  ])('with %s is refused at the start', (_, file) => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'tailnet.json')
    write(path, file)
    expect(() => new DevelopmentTailnet(path)).toThrow(expect.objectContaining({ code: 'local' }))
  })

  test('that does not exist is refused at the start', () => {
    expect(() => new DevelopmentTailnet('/nonexistent/tailnet.json')).toThrow(/tailnet.json/)
  })
})

describe('a tailscaled beside --dev', () => {
  async function ask(answer: Answer, waitMs = 15_000): Promise<void> {
    await using stub = await StubLocalApi.start()
    stub.status = answer
    await refuseUserspaceTailscaled([stub.path], waitMs)
  }

  test('in userspace mode is refused', async () => {
    await expect(ask(recorded('status-userspace'))).rejects.toMatchObject({
      code: 'unsafe',
      message: expect.stringContaining('userspace mode') as string,
    })
  })

  test('with a network device of its own is fine', async () => {
    await expect(ask(recorded('status'))).resolves.toBeUndefined()
  })

  test.each<[string, Answer, number?]>([
    ['garbage', 'garbage'],
    ['nothing', () => {}, 200],
    ['a refusal', { status: 403, text: 'no' }],
  ])('that answers %s is refused', async (_, answer, waitMs) => {
    await expect(ask(answer, waitMs)).rejects.toMatchObject({ code: 'unsafe' })
  })

  test('that is gone is fine, also when it left its socket behind', async () => {
    await expect(refuseUserspaceTailscaled(['/nonexistent.sock'])).resolves.toBeUndefined()
    using directory = temporaryDirectory()
    const path = join(directory.path, 'tailscaled.sock')
    const listen = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
    spawnSync(process.execPath, ['-e', listen])
    expect(existsSync(path)).toBe(true)
    await expect(refuseUserspaceTailscaled([path])).resolves.toBeUndefined()
  })
})
