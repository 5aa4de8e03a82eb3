/**
 * An import from one server to another over the wire: plan, copy, compare. It keeps nothing of its
 * own between runs; what the destination has says what is left to do.
 */
import { randomBytes } from 'node:crypto'
import { quote, SottoError } from '../../../client/api/errors.ts'
import type { Rule, SecretInfo } from '../../../client/api/types.ts'
import { matches } from '../../../server/access.ts'
import { type Copied, copySecret, differenceIn, type Ends } from './copy.ts'
import { isComplete, planImport, type Plan, type Task } from './plan.ts'
import type { Side } from './side.ts'

/** Secrets that are worked on at the same time, with at most one value of each in memory. */
const AT_ONCE = 8

/** What became of one secret. */
export type Outcome =
  /** It came over, or what it lacked did. */
  | 'imported'
  /** Nothing was left to do. */
  | 'there'
  | 'failed'
  /** A dry run found something to do. */
  | 'planned'
  /** The run ended before it. */
  | 'unfinished'
  /** An exception said so. */
  | 'left-out'

/** One secret, and what became of it. */
export interface Result {
  readonly name: string
  readonly outcome: Outcome
  /** What the source has: versions, and which is active. */
  readonly versions: readonly number[]
  readonly active: number
  /** Versions that were written, or in a dry run would be; ascending. */
  readonly added: readonly number[]
  /** Versions that the destination alone has. */
  readonly own: readonly number[]
  /** Why it failed. */
  readonly reason?: string
}

/** The result of an import. */
export interface Report {
  readonly results: readonly Result[]
  /** Names that match and that the destination alone has. */
  readonly others: readonly string[]
  /** Versions whose values were found equal on both at the end. */
  readonly compared: number
  /** What ended the run before its time. */
  readonly ended?: Error
}

/** An import to be made. */
interface Import {
  readonly source: Side
  readonly destination: Side
  /** A pattern that names must match. */
  readonly only: string
  /** Patterns of names to leave out of those. */
  readonly except: readonly string[]
  readonly dryRun: boolean
  /** Whether no further secret is to be begun; those under way are finished. */
  readonly halted: () => boolean
  readonly progress: (step: 'copying' | 'comparing', done: number, of: number) => void
}

/**
 * Makes it. Throws SottoError before anything is written: `no_such_method` for a destination that
 * is not a Sotto server, `not_found` where the source shows nothing that matches, or nothing for an exception, `denied` where the
 * caller may write none of it. Whatever ends the run later is in the report.
 */
export async function runImport(options: Import): Promise<Report> {
  const plan = await makePlan(options)
  refuseHopeless(plan, options)
  if (options.dryRun) {
    const results = [...plan.tasks.map(planned), ...plan.leftOut.map(leftOut)]
    return { results, others: plan.others, compared: 0 }
  }
  const work = new Work(options, plan)
  await work.run()
  return work.report()
}

async function makePlan({ source, destination, only, except }: Import): Promise<Plan> {
  const destinationRules = await rulesAt(destination)
  if (destinationRules === undefined) {
    throw new SottoError(
      'no_such_method',
      `Cannot import into ${destination.client.server}: it is not a Sotto server`,
      { hint: 'The Sotto server is given by -s, the setec server by --from.' },
    )
  }
  const [sourceRules, ...lists] = await Promise.all([
    rulesAt(source),
    source.ask((client, options) => client.list(options)),
    destination.ask((client, options) => client.list(options)),
  ])
  const [held, there] = lists
  return planImport({
    source: held,
    destination: there,
    sourceRules,
    destinationRules,
    only,
    except,
  })
}

/** What the caller may do there; undefined where the server cannot say, as setec cannot. */
export async function rulesAt(side: Side): Promise<readonly Rule[] | undefined> {
  try {
    return (await side.ask((client, options) => client.whoami(undefined, options))).Rules
  } catch (error) {
    if (error instanceof SottoError && error.code === 'no_such_method') return undefined
    throw error
  }
}

function refuseHopeless(plan: Plan, { source, only, except }: Import): void {
  const { tasks } = plan
  const unmet = except.find((each) => !plan.leftOut.some(({ Name }) => matches(each, Name)))
  if (unmet !== undefined || tasks.length === 0) {
    const which =
      unmet !== undefined
        ? `no secret that --except ${quote(unmet)} would leave out`
        : plan.leftOut.length > 0
          ? 'no secret that --except does not leave out'
          : only === '*'
            ? 'no secret'
            : `no secret that matches ${quote(only)}`
    const hint = 'It shows those that its rules allow you info on.'
    throw new SottoError('not_found', `${source.client.server} shows ${which}`, { hint })
  }
  const first = tasks[0]?.obstacle
  if (first?.kind === 'denied' && tasks.every(({ obstacle }) => obstacle?.kind === 'denied')) {
    throw new SottoError(
      'denied',
      `Cannot import ${quote(tasks[0]?.name ?? '')}: ${first.reason}; nor any other of ${tasks.length}`,
      {
        hint: 'The source needs info and get; the destination info, get, create-version, activate.',
      },
    )
  }
}

