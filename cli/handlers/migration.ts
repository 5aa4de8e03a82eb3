/** Migration: moves secrets between the backends of a server. */
import { setTimeout as pause } from 'node:timers/promises'
import { asSottoError, type ErrorCode, quote, SottoError } from '../../client/api/errors.ts'
import type { Client } from '../../client/client.ts'
import type { Invocation } from '../invocation.ts'
import { Halt, Progress } from '../terminal/progress.ts'
import { table } from '../terminal/text.ts'

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
  readonly Result: 'migrated' | 'skipped' | 'failed' | 'planned' | 'unfinished'
  readonly Versions?: number | undefined
  /** Why it was skipped or failed, or what is still to be done. */
  readonly Reason?: string | undefined
}

/** A move that is to be made. */
interface Move {
  readonly From: string
  readonly To: string
  readonly KeepSource: boolean
}

/**
 * Moves every secret that is named and prints what became of each that was not simply moved, then how
 * many were. Resolves with 130 after Ctrl-C. Then throws `migration_incomplete` where a secret failed
 * or may not be read.
 */
export async function migrateSecrets(invocation: Invocation): Promise<number | void> {
  const { io, json } = invocation
  const move = moveOf(invocation)
  const client = invocation.client({ keepAlive: true })
  const progress = new Progress(io, io.stderr.isTTY && !json)
  using halt = new Halt(invocation)
  try {
    const { From, To } = move
    const Names = invocation.text('names')?.split(',') ?? []
    const plan = await client.operate('migrate-plan', { From, To, Names })
    const dryRun = invocation.on('dry-run')
    const work = new Work(client, move, {
      signal: halt.signal,
      halted: () => halt.asked || dryRun,
      progress: (done) => progress.part('moving', done, plan.Names.length),
    })
    const results = dryRun
      ? plan.Names.map((Name): Moved => ({ Name, Result: 'planned' }))
      : await work.run(plan.Names)
    await progress.end()
    const report = reportOf(results, plan)
    await invocation.print(report, () => asTable(report, dryRun))
    if (halt.asked) return 130
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

/** How the work is paced. */
interface Pace {
  readonly signal: AbortSignal
  /** Whether no further secret is to be begun. */
  readonly halted: () => boolean
  readonly progress: (done: number) => void
}

/** Moves secrets, several at once. */
class Work {
  readonly #client: Client
  readonly #move: Move
  readonly #pace: Pace
  #done = 0
  #stopped = false

  constructor(client: Client, move: Move, pace: Pace) {
    this.#client = client
    this.#move = move
    this.#pace = pace
  }

  /** Resolves with what became of each, in the same order. Never rejects. */
  async run(names: readonly string[]): Promise<Moved[]> {
    const results = names.map((Name): Moved => ({ Name, Result: 'unfinished' }))
    const left = names.entries()
    const worker = async (): Promise<void> => {
      for (const [at, name] of left) {
        if (this.#pace.halted() || this.#stopped) return
        results[at] = await this.#one(name)
        this.#pace.progress(++this.#done)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    return results
  }

  async #one(Name: string): Promise<Moved> {
    const { signal, halted } = this.#pace
    for (let attempt = 1; ; attempt++) {
      try {
        const request = { Name, ...this.#move }
        return { Name, ...(await this.#client.operate('migrate-secret', request, { signal })) }
      } catch (error) {
        const { code, message } = asSottoError(error)
        if (hopeless.has(code)) this.#stopped = true
        const passing = code === 'backend_unavailable' || code === 'overloaded'
        if (!passing || attempt === ATTEMPTS || halted()) {
          return { Name, Result: 'failed', Reason: message }
        }
        await pause(PAUSE_MS * attempt, undefined, { signal }).catch(() => {})
      }
    }
  }
}

/** The result of a migration. */
interface Report {
  readonly Migrated: number
  readonly Skipped: number
  readonly Failed: number
  readonly Unfinished: number
  readonly Planned: number
  readonly Hidden: number
  readonly Secrets: readonly Moved[]
}

function reportOf(
  secrets: readonly Moved[],
  { There, Hidden }: { readonly There: number; readonly Hidden: number },
): Report {
  const count = (result: Moved['Result']): number =>
    secrets.filter(({ Result }) => Result === result).length
  return {
    Migrated: count('migrated'),
    Skipped: count('skipped') + There,
    Failed: count('failed'),
    Unfinished: count('unfinished'),
    Planned: count('planned'),
    Hidden,
    Secrets: secrets,
  }
}

function asTable({ Secrets, ...counts }: Report, dryRun: boolean): string {
  const shown = Secrets.filter(
    ({ Result, Reason }) => Result !== 'migrated' || Reason !== undefined,
  )
  const rows = shown.map(({ Name, Result, Reason = '' }) => [Name, Result, Reason])
  const { Migrated, Skipped, Failed, Unfinished, Planned, Hidden } = counts
  const words = [
    dryRun ? `${Planned} would be migrated` : `${Migrated} migrated`,
    `${Skipped} skipped`,
    ...(dryRun ? [] : [`${Failed} failed`]),
    ...(Unfinished > 0 ? [`${Unfinished} not begun`] : []),
    ...(Hidden > 0 ? [`${Hidden} that you may not get`] : []),
  ]
  return `${rows.length === 0 ? '' : table([['NAME', 'RESULT', 'NOTE'], ...rows])}${words.join(', ')}\n`
}

function refuseIncomplete({ Failed, Unfinished, Hidden, Planned }: Report): void {
  const left = Failed + Unfinished
  if (left === 0 && Hidden === 0) return
  if (left === 0 && Planned > 0) return
  throw new SottoError(
    'migration_incomplete',
    left > 0
      ? `${left} ${left === 1 ? 'secret was' : 'secrets were'} not migrated`
      : `${Hidden} secrets were not migrated, since you may not get them`,
    {
      hint:
        left > 0
          ? 'Fix what the table says and run the same command again: it continues where it stopped.'
          : `A rule must allow get on them, in addition to migrate: see ${quote('sotto whoami NAME')}.`,
    },
  )
}
