/** What became of the versions of a secret, and the way back to the one that was active before. */
import { nameOf } from '../../audit/row.ts'
import { asSottoError, quote } from '../../client/api/errors.ts'
import type { OperationResponse } from '../../client/api/operations.ts'
import { toSeconds } from '../../client/api/times.ts'
import { visible } from '../../client/api/visible.ts'
import type { Invocation } from '../invocation.ts'
import { table } from '../terminal/table.ts'
import { beyondSetec } from './beyond-setec.ts'

type History = OperationResponse<'secret-history'>
type Act = NonNullable<History['Versions'][number]['Put']>

/** `sotto history NAME` */
export async function history(invocation: Invocation): Promise<void> {
  const name = invocation.name()
  const found = await beyondSetec(
    `read the history of ${quote(name)}`,
    invocation.client().operate('secret-history', { Name: name }),
  )
  const acts = found.Versions.flatMap(rowsOf)
  const told = acts.some((row) => row[5] !== '')
  const head = ['VERSION', 'STATE', 'WHAT', 'SINCE', 'UNTIL', 'WHO']
  const rows = [head, ...acts].map((row) => (told ? row : row.slice(0, -1)))
  await invocation.print(found, (room) => table(rows, { room }).replaceAll(/ +$/gm, ''))
  const notes = [
    ...(found.Earlier > 0 ? [`${found.Earlier} earlier versions are not shown`] : []),
    ...(found.Unsure.length > 0
      ? [`Versions that may have been active once they were put: ${found.Unsure.join(', ')}`]
      : []),
  ]
  if (!invocation.json) {
    for (const note of notes) await invocation.io.stderr.write(`${note}\n`)
  }
}

/** A row for each thing that was done; the number and the state are on the first. */
function rowsOf({ Version, State, Put, Active, Deleted }: History['Versions'][number]): string[][] {
  const rows = [
    ...(Put ? [rowOf('put', Put)] : []),
    ...Active.map((each) => rowOf('active', each, each.Until)),
    ...(Deleted ? [rowOf('deleted', Deleted)] : []),
  ]
  const [first = ['', '', '', ''], ...rest] = rows
  return [[String(Version), State, ...first], ...rest.map((row) => ['', '', ...row])]
}

function rowOf(what: string, { At, By }: Act, until?: string): string[] {
  const who = By && {
    hostname: By.Hostname,
    ip: By.IP,
    ...(By.User !== undefined && { user: By.User }),
    ...(By.Tags && { tags: By.Tags }),
  }
  return [what, toSeconds(At), until === undefined ? '' : toSeconds(until), who ? nameOf(who) : '']
}

/** `sotto rollback NAME` */
export async function rollback(invocation: Invocation): Promise<void> {
  const name = invocation.name()
  const to = invocation.text('to') === undefined ? undefined : invocation.versionFlag('to', 1)
  const given = invocation.text('expect') !== undefined
  const client = invocation.client()
  // Two people who do this at once must not undo what the other did.
  const expected = given
    ? invocation.versionFlag('expect', 1)
    : await client.info(name).then(
        ({ ActiveVersion }) => ActiveVersion,
        (error: unknown) => {
          if (asSottoError(error).code === 'denied') return undefined
          throw error
        },
      )
  const request = {
    Name: name,
    ...(to !== undefined && { Version: to }),
    ...(expected !== undefined && { Expect: expected }),
  }
  const done = await beyondSetec(
    `roll ${quote(name)} back`,
    client.operate('secret-activate', request),
  )
  const { Version, Was } = done
  const change = Was === Version ? ', as before' : `; it was ${Was}`
  const words = visible(`Version ${Version} of ${quote(name)} is active${change}`)
  await invocation.print({ Name: name, ...done }, () => `${words}\n`)
}
