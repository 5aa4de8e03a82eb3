/** Folders and sockets of others are refused, wherever Sotto relies on what is in them. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  lchownSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join, relative } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Draft } from '../../cli/editor.ts'
import { operatorsSocket } from '../../cli/operators-socket.ts'
import { BackupMemory } from '../../server/backup/schedule/memory.ts'
import { createKeyFile } from '../../server/crypto/local-key.ts'
import { bindUnix } from '../../server/http/bind.ts'
import { refuseExposedSocket } from '../../server/identity/tailscale/socket.ts'
import { OpenBaoConnection } from '../../server/openbao/connection.ts'
import { processTimers } from '../../client/platform/timers.ts'
import { foreignAt } from '../../client/platform/owned.ts'
import { readPrivateFile } from '../../client/platform/private-file.ts'
import { recipientsIn } from '../../server/start/new-key.ts'
import { madeStateDirectory, stateDirectory } from '../../server/store/directory.ts'
import { runSotto, temporaryDirectory } from '../support/sotto.ts'

const OTHER = 65_534
const isRoot = process.getuid?.() === 0

let scratch: ReturnType<typeof temporaryDirectory>
beforeEach(() => {
  scratch = temporaryDirectory()
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
  scratch[Symbol.dispose]()
})

/** The folder at `path` under the scratch directory, made with those above it. */
function folder(path: string, mode = 0o700): string {
  const whole = join(scratch.path, path)
  mkdirSync(whole, { recursive: true })
  chmodSync(whole, mode)
  return whole
}

/** Gives `path` to another user: only root can; for anybody else, this process is another user from now on. */
function give(path: string): void {
  if (isRoot) chownSync(path, OTHER, OTHER)
  else vi.spyOn(process, 'geteuid').mockReturnValue(OTHER - 1)
}

describe('C7: what others could replace is told', () => {
  test('a folder of another user, and one below it', () => {
    const path = folder('theirs/ours')
    expect(foreignAt(path)).toBeUndefined()
    give(folder('theirs', 0o755))
    expect(foreignAt(path)).toMatch(/belongs to user/)
    expect(foreignAt(join(path, 'missing/also'))).toMatch(/belongs to user/)
  })

  test.each([
    ['all', 0o777],
    ['a group', 0o770],
  ])('a folder that %s may write to, above', (_, mode) => {
    const path = folder('open/ours')
    const open = folder('open', mode)
    // What an administrator opened to a group of ours is ours to use.
    if (isRoot) chownSync(open, 0, OTHER)
    expect(foreignAt(path)).toBe(`others can write to "${join(scratch.path, 'open')}"`)
    expect(foreignAt(join(scratch.path, 'open'))).toMatch(/others can write/)
  })

  test('a sticky folder that all may write to is no way in, but for a link of another in it', () => {
    const path = folder('sticky/ours')
    folder('sticky', 0o1777)
    expect(foreignAt(path)).toBeUndefined()
    const link = join(scratch.path, 'sticky/link')
    symlinkSync(path, link)
    expect(foreignAt(link)).toBeUndefined()
    if (!isRoot) return
    lchownSync(link, OTHER, OTHER)
    expect(foreignAt(link)).toBe(`"${link}" belongs to user ${OTHER}`)
    expect(foreignAt(join(link, 'sotto.db'))).toBe(`"${link}" belongs to user ${OTHER}`)
  })

  test('the folders that a link leads through', () => {
    const target = folder('open/target')
    const link = join(scratch.path, 'link')
    symlinkSync('open/target', link)
    expect(foreignAt(link)).toBeUndefined()
    folder('open', 0o777)
    for (const path of [link, join(link, 'below'), `${link}/../target`]) {
      expect(foreignAt(path)).toBe(`others can write to "${join(scratch.path, 'open')}"`)
    }
    expect(foreignAt(relative(process.cwd(), target))).toMatch(/others can write/)
    // `..` after a link is the folder above its target, not above the link.
    folder('here/deep')
    symlinkSync(folder('open/deep'), join(scratch.path, 'here/deep/link'))
    expect(foreignAt(`${scratch.path}/here/deep/link/../x`)).toMatch(/others can write/)
  })

  test('links that lead in a circle', () => {
    symlinkSync('b', join(scratch.path, 'a'))
    symlinkSync('a', join(scratch.path, 'b'))
    expect(foreignAt(join(scratch.path, 'a'))).toMatch(/too many symbolic links/)
  })
})

