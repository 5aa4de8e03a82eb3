/** Keys: their status, rotation of the keyring and re-wrapping, at a server or on files. */
import { setTimeout as pause } from 'node:timers/promises'
import { SottoError } from '../../client/api/errors.ts'
import { visible } from '../../client/api/visible.ts'
import type { Invocation } from '../invocation.ts'
import { recipientsIn } from '../../server/start/new-key.ts'
import { keysAt, type KeysAt, type KeyStatus } from './keys-at.ts'
import { Progress } from '../terminal/progress.ts'
import { table } from '../terminal/table.ts'

/** How often a rotation is looked at. */
const LOOK_MS = 1000

type Entry = KeyStatus['Entries'][number]

/** Prints each key that opens the store, and each entry of its keyring. */
export async function keyStatus(invocation: Invocation): Promise<void> {
  const status = await keysAt(invocation).status()
  await invocation.print(status, (room) => textOf(status, room))
}

/**
 * Begins a rotation of the keyring, and prints the entry that seals from now on. On a terminal, or where
 * it is asked for, waits until it is done. Throws `job_failed` when it stops before.
 */
export async function keyRotate(invocation: Invocation): Promise<void> {
  const keys = keysAt(invocation)
  const root = invocation.on('root')
  let status = await keys.rotate(root ? recipientsOf(invocation) : undefined)
  const { stderr } = invocation.io
  const waits = invocation.on('wait') || stderr.isTTY
  if (waits) status = await end(invocation, keys, status)
  await invocation.print(status, () => {
    const { Id = 0, Fingerprint = '' } = status.Entries.find(isActive) ?? {}
    const { Number: number, Fingerprint: rootFingerprint = '' } = status.Root
    const entry = `${visible(`Keyring entry ${Id} ${Fingerprint}`.trim())} wraps all data keys from now on\n`
    return root
      ? `${visible(`Root key ${number} ${rootFingerprint}`)} seals the keyring\n${entry}`
      : entry
  })
  if (root) await stderr.write(afterRoot)
  if (progressOf(status) === undefined) return
  await stderr.write(
    'Data keys of existing versions are re-wrapped in the background: `sotto key status` shows the progress.\n',
  )
}

const afterRoot =
  'Write the fingerprint of the root key down in place of the one before, which backups until now have, and make a backup.\n'

/** The recipients of recovery keys that are given. Throws `usage` where they are given twice. */
function recipientsOf(invocation: Invocation): string[] {
  const given = invocation.text('recipient')
  const path = invocation.text('recipient-file')
  if (given !== undefined && path !== undefined) {
    throw new SottoError('usage', '--recipient does not go with --recipient-file')
  }
  if (path !== undefined) return recipientsIn(path)
  return given === undefined ? [] : given.split(',')
}

/** Re-wraps the root key with one key, or with all that are available, and prints which. */
export async function keyRewrap(invocation: Invocation): Promise<void> {
  const wraps = await keysAt(invocation).rewrap(invocation.word(0))
  await invocation.print(wraps, () =>
    wraps
      .map(({ Provider, Fingerprint }) => visible(`${Provider} key ${Fingerprint}`))
      .map((key) => `Re-wrapped the root key with ${key}\n`)
      .join(''),
  )
}

/** Waits for the end of a rotation, and shows a person how far it is. */
async function end(invocation: Invocation, keys: KeysAt, begun: KeyStatus): Promise<KeyStatus> {
  const { io, json } = invocation
  const line = new Progress(io, io.stderr.isTTY && !json)
  let status = begun
  try {
    for (;;) {
      const progress = progressOf(status)
      if (progress === undefined) return status
      line.show(progress, true)
      if (status.Failure !== undefined) {
        throw new SottoError('job_failed', `The rotation stopped: ${visible(status.Failure)}`, {
          hint: 'The server tries again by itself: `sotto job status` says when.',
        })
      }
      await pause(LOOK_MS)
      status = await keys.status()
    }
  } finally {
    await line.end()
  }
}

/** How far a rotation is; undefined where none is under way. */
function progressOf({ Entries, Root }: KeyStatus): string | undefined {
  const { Remade } = Root
  if (Entries.every(isActive) && Remade === undefined) return undefined
  const moved = `${versionsOf(Entries.filter(isActive))} of ${versionsOf(Entries)} data keys moved`
  return Remade === undefined
    ? moved
    : `${moved}, MACs of ${Remade} secrets replaced for root key ${Root.Number}`
}

function isActive({ State }: Entry): boolean {
  return State === 'active'
}

function versionsOf(entries: readonly Entry[]): number {
  return entries.reduce((sum, { Versions }) => sum + Versions, 0)
}

function textOf(status: KeyStatus, room: number | undefined): string {
  const progress = progressOf(status)
  const failure = status.Failure === undefined ? '' : `, stopped: ${status.Failure}`
  const { Number: number, Fingerprint: rootFingerprint } = status.Root
  const wraps = status.Wraps.map(({ Provider, Fingerprint, Created, Proven }) => {
    return [Provider, Fingerprint, Created, Proven ?? 'never']
  })
  const entries = status.Entries.map(({ Id, Fingerprint = '-', Created, State, Versions }) => {
    return [`${Id}`, Fingerprint, Created, State, `${Versions}`]
  })
  return [
    `${visible(`Root key ${number} ${rootFingerprint ?? '-'}`)}\n`,
    table([['PROVIDER', 'FINGERPRINT', 'CREATED', 'LAST PROVEN'], ...wraps], { room }),
    table([['ENTRY', 'FINGERPRINT', 'CREATED', 'STATE', 'VERSIONS'], ...entries], { room }),
    ...(progress === undefined ? [] : [`Rotation: ${visible(progress + failure)}\n`]),
  ].join('\n')
}
