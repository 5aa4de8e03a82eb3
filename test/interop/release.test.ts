/**
 * What `npm run release` makes of the last commit: each is installed and run as a user would, with nothing of the
 * checkout in reach. The programs for arm64 are looked at alone: nothing here runs them.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestProcess } from '../support/process.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { Container, filesInLayers } from './container.ts'

const root = new URL('../..', import.meta.url).pathname
const scratch = temporaryDirectory()
const release = join(scratch.path, 'release')
const home = join(scratch.path, 'home')
/** A path without Node, npm or anything of the checkout. */
const bare = { PATH: '/usr/bin:/bin', HOME: home, TMPDIR: join(scratch.path, 'tmp') }
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string
}
const program = (machine: string): string => join(release, `sotto-${version}-linux-${machine}`)
const debian = (machine: string): string => join(release, `sotto_${version}_${machine}.deb`)
const image = (machine: string): string => join(release, `sotto-${version}-oci-${machine}.tar`)

function run(command: string, args: readonly string[], input = ''): string {
  return execFileSync(command, args, { cwd: home, env: bare, input, encoding: 'utf8' })
}

beforeAll(() => {
  for (const folder of [home, bare.TMPDIR]) mkdirSync(folder)
  const clone = join(scratch.path, 'clone')
  execFileSync('git', ['clone', '--quiet', root, clone])
  // A copy by links: what is installed is never written to.
  execFileSync('cp', ['-al', join(root, 'node_modules'), join(clone, 'node_modules')])
  const key = join(scratch.path, 'key')
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key])
  const args = ['.ci/release.ts', release, '--sign', key]
  execFileSync(process.execPath, args, { cwd: clone, stdio: ['ignore', 'ignore', 'inherit'] })
  rmSync(clone, { recursive: true })
}, 300_000)

afterAll(() => scratch[Symbol.dispose]())

test('V4: has the package; a program, a .deb and an image of each kind of machine; the Python client, the bill, sums and their signature', () => {
  expect(readdirSync(release).toSorted()).toEqual(
    [
      'SHA256SUMS',
      'SHA256SUMS.sig',
      'sotto.py',
      `sotto-${version}.tgz`,
      `sotto-${version}.cdx.json`,
      ...['x64', 'arm64'].map((machine) => basename(program(machine))),
      ...['amd64', 'arm64'].flatMap((machine) =>
        [debian(machine), image(machine)].map((path) => basename(path)),
      ),
    ].toSorted(),
  )
})

