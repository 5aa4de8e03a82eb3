/** V2: the first things that people type after a loss: the newest backup, a directory or a prefix in place of a file. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type MadeState, madeState } from '../backup/made.ts'
import { bytes, startService } from '../support/service.ts'
import { inProcess } from './play.ts'

let made: MadeState
let other: MadeState
/** By revision. */
let names: string[]
let root: string
let folders = 0

beforeAll(async () => {
  made = madeState()
  other = madeState()
  names = []
  // The clock was wrong once: the newest has the oldest date.
  for (const [value, at] of [
    ['one', '2026-03-01T00:00:00.000Z'],
    ['two', '2028-01-01T00:00:00.000Z'],
    ['three', '2026-01-01T00:00:00.000Z'],
  ] as const) {
    await put(made, value)
    names.push((await made.backUp(at)).name)
  }
  await put(other, 'of another store')
  await other.backUp('2026-02-01T00:00:00.000Z')
  const { stdout } = await inProcess(
    [
      'backup',
      'verify',
      '-o',
      'json',
      join(made.backups, names[0] ?? ''),
      '--key-file',
      made.keyFile,
    ],
    {},
  )
  ;({ root } = JSON.parse(stdout) as { root: string })
})
afterAll(() => {
  made[Symbol.dispose]()
  other[Symbol.dispose]()
})

async function put({ state }: MadeState, value: string): Promise<void> {
  await using service = await startService({}, { state })
  await service.client().put('a', bytes(value))
}

/** A new directory with copies of the backups of those revisions, files of the highest one being the oldest. */
function place(...revisions: number[]): string {
  const path = join(made.path, `place-${++folders}`)
  mkdirSync(path)
  for (const revision of revisions) {
    const name = names[revision - 1] ?? ''
    copyFileSync(join(made.backups, name), join(path, name))
    utimesSync(join(path, name), 1000, 2_000_000_000 - revision)
  }
  return path
}

const fresh = (): string => join(made.path, `restored-${++folders}`)
const restore = (args: readonly string[], env: Record<string, string> = {}) =>
  inProcess(['restore', ...args], { SOTTO_KEY_FILE: made.keyFile, ...env })
const restoredFrom = (stdout: string): string | undefined =>
  /^(?:Restored|Would restore): +(\S+)$/m.exec(stdout)?.[1]

describe('V2: restore --latest', () => {
  test('takes the highest revision, whatever dates names and files have', async () => {
    const from = place(3, 1, 2)
    const shown = await restore(['--latest', from, '--dry-run'])
    expect([shown.exit, restoredFrom(shown.stdout)]).toEqual(['0', names[2]])
    const to = fresh()
    const { exit, stdout } = await restore(['--latest', from, '--to', to])
    expect([exit, restoredFrom(stdout)]).toEqual(['0', names[2]])
    expect(readdirSync(to)).toContain('sotto.db')
  })

  test('takes the flags in either order, and the target, the keys and the directory from the settings', async () => {
    const [from, to] = [place(1, 2), fresh()]
    const config = join(made.path, 'config.yaml')
    writeFileSync(config, `state-dir: ${to}\nkey-file: ${made.keyFile}\nbackup-to: ${from}\n`)
    const { exit, stdout } = await inProcess(['restore', '--latest', '--config', config], {})
    expect([exit, restoredFrom(stdout)]).toEqual(['0', names[1]])
    expect(stdout).toContain(`Into:          ${to}\n`)
    const again = await restore([from, '--latest', '--dry-run'])
    expect(restoredFrom(again.stdout)).toBe(names[1])
  })

  test('skips one that is damaged, and one whose name lies, and says so', async () => {
    const from = place(1, 2, 3)
    truncateSync(join(from, names[2] ?? ''), 5000)
    const lie = (names[0] ?? '').replace('-r1.', '-r9.')
    copyFileSync(join(from, names[0] ?? ''), join(from, lie))
    const { exit, stdout, stderr } = await restore(['--latest', from, '--to', fresh()])
    expect([exit, restoredFrom(stdout)]).toEqual(['0', names[1]])
    expect(stderr).toMatch(
      new RegExp(`^Skipped ${lie}: .*its name says.*\nSkipped ${names[2]}: .*it is cut short`),
    )
  })

  test('restores nothing where none passes', async () => {
    const from = place(1)
    truncateSync(join(from, names[0] ?? ''), 5000)
    const to = fresh()
    const { exit, stderr } = await restore(['--latest', from, '--to', to])
    expect([exit, stderr]).toEqual([
      '1',
      expect.stringContaining(`sotto: Cannot restore from "${from}": no backup there passes\n`),
    ])
    expect(existsSync(join(to, 'sotto.db'))).toBe(false)
    expect((await restore(['--latest', place(), '--to', to])).stderr).toMatch(
      /^sotto: There is no backup in /,
    )
  })

  test('of one revision it takes the one with the later log, whatever the date', async () => {
    const early = await made.backUp('2026-05-05T00:00:00.000Z')
    const late = await made.backUp('2026-04-04T00:00:00.000Z')
    expect(late.name).toContain('-r3.')
    const from = place()
    for (const { name } of [late, early])
      copyFileSync(made.pathOf({ name } as typeof late), join(from, name))
    const { stdout } = await restore(['--latest', from, '--dry-run'])
    expect(restoredFrom(stdout)).toBe(late.name)
  })

  test('does not go back to an older one because the key is wrong', async () => {
    const { exit, stderr } = await restore(['--latest', place(1, 2), '--to', fresh()], {
      SOTTO_KEY_FILE: other.keyFile,
    })
    expect(exit).toBe('1')
    expect(stderr).toContain('it was sealed under local key')
    expect(stderr).toContain(`The newest backup is "${names[1]}"; an older one must be named.`)
  })

  test('goes by no other backup where something else is in the way', async () => {
    const { exit, stderr } = await restore(['--latest', place(1, 2), '--to', made.state])
    expect([exit, stderr]).toEqual([
      '1',
      expect.stringMatching(/^sotto: Cannot restore into ".*": it is not empty\n/) as string,
    ])
  })

  test('with backups of several stores it wants to know whose, and garbage is no store', async () => {
    const from = place(1, 2)
    const [foreign = ''] = readdirSync(other.backups)
    const garbage = foreign.replace('-r1.', '-r99.')
    writeFileSync(join(from, garbage), 'none')
    expect(restoredFrom((await restore(['--latest', from, '--dry-run'])).stdout)).toBe(names[1])
    copyFileSync(join(other.backups, foreign), join(from, foreign))
    const { exit, stderr } = await restore(['--latest', from, '--dry-run'])
    expect([exit, stderr]).toEqual([
      '1',
      expect.stringContaining('has those of 2 stores\nhint: Give --expect-root'),
    ])
    const told = await restore(['--latest', from, '--dry-run', '--expect-root', root])
    expect(restoredFrom(told.stdout)).toBe(names[1])
  })

  test('without a target, a directory or a backup says what is missing', async () => {
    expect((await restore([])).stderr).toMatch(/restore needs --to DIR, or --dry-run/)
    expect((await restore(['--to', fresh()])).stderr).toBe(
      'sotto: restore needs a backup\nhint: Name it, or take the newest one that passes with --latest.\n',
    )
    expect((await restore(['--latest', '--to', fresh()])).stderr).toMatch(
      /^sotto: Nothing says where backups are\nhint: Name a directory or s3:/,
    )
  })
})

