/**
 * V1: the guides are followed as they are written, from an empty host to a first secret, and then the runbook is: on the
 * server's host and on another node, with the policies that the documents show, on closed tailnets.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Finished } from '../support/process.ts'
import { filesIn } from '../support/console.ts'
import { fromHujson } from '../support/hujson.ts'
import { describeWith, requirePeer } from '../support/peers.ts'
import { operators, type Policy, runbookCommands } from '../support/runbook.ts'
import { cli } from '../support/sotto.ts'
import { Control, type ControlServer, controlUrl } from './control.ts'
import { Headscale } from './headscale.ts'
import { TailnetNode } from './node.ts'
import type { Grant } from './policy.ts'
import { System } from './system.ts'
import { control as controlHost, Underlay } from './underlay.ts'
import { until } from './until.ts'

const docs = new URL('../../docs', import.meta.url).pathname
const read = (name: string): string => readFileSync(join(docs, name), 'utf8')
const peers = [
  'ctl',
  'headscale',
  'tailscale',
  'tailscaled',
  'setpriv',
  'unshare',
  'nsenter',
  'ip',
] as const

/** The blocks of a page that are run here, with who runs them, up to `end` or from there on. */
function blocksOf(page: string, part: 'before' | 'after' = 'before', end?: string) {
  const text = read(page)
  const at = end === undefined ? text.length : text.indexOf(`\n## ${end}\n`)
  expect(at, end).toBeGreaterThan(0)
  const within = part === 'before' ? text.slice(0, at) : text.slice(at)
  const found = within.matchAll(/<!-- run: ((?:tailnet|headscale)[ \w]*) -->\n```sh\n([^]*?)```/g)
  return [...found].map(([, kind = '', lines = '']) => ({ kind, lines }))
}

/** A tailnet with the host of the server, an operator's desk, and more. */
class Place {
  readonly underlay: Underlay
  readonly control: ControlServer
  readonly system: System
  readonly ca: string
  readonly #nodes = new Map<string, TailnetNode>()

  constructor(underlay: Underlay, control: ControlServer, system: System, ca: string) {
    this.underlay = underlay
    this.control = control
    this.system = system
    this.ca = ca
  }

  /** Brings a device onto the tailnet. */
  join(host: string, key: string): void {
    const node = new TailnetNode(this.underlay, host, key)
    node.start()
    this.#nodes.set(host, node)
  }