describe('C7: refused where it is relied on', () => {
  const foreign = { code: 'unsafe', message: expect.stringMatching(/belongs to user/) as string }

  test('a state directory of another user, and one below a folder of theirs', async () => {
    const path = folder('state')
    const { code } = await runSotto(['init', '--state-dir', path])
    expect(code).toBe(0)
    expect(stateDirectory(path).path).toBe(path)
    give(path)
    expect(() => stateDirectory(path)).toThrow(expect.objectContaining(foreign) as Error)
    if (!isRoot) return
    const status = await runSotto(['key', 'status', '--state-dir', path])
    expect(status).toMatchObject({ code: 1, stdout: '' })
    expect(status.stderr).toContain(`"${path}" belongs to user ${OTHER}`)
  })

  test('a state directory is not made in a folder of another', () => {
    const theirs = folder('theirs', 0o755)
    give(theirs)
    expect(() => madeStateDirectory(join(theirs, 'new/state'))).toThrow(
      expect.objectContaining(foreign) as Error,
    )
    expect(readdirSync(theirs)).toEqual([])
  })

  test('an audit log, or a store, that a link puts where others can write', () => {
    const path = folder('state')
    folder('open/audit')
    symlinkSync('../open/audit', join(path, 'audit'))
    expect(stateDirectory(path).path).toBe(path)
    folder('open', 0o777)
    expect(() => stateDirectory(path)).toThrow(/others can write to/)
  })

  test('a key file in a folder of another, or that others may write to', async () => {
    const keys = folder('keys')
    const path = join(keys, 'local.key')
    await createKeyFile(path)
    expect((await readPrivateFile(path, 'key file', 1024)).length).toBeGreaterThan(0)
    chmodSync(keys, 0o777)
    await expect(readPrivateFile(path, 'key file', 1024)).rejects.toMatchObject({
      code: 'key_exposed',
      message: expect.stringContaining('others can write') as string,
    })
    await expect(createKeyFile(join(keys, 'new.key'))).rejects.toMatchObject({ code: 'unsafe' })
    chmodSync(keys, 0o755)
    give(keys)
    await expect(readPrivateFile(path, 'key file', 1024)).rejects.toMatchObject({
      code: 'key_exposed',
    })
    await expect(createKeyFile(join(keys, 'new.key'))).rejects.toMatchObject(foreign)
    expect(existsSync(join(keys, 'new.key'))).toBe(false)
  })

  test('the socket of a tailscaled in a folder of another, and one that is theirs', async () => {
    const run = folder('run', 0o755)
    const path = join(run, 'tailscaled.sock')
    const server = createServer().listen(path)
    await once(server, 'listening')
    try {
      expect(() => refuseExposedSocket(path)).not.toThrow()
      give(path)
      expect(() => refuseExposedSocket(path)).toThrow(expect.objectContaining(foreign) as Error)
      if (isRoot) chownSync(path, 0, 0)
      give(run)
      expect(() => refuseExposedSocket(path)).toThrow(expect.objectContaining(foreign) as Error)
    } finally {
      server.close()
    }
  })

  test('a folder above that of the socket of tailscaled', () => {
    const path = join(folder('open/run', 0o755), 'tailscaled.sock')
    refuseExposedSocket(path)
    folder('open', 0o777)
    expect(() => refuseExposedSocket(path)).toThrow(/others can write to/)
  })

  test('a place for our own socket below a folder of another', async () => {
    const path = join(folder('theirs/run'), 'sotto.sock')
    const server = createServer()
    await bindUnix(server, path)
    server.close()
    await once(server, 'close')
    give(folder('theirs', 0o755))
    await expect(bindUnix(createServer(), path)).rejects.toMatchObject(foreign)
    await expect(
      bindUnix(createServer(), join(scratch.path, 'theirs/new/sotto.sock')),
    ).rejects.toMatchObject(foreign)
    expect(readdirSync(join(scratch.path, 'theirs'))).toEqual(['run'])
  })

  test("an operators' socket that another may have made, by who would send to it", async () => {
    const state = folder('state')
    const path = join(state, 'operator.sock')
    const server = createServer().listen(path)
    await once(server, 'listening')
    try {
      expect(operatorsSocket(state)).toBe(path)
      give(state)
      folder('.', 0o1777)
      const refused = expect.objectContaining(foreign) as Error
      expect(() => operatorsSocket(state)).toThrow(refused)
      const link = join(folder('links'), 'link')
      symlinkSync(state, link)
      expect(() => operatorsSocket(link)).toThrow(refused)
      folder('.', 0o777)
      expect(() => operatorsSocket(state)).toThrow(/others can write to|belongs to user/)
    } finally {
      server.close()
    }
  })

  test.runIf(isRoot)(
    'and not that of a service, whose folder only root can have made',
    async () => {
      const state = folder('state')
      const path = join(state, 'operator.sock')
      const server = createServer().listen(path)
      await once(server, 'listening')
      give(state)
      expect(operatorsSocket(state)).toBe(path)
      folder('.', 0o1777)
      const env = { SOTTO_STATE_DIR: state }
      const { code, stderr } = await runSotto(['put', 'a'], { env, input: 'hunter2' })
      expect([code, stderr]).toEqual([1, expect.stringContaining('could have made it in')])
      server.close()
    },
  )

  test('a named pipe in the place of what is known of backups, without waiting for its writer', async () => {
    const path = join(scratch.path, 'backups.json')
    execFileSync('mkfifo', [path])
    const { newest } = await BackupMemory.open(path, 'a target', processTimers)
    expect(newest).toBeUndefined()
  })

  test('authorities that another wrote', async () => {
    const path = join(folder('open'), 'ca.pem')
    writeFileSync(path, '-----BEGIN CERTIFICATE-----\n')
    folder('open', 0o777)
    const connection = new OpenBaoConnection({ url: 'https://127.0.0.1:1', caFile: path })
    const answer = await connection.call({ method: 'GET', path: 'sys/health' })
    expect(JSON.stringify(answer)).toContain('others can write to')
  })

  test('a folder of another for the file that a person edits', () => {
    const place = folder('theirs')
    vi.stubEnv('TMPDIR', place)
    const make = () => new Draft({ EDITOR: 'none' }, 'value', true, '/none')
    expect(() => make()[Symbol.dispose]()).not.toThrow()
    give(place)
    expect(make).toThrow(/^Cannot use the folder ".*theirs" for the file that is edited/)
    expect(readdirSync(place)).toEqual([])
  })

  test('recipients that another wrote', () => {
    const path = join(folder('theirs'), 'recipients')
    writeFileSync(path, '# ours\nage1x\n')
    expect(recipientsIn(path)).toEqual(['age1x'])
    give(path)
    expect(() => recipientsIn(path)).toThrow(
      /^Cannot use the file of recipients .* belongs to user/,
    )
  })

  test('a cache of compiled code below a folder of another', async () => {
    const cache = folder('open/cache')
    const env = { XDG_CACHE_HOME: cache }
    const kept = async (): Promise<number> => {
      await runSotto(['version'], { env })
      return readdirSync(join(cache, 'sotto')).length
    }
    folder('open', 0o777)
    expect(await kept()).toBe(0)
    folder('open')
    expect(await kept()).toBeGreaterThan(0)
  })
})