describe('V2: a directory in the place of a backup', () => {
  test.each(['restore', 'backup verify'])(
    '%s: shows what is there, the newest first, and says --latest',
    async (command) => {
      const from = place(1, 2)
      const args = [...command.split(' '), from, ...(command === 'restore' ? ['--dry-run'] : [])]
      const { exit, stderr } = await inProcess(args, { SOTTO_KEY_FILE: made.keyFile })
      expect(exit).toBe('3')
      expect(stderr).toMatch(
        new RegExp(
          `^NEWEST BACKUPS +CREATED +REVISION\n${names[1]} 2028-01-01T\\S+ 2\n${names[0]} 2026-03-01T\\S+ 1\n`,
        ),
      )
      expect(stderr).toContain(
        `sotto: Cannot use "${from}" as a backup: it is a place with 2 backups\nhint: Name one of them: \`sotto backup list\` shows all. \`sotto restore --latest\` takes a place.\n`,
      )
    },
  )

  test('that has none, but folders, names those', async () => {
    const from = place()
    mkdirSync(join(from, 'sotto'))
    expect((await restore([from, '--dry-run'])).stderr).toMatch(
      `sotto: There is no backup directly in "${from}"; folders there: sotto/\n`,
    )
  })
})

describe('V2: backup list', () => {
  test('of a place without backups says so, and which folders are there', async () => {
    const from = place()
    expect((await inProcess(['backup', 'list', from], {})).stderr).toBe(
      `There is no backup directly in "${from}"\n`,
    )
    mkdirSync(join(from, 'sotto'))
    const { exit, stderr } = await inProcess(['backup', 'list', from], {})
    expect([exit, stderr]).toEqual([
      '0',
      `There is no backup directly in "${from}"; folders there: sotto/\n`,
    ])
  })

  test('takes the target of the settings', async () => {
    const { exit, stdout } = await inProcess(['backup', 'list'], { SOTTO_BACKUP_TO: place(2) })
    expect([exit, stdout]).toEqual(['0', expect.stringContaining(`${names[1]} `)])
    expect((await inProcess(['backup', 'list'], {})).stderr).toContain(
      'Nothing says where backups are',
    )
  })

  test.each([
    ['s3://b/p', '"b" is not the name of a bucket, which has 3 to 63'],
    ['s3://', 'it names no bucket'],
    ['s3://bucket/a b', '"a b" is not a prefix'],
    ['gs://bucket', 'only s3:// is known'],
  ])('%s: says what is wrong with it', async (where, why) => {
    const { stderr } = await inProcess(['backup', 'list', where], {})
    expect(stderr).toContain(`Cannot keep backups at "${where}": ${why}`)
  })
})
