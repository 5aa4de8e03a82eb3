/** `sotto edit`: the active value in an editor, and what was made of it as a new version. */
import { isUtf8 } from 'node:buffer'
import { base64 } from '../../client/api/base64.ts'
import { quote, SottoError } from '../../client/api/errors.ts'
import type { OperationResponse } from '../../client/api/operations.ts'
import { visible } from '../../client/api/visible.ts'
import { comparisonOf, rowsOf } from '../comparison.ts'
import { Draft } from '../editor.ts'
import type { Invocation } from '../invocation.ts'
import { parsedJson } from '../json-value.ts'
import { Interrupted } from '../terminal/interrupted.ts'
import { askLine } from '../terminal/question.ts'
import { table } from '../terminal/table.ts'
import { valueLimit } from '../value.ts'
import { beyondSetec } from './beyond-setec.ts'

const NEWLINE = 0x0a

/** `sotto edit NAME` */
export async function edit(invocation: Invocation): Promise<void> {
  const name = invocation.name()
  const { io } = invocation
  const isPerson = io.stdin.isTTY && io.stderr.isTTY
  if (!isPerson && !invocation.on('yes')) {
    throw new SottoError('usage', 'Cannot ask whether to save: there is no terminal', {
      hint: 'With --yes it saves without asking.',
    })
  }
  const client = invocation.client()
  // First, so that nothing is edited in vain where the server cannot say what is expected.
  const history = await beyondSetec(
    `edit ${quote(name)}`,
    client.operate('secret-history', { Name: name }),
  )
  if (history.ActiveVersion === 0) throw new SottoError('not_found', `There is no ${quote(name)}`)
  const { Value: before, Version } = await client.getVersion(name, history.ActiveVersion)
  const after = await edited(invocation, before)
  try {
    const request = {
      Name: name,
      Value: base64(after),
      Expect: latestIn(history),
      Activate: invocation.on('activate'),
    }
    const saved = await client.operate('secret-put', request)
    const shown = visible(quote(name))
    const next = saved.Active
      ? ', which is active\n'
      : `\n  To activate this version, run 'sotto activate ${shown} ${saved.Version}'\n`
    await invocation.print(
      { Name: name, From: Version, ...saved },
      () => `Secret saved as ${shown}, version ${saved.Version}${next}`,
    )
  } finally {
    for (const value of [before, after]) value.fill(0)
  }
}

/** The highest version that has a value. */
function latestIn({ Versions, ActiveVersion }: OperationResponse<'secret-history'>): number {
  const existing = Versions.filter(({ State }) => State === 'active' || State === 'staged')
  return existing.at(-1)?.Version ?? ActiveVersion
}

/** What becomes of `before` in the editor, once a person said that it be saved. Rejects with `unchanged`. */
async function edited(invocation: Invocation, before: Uint8Array): Promise<Uint8Array> {
  const name = invocation.name()
  if (!isUtf8(before) || before.includes(0)) {
    throw new SottoError('local', `Cannot edit ${quote(name)}: its value is not text`)
  }
  const { io } = invocation
  const isJson = isJsonText(before)
  const fileName = isJson ? 'value.json' : 'value.txt'
  using draft = new Draft(invocation.env, fileName, invocation.on('on-disk'))
  const stop = Promise.withResolvers<never>()
  // It may be that nobody waits for it at that moment.
  stop.promise.catch(() => {})
  const stopped: { by?: Interrupted } = {}
  using _ = io.onInterrupt((signal) => {
    stopped.by ??= new Interrupted(signal)
    draft.stop(signal)
    stop.reject(stopped.by)
  })
  const demandGoing = (): void => {
    if (stopped.by) throw stopped.by
  }
  await draft.write(before)
  for (;;) {
    demandGoing()
    const left = await draft.edit(valueLimit(name)).catch((error: unknown) => {
      throw stopped.by ?? error
    })
    demandGoing()
    const after = withoutAddedNewline(before, left)
    if (Buffer.compare(before, after) === 0) {
      throw new SottoError('unchanged', `Nothing was changed in ${quote(name)}`)
    }
    if (after.length === 0) {
      throw new SottoError('local', 'Nothing was saved: the file is empty', {
        hint: 'An empty value is saved with `sotto put --empty-ok`.',
      })
    }
    if (isJson && !isJsonText(after)) {
      const message = `${quote(name)} is JSON, and what the editor left is not`
      if (invocation.on('yes')) throw new SottoError('local', message)
      await askLine(
        io,
        visible(`${message}. Press Enter to edit it again, or Ctrl-C. `),
        stop.promise,
      )
      continue
    }
    if (invocation.on('yes')) return after
    const comparison = comparisonOf(before, after)
    const rows = rowsOf(comparison)
    if (rows.length > 0) await io.stderr.write(table(rows, { gap: 2, room: io.stderr.columns }))
    const answer = await askLine(io, visible(`Save ${quote(name)}? [y/N] `), stop.promise)
    if (/^y(?:es)?$/i.test(answer)) return after
    throw new SottoError('local', 'Nothing was saved')
  }
}

/** Editors add a newline at the end of a text that has none. */
function withoutAddedNewline(before: Uint8Array, after: Uint8Array): Uint8Array {
  const added = before.at(-1) !== NEWLINE && after.at(-1) === NEWLINE && after.at(-2) !== NEWLINE
  return added ? after.subarray(0, -1) : after
}

/** Whether it is an object or an array: other JSON is as often plain text. */
function isJsonText(value: Uint8Array): boolean {
  const parsed = parsedJson(value)?.value
  return /^\s*[[{]/.test(Buffer.from(value).toString('utf8')) && parsed !== undefined
}
