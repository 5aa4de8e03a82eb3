/** Migration: moves secrets between the backends of a server. */
import { setTimeout as pause } from 'node:timers/promises'
import { asSottoError, type ErrorCode, quote, SottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import type { Client } from '../../client/client.ts'
import type { Invocation } from '../invocation.ts'
import { Halt, Progress } from '../terminal/progress.ts'
import { table } from '../terminal/table.ts'

/** Secrets that are moved at the same time. */
const AT_ONCE = 8

/** How often a secret is tried whose backend cannot answer for now, and the pause between. */
const ATTEMPTS = 4
const PAUSE_MS = 1000

/** Failures after which every other secret would fail too. */
const hopeless: ReadonlySet<ErrorCode> = new Set(['unreachable', 'shutting_down', 'no_such_method'])

/** One secret, and what became of it. */
interface Moved {
  readonly Name: string
  readonly Result: Plan['Secrets'][number]['Result'] | 'failed' | 'planned' | 'unfinished'
  readonly Versions?: number | undefined
  /** Why it was skipped or failed, or what is still to be done. */
  readonly Reason?: string | undefined
}

const clearedNote = 'it is there already; what was kept at the source goes'

type Move = Omit<OperationRequest<'migrate-secret'>, 'Name'>
type Plan = OperationResponse<'migrate-plan'>

/**
 * Moves every secret that is named and prints what became of each, then how many were moved. Resolves with the
 * exit code where it was asked to stop. Then throws `migration_incomplete` where a secret failed
 * or may not be read.
 */
export async function migrateSecrets(invocation: Invocation): Promise<number | void> {
  const { io, json } = invocation
  const move = moveOf(invocation)
  const client = invocation.client({ keepAlive: true })
  const progress = new Progress(io, io.stderr.isTTY && !json)
  using halt = new Halt(invocation)
  try {
    const Names = invocation.text('names')?.split(',') ?? []
    const plan = await client.operate('migrate-plan', { ...move, Names })
    const dryRun = invocation.on('dry-run')
    const results = dryRun
      ? plan.Secrets.map(planned)
      : await moveAll(plan.Secrets, { client, move, halt, progress })
    await progress.end()
    const report = reportOf(results, plan)
    await invocation.print(report, (room) => asTable(report, dryRun, room))
    if (halt.asked) return halt.exit
    refuseIncomplete(report)
  } finally {
    await progress.end()
    client.close()
  }
}

function moveOf(invocation: Invocation): Move {
  const From = invocation.text('from')
  const To = invocation.text('to')
  if (From === undefined || To === undefined) {
    const hint = 'Each is the name of a backend: see `sotto backend list`.'
    throw new SottoError('usage', 'migrate secrets needs --from and --to', { hint })
  }
  return { From, To, KeepSource: invocation.on('keep-source') }
}

interface Work {
  readonly client: Client
  readonly move: Move
  readonly halt: Halt
  readonly progress: Progress
}

function planned(secret: Plan['Secrets'][number]): Moved {
  const { Name, Result } = secret
  if (Result === 'cleared') return { Name, Result: 'planned', Reason: clearedNote }
  return Result === 'migrated' ? { ...secret, Result: 'planned' } : secret
}

/** Moves those that are not to be skipped, several at once. Resolves with what became of each, in the same order. */
async function moveAll(secrets: Plan['Secrets'], work: Work): Promise<Moved[]> {
  const results = secrets.map(
    (each): Moved => (each.Result === 'skipped' ? each : { Name: each.Name, Result: 'unfinished' }),
  )
  const due = results.flatMap(({ Name, Result }, at) =>
    Result === 'skipped' ? [] : ([[at, Name]] as const),
  )
  const left = due.values()
  let done = 0
  let stopped = false
  const worker = async (): Promise<void> => {
    for (const [at, name] of left) {
      if (work.halt.asked || stopped) return
      const { code, ...moved } = await moveOne(name, work)
      if (code && hopeless.has(code)) stopped = true
      results[at] = moved
      work.progress.part('moving', ++done, due.length)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return results
}

async function moveOne(
  Name: string,
  { client, move, halt }: Work,
): Promise<Moved & { readonly code?: ErrorCode }> {
  const { signal } = halt
  for (let attempt = 1; ; attempt++) {
    try {
      return { Name, ...(await client.operate('migrate-secret', { Name, ...move }, { signal })) }
    } catch (error) {
      const { code, message: Reason } = asSottoError(error)
      const passing = code === 'backend_unavailable' || code === 'overloaded'
      if (!passing || attempt === ATTEMPTS || halt.asked) {
        return { Name, Result: 'failed', Reason, code }
      }
      await pause(PAUSE_MS * attempt, undefined, { signal }).catch(() => {})
    }
  }
}

type Report = ReturnType<typeof reportOf>

function reportOf(Secrets: readonly Moved[], { Hidden }: Plan) {
  const count = (result: Moved['Result']): number =>
    Secrets.filter(({ Result }) => Result === result).length
  return {
    Migrated: count('migrated'),
    Cleared: count('cleared'),
    Skipped: count('skipped'),
    Failed: count('failed'),
    Unfinished: count('unfinished'),
    Planned: count('planned'),
    Hidden,
    Secrets,
  }
}

function asTable(
  { Secrets, ...counts }: Report,
  dryRun: boolean,
  room: number | undefined,
): string {
  const rows = Secrets.map(({ Name, Result, Reason }) => [
    Name,
    Result,
    Reason ?? (Result === 'cleared' ? clearedNote : ''),
  ])
  const { Migrated, Cleared, Skipped, Failed, Unfinished, Planned, Hidden } = counts
  const words = [
    dryRun ? `${Planned} would be migrated` : `${Migrated} migrated`,
    ...(Cleared > 0 ? [`${Cleared} cleared`] : []),
    `${Skipped} skipped`,
    ...(dryRun ? [] : [`${Failed} failed`]),
    ...(Unfinished > 0 ? [`${Unfinished} not begun`] : []),
    ...(Hidden > 0 ? [`${Hidden} that you may not get`] : []),
  ]
  const list = rows.length === 0 ? '' : table([['NAME', 'RESULT', 'NOTE'], ...rows], { room })
  return `${list}${words.join(', ')}\n`
}

function refuseIncomplete({ Failed, Unfinished, Hidden, Planned }: Report): void {
  const left = Failed + Unfinished
  if (left === 0 && (Hidden === 0 || Planned > 0)) return
  const [message, hint] =
    left > 0
      ? [
          `${left} ${left === 1 ? 'secret was' : 'secrets were'} not migrated`,
          'Fix what the table says and run the same command again: it continues where it stopped.',
        ]
      : [
          `${Hidden} secrets were not migrated, since you may not get them`,
          `A rule must allow get on them, in addition to migrate: see ${quote('sotto whoami NAME')}.`,
        ]
  throw new SottoError('migration_incomplete', message, { hint })
}
