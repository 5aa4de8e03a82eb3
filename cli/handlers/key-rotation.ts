/** Keys: their status, rotation of the keyring and re-wrapping, at a server or on files. */
import { setTimeout as pause } from 'node:timers/promises'
import { SottoError } from '../../client/api/errors.ts'
import type { Invocation } from '../invocation.ts'
import { keysAt, type KeysAt, type KeyStatus } from './keys-at.ts'
import { table, visible } from '../terminal/text.ts'

/** How often a rotation is looked at. */
const LOOK_MS = 1000

type Entry = KeyStatus['Entries'][number]

/** Prints each key that opens the store, and each entry of its keyring. */
export async function keyStatus(invocation: Invocation): Promise<void> {
  const status = await keysAt(invocation).status()
  await invocation.print(status, () => textOf(status))
}

/**
 * Begins a rotation of the keyring, and prints the entry that seals from now on. On a terminal, or where
 * it is asked for, waits until it is done. Throws `job_failed` when it stops before.
 */
export async function keyRotate(invocation: Invocation): Promise<void> {
  const keys = keysAt(invocation)
  let status = await keys.rotate()
  const { stderr } = invocation.io
  const waits = invocation.on('wait') || stderr.isTTY
  if (waits) status = await end(invocation, keys, status)
  await invocation.print(status, () => {
    const { Id = 0, Fingerprint = '' } = status.Entries.find(isActive) ?? {}
    return `${visible(`Keyring entry ${Id} ${Fingerprint}`.trim())} wraps all data keys from now on\n`
  })
  if (progressOf(status) === undefined) return
  await stderr.write(
    'Data keys of existing versions are re-wrapped in the background: `sotto key status` shows the progress.\n',
  )
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
  const { stderr } = invocation.io
  const show = async (text: string): Promise<void> => {
    if (stderr.isTTY) await stderr.write(text)
  }
  let status = begun
  for (;;) {
    const progress = progressOf(status)
    if (progress === undefined) break
    await show(`\r${progress}`)
    if (status.Failure !== undefined) {
      await show('\n')
      throw new SottoError('job_failed', `The rotation stopped: ${visible(status.Failure)}`, {
        hint: 'The server tries again by itself: `sotto job status` says when.',
      })
    }
    await pause(LOOK_MS)
    status = await keys.status()
  }
  if (status !== begun) await show('\r\u001b[K')
  return status
}

/** How far a rotation is; undefined where none is under way. */
function progressOf({ Entries }: KeyStatus): string | undefined {
  if (Entries.every(isActive)) return undefined
  return `${versionsOf(Entries.filter(isActive))} of ${versionsOf(Entries)} data keys moved`
}

function isActive({ State }: Entry): boolean {
  return State === 'active'
}

function versionsOf(entries: readonly Entry[]): number {
  return entries.reduce((sum, { Versions }) => sum + Versions, 0)
}

function textOf(status: KeyStatus): string {
  const progress = progressOf(status)
  const failure = status.Failure === undefined ? '' : `, stopped: ${status.Failure}`
  return [
    table([
      ['PROVIDER', 'FINGERPRINT', 'CREATED', 'LAST PROVEN'],
      ...status.Wraps.map((wrap) => {
        return [wrap.Provider, wrap.Fingerprint, wrap.Created, wrap.Proven ?? 'never']
      }),
    ]),
    table([
      ['ENTRY', 'FINGERPRINT', 'CREATED', 'STATE', 'VERSIONS'],
      ...status.Entries.map(({ Id, Fingerprint = '-', Created, State, Versions }) => {
        return [`${Id}`, Fingerprint, Created, State, `${Versions}`]
      }),
    ]),
    ...(progress === undefined ? [] : [`Rotation: ${visible(progress + failure)}\n`]),
  ].join('\n')
}