  /** Resolves when the server and the devices know each other. */
  async awaitPeers(): Promise<void> {
    const nodes = [...this.#nodes.values()]
    const address = await this.system.awaitPeers(nodes.length)
    await Promise.all(nodes.map((node) => node.awaitPeers(1)))
    this.underlay.name(`secrets.${this.control.domain}`, address)
  }

  /** Runs lines of a page on a device, with the name of this tailnet. */
  async onDevice(host: string, lines: string): Promise<Finished> {
    const here = lines.replaceAll(/YOUR-(?:TAILNET\.ts\.net|DOMAIN)/g, this.control.domain)
    const shim = `sotto() { ${process.execPath} ${cli} "$@"; }\n`
    const env = { NODE_EXTRA_CA_CERTS: this.ca }
    return this.underlay.run(host, ['sh', '-euc', shim + here], { env })
  }

  /** Runs `sotto` on a device. */
  sotto(host: string, args: readonly string[], input = ''): Promise<Finished> {
    const env = {
      NODE_EXTRA_CA_CERTS: this.ca,
      SOTTO_SERVER: `https://secrets.${this.control.domain}`,
    }
    return this.underlay.run(host, [process.execPath, cli, ...args], { env, input })
  }

  /** Follows blocks of a page, `client` being the device for what is done there; resolves with what each said. */
  async follow(blocks: ReturnType<typeof blocksOf>, client: string): Promise<string[]> {
    const said: string[] = []
    for (const { kind, lines } of blocks) {
      if (kind.endsWith('client')) await this.awaitPeers()
      const ended = kind.endsWith('client')
        ? await this.onDevice(client, lines)
        : await this.system.run(lines)
      const printed = ended.stdout + ended.stderr
      if (ended.code !== 0) throw new Error(`${lines} ended with ${ended.code}: ${printed}`)
      said.push(printed)
      if (/systemctl \S+ (?:--now )?sotto$/m.test(lines)) await this.system.awaitListening()
    }
    return said
  }
}

/** Everything that the operators of `sample` are to do at night, from their node. */
async function followRunbook(place: Place, host: string, name: string): Promise<void> {
  const put = await place.sotto(host, ['put', name], 'one')
  expect(put.code, put.stderr).toBe(0)
  for (const args of runbookCommands(name)) {
    const sure = args[0] === 'delete-version' ? ['--yes'] : []
    const { code, stderr } = await place.sotto(host, [...args, ...sure], 'two')
    expect(code, `${args.join(' ')}: ${stderr}`).toBe(0)
  }
}

/** The same on the host of the server: all but what only callers from the tailnet may do. */
async function followRunbookOnHost(place: Place): Promise<void> {
  const elsewhere = new Set(['put', 'activate', 'delete-version', 'get'])
  for (const args of runbookCommands('prod/web/key')) {
    const sure = args[0] === 'delete-version' ? ['--yes'] : []
    const typed = [...args, ...sure].map((word) => `'${word}'`).join(' ')
    const { code, stderr } = await place.system.run(`printf two | sudo sotto ${typed}`)
    const refused = elsewhere.has(args[0] ?? '')
    expect(code, `${args.join(' ')}: ${stderr}`).toBe(refused ? 4 : 0)
  }
  const shown = ['guides/runbook.md', 'guides/keys.md'].flatMap((page) =>
    [...read(page).matchAll(/^sudo sotto .*$/gm)].map(([line]) => line),
  )
  expect(shown).toEqual(expect.arrayContaining(['sudo sotto audit tail', 'sudo sotto key check']))
  // It is a key of the store since the set-up.
  const ready = 'cp /etc/sotto/recipient.txt . && sudo sotto key remove recovery'
  for (const line of [ready, ...shown]) {
    const { code, stderr } = await place.system.run(line)
    expect(code, `${line}: ${stderr}`).toBe(0)
  }
}

/** What operators bring: the unit, and the recipient that keys.md shows. */
async function bring(system: System): Promise<void> {
  const [, recipient] =
    /public key: (\S+)/.exec(filesIn(read('guides/keys.md')).get('recovery.txt') ?? '') ?? []
  const unit = '/run/repository/docs/deploy/sotto.service'
  const lines = `cp ${unit} .\nmkdir -p /etc/sotto\necho ${recipient} > /etc/sotto/recipient.txt`
  expect((await system.run(lines)).code).toBe(0)
}

describeWith(peers, 'V1: the guides', () => {
  describe('tailnet.md', () => {
    let place: Place
    let control: Control
    const start = read('deploy/policy-tailscale.hujson')
    /** Who they are on this tailnet: as the policy itself says, and admins as its settings would. */
    const people = {
      'autogroup:admin': ['admin@example.com'],
      'group:operators': ['admin@example.com'],
    }

    /** Sets a policy as Tailscale does: groups are their members. */
    async function setPolicy(text: string): Promise<void> {
      const { groups = {}, grants = [] } = fromHujson(text) as Policy
      const members: Readonly<Record<string, readonly string[]>> = { ...groups, ...people }
      const named = grants.map(
        (grant): Grant => ({
          ...grant,
          src: grant.src.flatMap((who) => members[who] ?? [who]),
        }),
      )
      await control.setGrants(named)
    }

    beforeAll(async () => {
      const underlay = await Underlay.open(['secrets', 'laptop', 'desk'])
      control = await Control.start(underlay)
      const key = await control.admit('secrets', { tags: ['tag:secrets'] })
      const system = await System.open(underlay, 'secrets', key)
      place = new Place(underlay, control, system, control.ca)
      await setPolicy(start)
      for (const [host, user] of [
        ['laptop', 'you'],
        ['desk', 'admin'],
      ] as const) {
        place.join(host, await control.admit(host, { user: `${user}@example.com` }))
      }
      await bring(system)
    })
    afterAll(() => place?.underlay.close())

    test('brings an empty host to a first secret', { timeout: 180_000 }, async () => {
      const blocks = blocksOf('guides/tailnet.md', 'before', 'Where it listens')
      expect(blocks.map(({ kind }) => kind.replace('tailnet', '').trim())).toContain('client')
      const said = await place.follow(blocks, 'laptop')
      expect(said.at(-1)).toContain('Secret saved as "dev/first", version 1')
      expect(said.at(-1)).toContain('correct horse')
      const doctor = said.find((each) => /^ok +tailscaled/m.test(each))
      expect(doctor).toMatch(/^ok +certificate/m)
      expect(doctor).not.toMatch(/^failed/m)
    })

    test('the runbook, on the host of the server', { timeout: 120_000 }, async () => {
      await followRunbookOnHost(place)
      const { stdout } = await place.system.run('sudo sotto audit query --action "key add"')
      expect(stdout).toMatch(/operator:root/)
    })

    test.each(operators.filter(({ sample }) => sample !== 'policy-headscale.hujson'))(
      'the runbook, from another node, with $sample and $who',
      { timeout: 120_000 },
      async ({ sample, text }) => {
        await setPolicy(text)
        const name = `prod/${sample.replaceAll(/\W+/g, '-')}`
        await until(
          async () => (await place.sotto('desk', ['put', name], 'zero')).code === 0,
          'the policy',
        )
        await place.sotto('desk', ['delete', name, '--yes'])
        await followRunbook(place, 'desk', `${name}/key`)
      },
    )

    test('an upgrade, and the way back', { timeout: 120_000 }, async () => {
      const [upgrade, back] = blocksOf('guides/upgrade.md')
      expect(back?.lines).toContain('/NAME ')
      const [made = ''] = await place.follow(upgrade ? [upgrade] : [], 'laptop')
      const [name = ''] = /sotto-\S+\.backup/.exec(made) ?? []
      const lines = back?.lines.replace('NAME', name) ?? ''
      await place.follow([{ kind: 'tailnet', lines }], 'laptop')
      await setPolicy(start)
      await until(
        async () => (await place.sotto('laptop', ['get', 'dev/first'])).stdout === 'correct horse',
        'the value of before',
      )
    })

    test('behind tailscale serve', { timeout: 90_000 }, async () => {
      await place.follow(blocksOf('guides/tailnet.md', 'after', 'Where it listens'), 'laptop')
      await until(
        async () => (await place.sotto('laptop', ['get', 'dev/first'])).stdout === 'correct horse',
        'the proxy',
      )
    })
  })

  describe('headscale.md', () => {
    let place: Place
    let control: Headscale
    let key = ''

    beforeAll(async () => {
      const underlay = await Underlay.open(['secrets', 'laptop'])
      control = await Headscale.start(underlay)
      await control.run('users', 'create', 'alice')
      const onControl = blocksOf('guides/headscale.md').find(({ kind }) => kind.endsWith('control'))
      for (const line of onControl?.lines.trim().split('\n') ?? []) {
        const [, ...args] = line
          .split(' ')
          .map((word) => (word.endsWith('.hujson') ? join(docs, 'deploy', word) : word))
        key = lastLine(await control.run(...args))
      }
      const system = await System.open(underlay, 'secrets', key)
      place = new Place(underlay, control, system, join(underlay.directory, 'ca.pem'))
      place.join('laptop', lastLine(await control.run('preauthkeys', 'create', '--user', '1')))
      await bring(system)
      await bringCertificate(place)
    })
    afterAll(() => place?.underlay.close())

    test('with tailnet.md, brings an empty host to a first secret', {
      timeout: 180_000,
    }, async () => {
      const [, ...common] = blocksOf('guides/tailnet.md', 'before', 'Where it listens')
      const own = blocksOf('guides/headscale.md').filter(({ kind }) => !kind.endsWith('control'))
      const start = common.findIndex(({ lines }) => lines.includes('enable --now sotto'))
      const [joining = [], settings = []] = [true, false].map((is) =>
        own.filter(({ lines }) => lines.includes('tailscale up') === is),
      )
      const here = joining.map(({ kind, lines }) => ({
        kind,
        lines: lines.replace('https://headscale.YOUR-DOMAIN', controlUrl).replace('KEY', key),
      }))
      await place.follow([...here, ...common.slice(0, start), ...settings], 'laptop')
      const said = await place.follow(common.slice(start), 'laptop')
      expect(said.at(-1)).toContain('correct horse')
    })

    test('the runbook, on the host of the server', { timeout: 120_000 }, () =>
      followRunbookOnHost(place),
    )

    test('the runbook, from another node', { timeout: 120_000 }, () =>
      followRunbook(place, 'laptop', 'prod/web/key'),
    )
  })
})

/** What the control server printed last, such as a key. */
function lastLine({ stdout }: Finished): string {
  return stdout.trim().split('\n').at(-1) ?? ''
}

/** A certificate of one's own, where headscale.md has it. */
async function bringCertificate({ underlay, control, system }: Place): Promise<void> {
  const { directory } = underlay
  const pair = [requirePeer('ctl'), 'pair', directory, `secrets.${control.domain}`]
  const made = await underlay.run(controlHost, pair)
  expect(made.code, made.stderr).toBe(0)
  for (const [from, to] of [
    ['certificate.pem', 'tls.crt'],
    ['key.pem', 'tls.key'],
  ] as const) {
    const content = readFileSync(join(directory, from), 'utf8')
    const { code, stderr } = await system.run(`cat > /etc/sotto/${to} << 'END'\n${content}END\n`)
    expect(code, stderr).toBe(0)
  }
}