test('V4: the sums are those of the files, and the signature is that of the key', () => {
  execFileSync('sha256sum', ['--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: release })
  const signers = join(scratch.path, 'signers')
  const key = readFileSync(join(scratch.path, 'key.pub'), 'utf8')
  writeFileSync(signers, `release@sotto ${key}`)
  const verify = (content: Buffer): string =>
    execFileSync(
      'ssh-keygen',
      [
        '-Y',
        'verify',
        '-f',
        signers,
        '-I',
        'release@sotto',
        '-n',
        'sotto-release',
        '-s',
        'SHA256SUMS.sig',
      ],
      { cwd: release, input: content, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] },
    )
  const sums = readFileSync(join(release, 'SHA256SUMS'))
  expect(verify(sums)).toContain('Good "sotto-release" signature')
  expect(() => verify(Buffer.concat([sums, Buffer.from('\n')]))).toThrow(/incorrect signature/i)
})

test('V4: the programs are for their kinds of machine', () => {
  const machineOf = (path: string): number => readFileSync(path).readUInt16LE(18)
  expect(machineOf(program('x64'))).toBe(0x3e)
  expect(machineOf(program('arm64'))).toBe(0xb7)
  expect(run('dpkg-deb', ['--field', debian('arm64'), 'Architecture'])).toBe('arm64\n')
})

describe('V4: the one-file program, alone in a folder on a bare path', () => {
  let url = ''
  let server: TestProcess
  const sotto = join(home, 'sotto')

  beforeAll(async () => {
    execFileSync('install', ['-m', '755', program('x64'), sotto])
    const backups = join(scratch.path, 'backups')
    mkdirSync(backups)
    const args = ['server', '--dev', '--backup-to', backups]
    server = new TestProcess(sotto, args, { cwd: home, environment: bare })
    const line = await server.firstLine()
    url = /http:\S+/.exec(line)?.[0] ?? line
  })

  test('says its version', () => {
    expect(run(sotto, ['version'])).toBe(`sotto ${version}\n`)
  })

  test('keeps a store, gives a secret, makes a backup, answers its log', () => {
    run(sotto, ['-s', url, 'put', 'demo/passphrase'], 'correct horse')
    expect(run(sotto, ['-s', url, 'get', 'demo/passphrase'])).toBe('correct horse')
    expect(run(sotto, ['-s', url, 'backup', 'create'])).toContain('.backup')
    expect(run(sotto, ['-s', url, 'audit', 'query'])).toContain('demo/passphrase')
    // It opens a store in a thread that a thread started.
    expect(run(sotto, ['-s', url, 'job', 'run', 'rehearsal'])).toMatch(/ok|restored|opened/)
  })

  test('leaves no file of its own in the temporary folder', () => {
    expect(readdirSync(bare.TMPDIR).filter((name) => name.startsWith('sotto-sqlite-'))).toEqual([])
  })

  test('makes a store with a key of its own, and says which opens it', () => {
    const state = join(scratch.path, 'state')
    expect(run(sotto, ['init', '--state-dir', state])).toMatch(/^root [0-9a-f]{32}$/m)
    expect(run(sotto, ['key', 'status', '--state-dir', state])).toContain('local')
  })

  test('stops when it is asked to', async () => {
    expect(await server.stop()).toBe(0)
  })
})

test('V4: the .deb depends on the packages of every library that the program is linked with', () => {
  const needed = run('ldd', [program('x64')]).matchAll(/=> (\/\S+)/g)
  // Where folders are links to others, the package has the path with or without /usr.
  const owners = [...needed].map(([, path = '']) =>
    execFileSync('sh', ['-c', 'dpkg -S "$0" 2>/dev/null || dpkg -S "/usr$0"', path], {
      encoding: 'utf8',
    }).replace(/:.*\n/, ''),
  )
  expect(owners).toContain('libc6')
  const depends = run('dpkg-deb', ['--field', debian('amd64'), 'Depends'])
  const names = depends.split(',').map((each) => each.trim().split(' ')[0])
  expect(names).toEqual(expect.arrayContaining(owners))
})

describe('V4: the container image, in chroot isolation', () => {
  let container: Container
  let server: TestProcess
  let url = ''
  const sotto = (args: readonly string[], input = ''): string =>
    container.run(['sotto', '-s', url, ...args], input)

  beforeAll(async () => {
    const folder = join(scratch.path, 'containers')
    container = new Container(folder, image('amd64'), `localhost/sotto:${version}`)
    server = container.startReadOnly(['server', '--dev'])
    const line = await server.firstLine()
    url = /http:\S+/.exec(line)?.[0] ?? line
  }, 120_000)
  afterAll(() => container[Symbol.dispose]())

  test('says what it is, and runs the server as a user without rights', () => {
    expect(container.config).toMatchObject({
      User: '10001:10001',
      Entrypoint: ['/usr/bin/sotto'],
      Cmd: ['server'],
      Volumes: { '/var/lib/sotto': {} },
      StopSignal: 'SIGTERM',
      Labels: {
        'org.opencontainers.image.title': 'Sotto',
        'org.opencontainers.image.version': version,
        'org.opencontainers.image.licenses': 'BSD-3-Clause',
      },
    })
    expect(container.enter('version')).toBe(`sotto ${version}\n`)
  })

  test('serves as that user from a root that it cannot write to', () => {
    const status = readFileSync(`/proc/${server.pid}/status`, 'utf8')
    expect(status).toMatch(/^Uid:\t10001\t10001\t10001\t10001$/m)
    expect(status).toMatch(/^Gid:\t10001\t10001\t10001\t10001$/m)
    expect(status).toMatch(/^CapEff:\t0+$/m)
    expect(readFileSync(`/proc/${server.pid}/mountinfo`, 'utf8')).toMatch(/ \/ ro,/)
  })

  test('keeps a secret and gives it', () => {
    sotto(['put', 'demo/passphrase'], 'correct horse')
    expect(sotto(['get', 'demo/passphrase'])).toBe('correct horse')
  })

  test('makes a store in its volume, which is private to its user', () => {
    expect(container.enter('init')).toMatch(/^store \/var\/lib\/sotto\/sotto\.db$/m)
  })

  test('has no shell', () => {
    for (const shell of ['/bin/sh', '/usr/bin/sh', '/bin/bash', '/bin/busybox']) {
      expect(container.refused([shell, '-c', 'id'])).toContain('no such file or directory')
    }
  })

  test('has the program, its libraries and four files of its own, of which the user can change none', () => {
    const listed = (...args: string[]): string[] =>
      run('find', [container.mount(), ...args, '-printf', '/%P\n'])
        .trim()
        .split('\n')
        .toSorted()
    const known = [
      /^\/etc\/(?:group|nsswitch\.conf|os-release|passwd)$/,
      /^(?:\/usr)?\/lib(?:64)?\/(?:x86_64-linux-gnu\/)?[\w.+-]+\.so[.\d]*$/,
      /^\/usr\/share\/doc\/[\w.+-]+\/(?:copyright|THIRD-PARTY-LICENSES|sbom\.cdx\.json)$/,
      /^\/var\/lib\/dpkg\/status\.d\/[\w.+-]+$/,
      /^\/usr\/bin\/sotto$/,
      // Of the engine.
      /^\/etc\/(?:hostname|hosts|resolv\.conf)$/,
    ]
    const files = listed('!', '-type', 'd')
    expect(files.filter((path) => !known.some((pattern) => pattern.test(path)))).toEqual([])
    expect(listed('-perm', '/6000')).toEqual([''])
    expect(listed('(', '-uid', '10001', '-o', '-gid', '10001', ')')).toEqual([
      '/var/backups/sotto',
      '/var/lib/sotto',
    ])
    expect(listed('!', '-type', 'l', '-perm', '/022')).toEqual(['/tmp'])
  })

  test('stops when it is asked to', async () => {
    expect(await server.stop()).toBe(0)
  })

  test('is the same for arm64, by the names of its files', () => {
    const [ours, theirs] = ['amd64', 'arm64'].map((machine) =>
      filesInLayers(image(machine), join(scratch.path, `layout-${machine}`)).map((path) =>
        path.replace(/(?:x86_64|aarch64)-linux-gnu/, 'MACHINE').replace(/ld-linux-.*$/, 'ld-linux'),
      ),
    )
    const namesIn = (paths: readonly string[] = []) => new Set(paths.map((path) => basename(path)))
    // Functions for vectors, which the program does not use.
    const common = ours?.filter((path) => !path.endsWith('/libmvec.so.1'))
    expect(namesIn(theirs)).toEqual(namesIn(common))
  })

  test('is what Docker reads, too', () => {
    using other = new Container(
      join(scratch.path, 'docker'),
      image('amd64'),
      `localhost/sotto:${version}`,
      'docker-archive',
    )
    expect(other.config.Labels).toEqual(container.config.Labels)
    expect(other.enter('version')).toBe(`sotto ${version}\n`)
  })
})

describe('V4: docs/guides/install.md, as it is written, in a copy of this system that is gone afterwards', () => {
  const page = readFileSync(join(root, 'docs/guides/install.md'), 'utf8')
  const blocks = new Map(
    page.split(/^## /m).flatMap((section) => {
      const [, block] = /```sh\n([^`]+)```/.exec(section) ?? []
      return block === undefined ? [] : [[section.slice(0, section.indexOf('\n')), block]]
    }),
  )

  /** Runs the block of a section as root in the folder of the release, then `more`. */
  function follow(section: string, more: string, npm = ''): string {
    const copy = join(scratch.path, 'copy')
    mkdirSync(copy, { recursive: true })
    const script = `set -eu
mount -t tmpfs none ${copy}
mkdir ${copy}/upper ${copy}/work ${copy}/root
mount -t overlay overlay -o lowerdir=/,upperdir=${copy}/upper,workdir=${copy}/work ${copy}/root
mkdir ${copy}/root/release
mount --bind ${release} ${copy}/root/release
mount -t proc proc ${copy}/root/proc
mount --bind /dev ${copy}/root/dev
exec chroot ${copy}/root /bin/sh -euc "cd /release; $STEPS"`
    return execFileSync('unshare', ['--mount', '--pid', '--fork', 'sh', '-c', script], {
      env: {
        ...process.env,
        PATH: `${npm}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
        STEPS: `${blocks.get(section)}\n${more}`,
      },
      encoding: 'utf8',
    })
  }

  /** Prints what it took to come to the first secret: the section of the page, and then a server, a put and a get. */
  function tellNewcomer(section: string, began: number): void {
    const seconds = (performance.now() - began) / 1000
    const words = page
      .split(/^## /m)
      .find((each) => each.startsWith(section))
      ?.split(/\s+/).length
    const commands = blocks.get(section)?.trim().split('\n').length ?? 0
    console.log(`${section}: ${seconds.toFixed(1)} s, ${commands + 3} commands, ${words} words`)
  }

  test('every section with commands is run here', () => {
    expect([...blocks.keys()]).toEqual([
      'Check what you have',
      'One file',
      'Debian and Ubuntu',
      'npm',
      'Container image',
    ])
    expect(page).toContain(`-${version}-linux-x64 `)
  })

  test('what came is checked', () => {
    const key = readFileSync(join(scratch.path, 'key.pub'), 'utf8')
    writeFileSync(join(release, 'signers'), `release@sotto ${key}`)
    const output = follow('Check what you have', '')
    expect(output).toMatch(new RegExp(`^sotto-${version}-linux-x64: OK$`, 'm'))
    expect(output).toContain('Good "sotto-release" signature')
  })

  test('one file says its version', () => {
    expect(follow('One file', '')).toBe(`sotto ${version}\n`)
  })

  test('the npm package says its version', () => {
    const output = follow('npm', 'sotto version', `${dirname(process.execPath)}:`)
    expect(output).toMatch(new RegExp(`^sotto ${version}$`, 'm'))
  }, 120_000)

  test('the .deb has the program, the service and its user; a purge leaves the secrets', () => {
    const output = follow(
      'Debian and Ubuntu',
      `sotto version
stat -c '%U %a' /var/lib/sotto
sotto config check
systemd-analyze verify sotto.service && echo verified
dpkg --purge sotto
ls /var/lib/sotto
test -e /usr/bin/sotto || echo gone`,
    )
    expect(output).toContain(`\nsotto ${version}\n`)
    expect(output).toContain('Next: runuser -u sotto -- sotto init')
    expect(output).toMatch(/\nsotto 700\n.*\/etc\/sotto\/config\.yaml.*\nverified\n/)
    expect(output).toContain('The secrets in /var/lib/sotto stay.')
    expect(output).toMatch(/^sotto\.db$/m)
    expect(output).toMatch(/^gone$/m)
  }, 120_000)

  // From what was downloaded to the first secret: what the server prints to paste is all that is typed besides.
  test.each(['One file', 'Debian and Ubuntu', 'npm'])('a newcomer: %s', (section) => {
    const steps = `sotto server --dev --listen 127.0.0.1:0 >/tmp/said 2>&1 &
server=$!
until grep -q ' get demo' /tmp/said; do kill -0 "$server"; sleep 0.1; done
grep 'sotto -s' /tmp/said >/tmp/commands
. /tmp/commands
kill "$server"`
    const began = performance.now()
    const output = follow(section, steps, section === 'npm' ? `${dirname(process.execPath)}:` : '')
    const seconds = (performance.now() - began) / 1000
    expect(output).toContain('correct horse')
    const words = page
      .split(/^## /m)
      .find((each) => each.startsWith(section))
      ?.split(/\s+/).length
    const commands = blocks.get(section)?.trim().split('\n').length ?? 0
    console.log(`${section}: ${seconds.toFixed(1)} s, ${commands + 3} commands, ${words} words`)
  })

  test('a newcomer: Container image, by buildah in the place of podman', async () => {
    const [, archive, name, ...args] =
      /^podman load --input (\S+)\npodman run --rm (\S+) (.+)\n$/.exec(
        blocks.get('Container image') ?? '',
      ) ?? []
    const began = performance.now()
    const folder = join(scratch.path, 'podman')
    using container = new Container(folder, join(release, `${archive}`), `${name}`)
    expect(container.enter(...args)).toBe(`sotto ${version}\n`)
    const server = container.startReadOnly(['server', '--dev'])
    const url = /http:\S+/.exec(await server.firstLine())?.[0] ?? ''
    const sotto = ['sotto', '-s', url]
    container.run([...sotto, 'put', 'demo/passphrase'], 'correct horse')
    expect(container.run([...sotto, 'get', 'demo/passphrase'], '')).toBe('correct horse')
    tellNewcomer('Container image', began)
    expect(await server.stop()).toBe(0)
  })
})