function planned(task: Task): Result {
  const outcome = task.obstacle ? 'failed' : isComplete(task) ? 'there' : 'planned'
  const { obstacle, missing } = task
  return resultOf(task, outcome, obstacle ? { added: [], ...obstacle } : { added: missing })
}

function leftOut({ Name, Versions, ActiveVersion }: SecretInfo): Result {
  const versions = Versions.toSorted((a, b) => a - b)
  return { name: Name, outcome: 'left-out', versions, active: ActiveVersion, added: [], own: [] }
}

function resultOf(
  task: Task,
  outcome: Outcome,
  { added, reason }: Omit<Copied, 'activated'>,
): Result {
  const { name, versions, active, own } = task
  const known = { name, outcome, versions, active, added: added.toSorted((a, b) => a - b), own }
  return reason === undefined ? known : { ...known, reason }
}

/** The part of an import that writes. */
class Work {
  readonly #options: Import
  readonly #plan: Plan
  readonly #ends: Ends
  readonly #results = new Map<string, Result>()
  /** Of secrets that came up after the plan. */
  readonly #late: Result[] = []
  #others: readonly string[]
  #compared = 0
  #ended: Error | undefined

  constructor(options: Import, plan: Plan) {
    this.#options = options
    this.#plan = plan
    this.#ends = { ...options, key: randomBytes(32) }
    this.#others = plan.others
  }

  async run(): Promise<void> {
    try {
      await this.#each('copying', this.#plan.tasks, (task) => this.#copy(task))
      if (!this.#stopped) await this.#compare()
    } catch (error) {
      this.#end(error)
    }
  }

  report(): Report {
    return {
      results: [
        ...this.#plan.tasks.map(
          (task) => this.#results.get(task.name) ?? resultOf(task, 'unfinished', { added: [] }),
        ),
        ...this.#late,
        ...this.#plan.leftOut.map(leftOut),
      ],
      others: this.#others,
      compared: this.#compared,
      ...(this.#ended !== undefined && { ended: this.#ended }),
    }
  }

  get #stopped(): boolean {
    return this.#ended !== undefined || this.#options.halted()
  }

  #end(error: unknown): void {
    if (!(error instanceof Error)) throw error
    this.#ended ??= error
  }

  async #copy(task: Task): Promise<void> {
    const copied = await copySecret(task, this.#ends)
    const outcome = copied.reason !== undefined ? 'failed' : isComplete(task) ? 'there' : 'imported'
    this.#results.set(task.name, resultOf(task, outcome, copied))
  }

  /** Asks both servers again, to find what changed meanwhile on either. */
  async #compare(): Promise<void> {
    const now = await makePlan(this.#options)
    this.#others = now.others
    const tasks = new Map(now.tasks.map((task) => [task.name, task]))
    const whole = this.#plan.tasks.filter(
      ({ name }) => this.#results.get(name)?.reason === undefined,
    )
    await this.#each('comparing', whole, async (before) => {
      const task = tasks.get(before.name)
      const reason = task
        ? await this.#difference(before, task)
        : 'it was deleted at the source meanwhile'
      const result = this.#results.get(before.name)
      if (reason !== undefined && result) {
        this.#results.set(before.name, { ...result, outcome: 'failed', reason })
      }
    })
    const known = new Set(this.#plan.tasks.map(({ name }) => name))
    const late = { added: [], reason: 'it was made at the source meanwhile' }
    for (const task of now.tasks) {
      if (!known.has(task.name)) this.#late.push(resultOf(task, 'failed', late))
    }
  }

  async #difference(before: Task, task: Task): Promise<string | undefined> {
    if (before.active !== task.active || before.versions.join() !== task.versions.join()) {
      return 'it was changed at the source meanwhile'
    }
    if (!isComplete(task)) return 'it was changed at the destination meanwhile'
    const difference = await differenceIn(task, task.versions, this.#ends)
    if (difference === undefined) this.#compared += task.versions.length
    return difference
  }

  /** Does `act` for each task, a few at a time, until one fails for all of them or a halt is asked for. */
  async #each(
    step: 'copying' | 'comparing',
    tasks: readonly Task[],
    act: (task: Task) => Promise<void>,
  ): Promise<void> {
    const queue = tasks.values()
    let done = 0
    const worker = async (): Promise<void> => {
      for (const task of queue) {
        if (this.#stopped) return
        try {
          await act(task)
        } catch (error) {
          return this.#end(error)
        }
        this.#options.progress(step, ++done, tasks.length)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
  }
}
