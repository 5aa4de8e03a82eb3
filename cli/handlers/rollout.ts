/** Rollouts: who holds which version of a secret, and a wait until all have the active one. */
import { setTimeout as pause } from 'node:timers/promises'
import { asSottoError, type ErrorCode, quote, SottoError } from '../../client/api/errors.ts'
import type { OperationResponse } from '../../client/api/operations.ts'
import { toSeconds } from '../../client/api/times.ts'
import { visible } from '../../client/api/visible.ts'
import type { Client } from '../../client/client.ts'
import type { Invocation } from '../invocation.ts'
import { interruptible, Progress } from '../terminal/progress.ts'
import { table } from '../terminal/table.ts'

type Rollout = OperationResponse<'rollout'>
type Holder = NonNullable<Rollout['Holders']>[number]

/** The exit code where not all are current yet. */
const NOT_YET = 8
/** How long it waits where no other time is given, in milliseconds. */
const WAIT_MS = 10 * 60_000
/** How often it asks, in milliseconds, and how long a single answer may take. */
const ASK_MS = 2000
const ANSWER_MS = 30_000

/** What a server that is busy or starts again answers with, or does not. */
const passing: ReadonlySet<ErrorCode> = new Set([
  'unreachable',
  'overloaded',
  'shutting_down',
  'unidentified',
  'internal',
  'store_unavailable',
])

/** `sotto rollout NAME` */
export async function rollout(invocation: Invocation): Promise<number> {
  const name = invocation.name()
  const except = new Set(invocation.text('except')?.split(',').filter(Boolean))
  const found = invocation.on('wait')
    ? await end(invocation, name, except)
    : without(await invocation.client().operate('rollout', { Name: name }), except)
  await invocation.print(jsonOf(found), (room) => textOf(found, room))
  if (found.Converged) return 0
  if (!invocation.json) await invocation.io.stderr.write(`Not yet: ${whyNot(found)}\n`)
  return NOT_YET
}

/** Asks until all are current, or the time is over. */
async function end(
  invocation: Invocation,
  name: string,
  except: ReadonlySet<string>,
): Promise<Rollout> {
  const { io, json } = invocation
  const waitMs = invocation.text('timeout') === undefined ? WAIT_MS : invocation.timeoutMs
  const until = performance.now() + waitMs
  const client = invocation.client({ timeoutMs: ANSWER_MS })
  const line = new Progress(io, io.stderr.isTTY && !json)
  try {
    return await interruptible(io, async (signal) => {
      let found: Rollout | undefined
      for (;;) {
        const answer = await ask(client, name, found !== undefined)
        if (answer) found = without(answer, except)
        if (found) line.show(`${visible(quote(name))}: ${countsOf(found)}`, true)
        const left = until - performance.now()
        if (found && ((answer && found.Converged) || left <= 0)) {
          // What was said before the server was lost does not count any more.
          return answer ? found : { ...found, Converged: false }
        }
        await pause(Math.min(ASK_MS, Math.max(left, 0)), undefined, { signal })
      }
    })
  } finally {
    await line.end()
  }
}

/** Undefined where the server does not answer for now: not the first time, when the name of the server may be wrong. */
async function ask(client: Client, name: string, waits: boolean): Promise<Rollout | undefined> {
  try {
    return await client.operate('rollout', { Name: name })
  } catch (error) {
    if (waits && passing.has(asSottoError(error).code)) return undefined
    throw error
  }
}

/** Without what is unknown on nodes of these names. Throws `denied` where the server does not say who the holders are. */
function without(found: Rollout, except: ReadonlySet<string>): Rollout {
  if (except.size === 0) return found
  const { Holders, Counts, Doubts } = found
  if (!Holders) {
    throw new SottoError('denied', 'Cannot leave out nodes: who the holders are is not shown', {
      hint: 'It takes a rule that allows audit with a pattern that the empty name matches, such as *.',
    })
  }
  const kept = Holders.filter(
    ({ State, Hostname, Node }) =>
      State !== 'unknown' || !(except.has(Hostname) || except.has(Node)),
  )
  const Unknown = Counts.Unknown - (Holders.length - kept.length)
  return {
    ...found,
    Counts: { ...Counts, Unknown },
    Converged: Counts.Behind === 0 && Unknown === 0 && Doubts.length === 0,
    Holders: kept,
  }
}

function jsonOf({ Counts, ...found }: Rollout): object {
  const { Current, Behind, Unknown, Left } = Counts
  const counts = { current: Current, behind: Behind, unknown: Unknown, left: Left }
  return { ...found, Counts: counts }
}

function textOf(found: Rollout, room: number | undefined): string {
  const { Version, Holders = [] } = found
  const head = `Version ${Version} is active: ${countsOf(found)}\n`
  if (Holders.length === 0) return head
  const names = ['STATE', 'VERSION', 'NODE', 'WHO', 'PROGRAM', 'SEEN']
  const rows = Holders.map(cellsOf)
  return `${head}${table([names, ...rows], { gap: 2, room })}`.replaceAll(/ +$/gm, '')
}

function cellsOf({ State, Version, Hostname, User, Tags, Client: label, Seen }: Holder): string[] {
  return [
    State,
    `${Version}`,
    Hostname,
    User ?? Tags?.join(',') ?? '',
    label ?? '-',
    Seen === undefined ? 'not since the start' : toSeconds(Seen),
  ]
}

function countsOf({ Counts: { Current, Behind, Unknown, Left } }: Rollout): string {
  return `${Current} current, ${Behind} behind, ${Unknown} unknown, ${Left} left`
}

function whyNot({ Counts: { Behind, Unknown }, Doubts }: Rollout): string {
  const counted = [
    ...(Behind > 0 ? [`${Behind} behind`] : []),
    ...(Unknown > 0 ? [`${Unknown} unknown`] : []),
    ...Doubts,
  ]
  return visible(counted.join('; ') || 'the server does not answer any more')
}
