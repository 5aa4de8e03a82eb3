import { chmodSync, chownSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { madeStateDirectory, stateDirectory } from '../../server/store/directory.ts'
import { inProcess } from '../cli/in-process.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { needRoot, runSottoAs, SERVER } from '../support/users.ts'

test('the directory of a setec server is told apart, and nothing is made in it', () => {
  using scratch = temporaryDirectory()
  const path = join(scratch.path, 'setec')
  mkdirSync(path, { mode: 0o700 })
  writeFileSync(join(path, 'database'), '')
  writeFileSync(join(path, 'audit.log'), '')
  const refused = expect.objectContaining({
    code: 'store_foreign',
    message: `The directory "${path}" is that of a setec server`,
  }) as Error
  expect(() => stateDirectory(path)).toThrow(refused)
  expect(() => madeStateDirectory(path)).toThrow(refused)
  expect(readdirSync(path)).toEqual(['audit.log', 'database'])
})

test('a directory that others can enter is not used', () => {
  using scratch = temporaryDirectory()
  chmodSync(scratch.path, 0o750)
  expect(() => stateDirectory(scratch.path)).toThrow(
    expect.objectContaining({
      code: 'unsafe',
      message: `The state directory "${scratch.path}" has mode 0750`,
    }) as Error,
  )
})

describe('U13: a new volume', () => {
  let prepared: ReturnType<typeof temporaryDirectory>
  /** Commands that make a store in a directory. */
  let makers: Record<string, (to: string) => string[]>
  beforeAll(async () => {
    prepared = temporaryDirectory()
    const [own, backups] = [join(prepared.path, 'own'), join(prepared.path, 'backups')]
    await inProcess(['init', '--state-dir', own], {})
    mkdirSync(backups)
    const made = await inProcess(['backup', 'create', '--to', backups, '--state-dir', own], {})
    const backup = join(backups, made.stdout.trim())
    const key = ['--key-file', join(own, 'local.key')]
    makers = {
      init: (to) => ['init', '--state-dir', to],
      'restore of a backup': (to) => ['restore', backup, '--to', to, ...key],
      'restore of a copy': (to) => ['restore', join(own, 'sotto.db'), '--to', to, ...key],
    }
  })
  afterAll(() => prepared[Symbol.dispose]())

  test('has what its file system puts there, and a store is made beside that', async () => {
    using scratch = temporaryDirectory()
    for (const [what, args] of Object.entries(makers)) {
      const to = join(scratch.path, what)
      for (const name of ['lost+found', '.snapshot', '.nfs000000000001a2', '.Trash-0', '@eaDir']) {
        mkdirSync(join(to, name, 'within'), { recursive: true })
      }
      chmodSync(to, 0o700)
      expect(await inProcess(args(to), {}), what).toMatchObject({ exit: '0' })
      expect(stateDirectory(to).empty).toBe(false)
      expect(readdirSync(to)).toEqual(
        expect.arrayContaining(['lost+found', '.snapshot', 'sotto.db']),
      )
      expect(readdirSync(join(to, 'lost+found'))).toEqual(['within'])
      // A second one is refused, as in any other directory.
      expect((await inProcess(args(to), {})).exit, what).toBe('1')
    }
  })

  test.each([
    'lost+found.old',
    'Lost+Found',
    '.snapshots',
    '.zfs',
    'snapshot',
    'lockbox.txt',
    'lock-me',
    '.hidden',
    'audit',
    'operators.txt',
    'sotto.db-wal',
    ' lost+found',
  ])('that has %j is not one: init and restore refuse it, and leave it', async (name) => {
    using scratch = temporaryDirectory()
    for (const [what, args] of Object.entries(makers)) {
      const to = join(scratch.path, what)
      mkdirSync(to, { mode: 0o700 })
      writeFileSync(join(to, name), 'mine')
      const refused = await inProcess(args(to), {})
      expect(refused.exit, what).toBe('1')
      expect(refused.stderr, what).toMatch(/is not empty\nhint: .*never replaced/)
      expect(readdirSync(to).filter((each) => !/^lock(?:\.pid)?$/.test(each))).toEqual([name])
    }
  })

  test('whose root may not be changed takes a folder inside, and the hint says so', async (context) => {
    needRoot(context)
    using scratch = temporaryDirectory()
    chmodSync(scratch.path, 0o755)
    const volume = join(scratch.path, 'volume')
    mkdirSync(join(volume, 'lost+found'), { recursive: true, mode: 0o700 })
    // As a kubelet mounts it for a pod with that fsGroup.
    chownSync(volume, 0, SERVER)
    chmodSync(volume, 0o2775)
    const refused = await runSottoAs(SERVER, ['init', '--state-dir', volume])
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    const inside = join(volume, 'sotto')
    expect(refused.stderr).toBe(
      `sotto: The state directory "${volume}" has mode 0775\nhint: Others must not enter it, and user 0 owns it. If it is the root of a volume, give a folder inside: "${inside}"\n`,
    )
    expect(readdirSync(volume)).toEqual(['lost+found'])
    expect(await runSottoAs(SERVER, ['init', '--state-dir', inside])).toMatchObject({ code: 0 })
    // Root may change the mode, and is told of the folder, too.
    chmodSync(volume, 0o755)
    const asRoot = await inProcess(['init', '--state-dir', volume], {})
    expect(asRoot.stderr).toContain(`chmod 700 "${volume}"`)
    expect(asRoot.stderr).toContain(`a folder inside: "${inside}"`)
  })
})
