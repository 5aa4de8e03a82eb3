/** Mirrors: secrets that backends also show to other clients. */
import { SottoError } from '../../client/api/errors.ts'
import type { OperationResponse } from '../../client/api/operations.ts'
import type { Invocation } from '../invocation.ts'
import { followRun } from './jobs.ts'
import { table } from '../terminal/table.ts'

type Status = OperationResponse<'mirror-status'>[number]
type Planned = OperationResponse<'mirror-plan'>['Items'][number]

/** `sotto mirror status [BACKEND]` */
export async function mirrorStatus(invocation: Invocation): Promise<void> {
  const Backend = invocation.word(0)
  const request = Backend === undefined ? {} : { Backend }
  const mirrors = await invocation.client().operate('mirror-status', request)
  await invocation.print(mirrors, (room) => {
    if (mirrors.length === 0) return 'No mirror is set up.\n'
    return mirrors.map((each) => described(each, room)).join('\n')
  })
}

/** `sotto mirror sync [BACKEND]`. Throws `job_failed` when it failed. */
export async function mirrorSync(invocation: Invocation): Promise<void> {
  const Backend = invocation.word(0)
  const secret = invocation.text('secret')
  const OnDrift = driftOf(invocation)
  const one = (['dry-run', 'accept-mount'] as const).filter((flag) => invocation.on(flag))
  if (Backend === undefined && (one.length > 0 || secret !== undefined)) {
    throw new SottoError('usage', `mirror sync needs BACKEND with --${one[0] ?? 'secret'}`, {
      hint: '`sotto mirror status` shows which backends have a mirror.',
    })
  }
  if (Backend !== undefined && invocation.on('dry-run')) {
    const planned = await planOf(invocation, { Backend, ...(OnDrift && { OnDrift }) })
    return invocation.print(planned, (room) => plan(planned, room))
  }
  const client = invocation.client()
  const state = await client.operate('mirror-sync', {
    ...(Backend !== undefined && { Backend }),
    ...(secret !== undefined && { Secrets: [secret] }),
    ...(OnDrift && { OnDrift }),
    AcceptMount: invocation.on('accept-mount'),
  })
  await followRun(invocation, client, state)
}

function driftOf(invocation: Invocation): 'overwrite' | 'adopt' | undefined {
  const given = invocation.text('on-drift')
  if (given === undefined || given === 'overwrite' || given === 'adopt') return given
  throw new SottoError('usage', 'mirror sync takes overwrite or adopt for --on-drift')
}

async function planOf(
  invocation: Invocation,
  request: { readonly Backend: string; readonly OnDrift?: 'overwrite' | 'adopt' },
): Promise<Planned[]> {
  const client = invocation.client()
  const items: Planned[] = []
  let After: string | undefined
  do {
    const page = await client.operate('mirror-plan', { ...request, ...(After && { After }) })
    items.push(...page.Items)
    After = page.After
  } while (After !== undefined)
  return items
}

function plan(items: readonly Planned[], room: number | undefined): string {
  if (items.length === 0) return 'Everything is as it should be.\n'
  const rows = items.map(({ Name, Action, Reason }) => [Name, Action, Reason])
  return table([['SECRET', 'WOULD', 'BECAUSE'], ...rows], { room })
}

function described(status: Status, room: number | undefined): string {
  const { Backend, Secrets, OnDrift, OnDelete, Counts, LagSeconds, Items } = status
  const counts = Object.entries(Counts).map(([state, count]) => `${count} ${state}`)
  const { Foreign, CheckedAt = 'never', LastRun, LastResult, LastMessage } = status
  const facts = [
    ['Mirror:', Backend],
    ['Secrets:', Secrets.join(' ')],
    ['Settings:', `on drift ${OnDrift}, on delete ${OnDelete}`],
    ['State:', counts.length === 0 ? 'empty' : counts.join(', ')],
    ['Waits:', LagSeconds === 0 ? 'nothing' : `since ${LagSeconds} s`],
    ['Compared:', CheckedAt],
    ...(Foreign && Foreign.Count > 0 ? [['Foreign:', foreignText(Foreign)]] : []),
    ...(LastRun === undefined ? [] : [['Last run:', `${LastRun} ${LastResult}`]]),
    ...(LastMessage === undefined ? [] : [['Failure:', LastMessage]]),
  ]
  const items = Items.map(({ Name, State, Reason, Since }) => [Name, State, Since, Reason])
  const list = items.length === 0 ? [] : [['SECRET', 'STATE', 'SINCE', 'REASON'], ...items]
  return table(facts, { room }) + table(list, { room })
}

function foreignText({ Count, Paths }: NonNullable<Status['Foreign']>): string {
  const count = `${Count} made there by someone else`
  return Paths.length === 0 ? count : `${count}: ${Paths.join(' ')}`
}
