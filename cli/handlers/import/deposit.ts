/**
 * Puts values that were read elsewhere into a server: plan, then put. A put of the value that the latest version has adds
 * nothing, so what the server has says what is left to do, and a run can be repeated at any time.
 */
import { timingSafeEqual } from 'node:crypto'
import { SottoError } from '../../../client/api/errors.ts'
import { nameProblem } from '../../../client/api/names.ts'
import type { Rule, SecretInfo } from '../../../client/api/types.ts'
import { allows } from '../../../server/access.ts'
import type { Item } from '../../readers/item.ts'
import { valueLimit } from '../../value.ts'
import { rulesAt } from './importer.ts'
import { isDown, type Side } from './side.ts'

/** Secrets that are put at the same time. */
const AT_ONCE = 8

/** What became of one secret, or in a dry run would. */
export type Deposited =
  /** The server had no such secret. */
  | 'new'
  /** It has a version more. */
  | 'changed'
  /** Its latest version has that value. */
  | 'same'
  /** A dry run may not compare it. */
  | 'unknown'
  /** Nothing was tried. */
  | 'refused'
  | 'failed'
  /** The run ended before it. */
  | 'unfinished'

/** One secret, and what became of it. */
export interface Deposit {
  readonly name: string
  /** Where the file has it. */
  readonly line?: number
  readonly outcome: Deposited
  /** The version that has the value. */
  readonly version?: number
  readonly active?: boolean
  /** Why it was refused, or failed. */
  readonly reason?: string
}

/** A run. */
export interface Deposits {
  readonly items: readonly Item[]
  /** What the names begin with. */
  readonly prefix: string
  readonly destination: Side
  readonly activate: boolean
  readonly emptyOk: boolean
  readonly dryRun: boolean
  /** Whether no further secret is to be begun; those under way are finished. */
  readonly halted: () => boolean
  readonly progress: (done: number, of: number) => void
}

/** The result. */
export interface DepositReport {
  readonly deposits: readonly Deposit[]
  /** What ended the run before its time. */
  readonly ended?: Error
}

interface Task {
  readonly name: string
  readonly line?: number
  readonly value: Uint8Array
  readonly held: SecretInfo | undefined
}

/** Puts the items, a few at a time. Throws what fails before anything is put; whatever ends the run later is in the report. */
export async function deposit(options: Deposits): Promise<DepositReport> {
  const { destination, items, dryRun } = options
  const [rules, list] = await Promise.all([
    rulesAt(destination),
    destination.ask((client, call) => client.list(call)),
  ])
  const held = new Map(list.map((secret) => [secret.Name, secret]))
  const deposits = new Map<Item, Deposit>()
  const tasks: [Item, Task][] = []
  for (const item of items) {
    const name = options.prefix + item.name
    const place = { name, ...(item.line !== undefined && { line: item.line }) }
    const reason = item.refusal ?? problemOf(name, item.value, rules, options)
    if (item.value === undefined || reason !== undefined) {
      const shown = item.value === undefined && item.name.startsWith('line ') ? item.name : name
      deposits.set(item, { ...place, name: shown, outcome: 'refused', reason: reason ?? '' })
    } else tasks.push([item, { ...place, value: item.value, held: held.get(name) }])
  }
  let ended: Error | undefined
  let done = 0
  const queue = tasks.values()
  const worker = async (): Promise<void> => {
    for (const [item, task] of queue) {
      if (ended !== undefined || options.halted()) return
      const place = { name: task.name, ...(task.line !== undefined && { line: task.line }) }
      try {
        const act = dryRun ? compared(task, rules, destination) : put(task, rules, options)
        deposits.set(item, { ...place, ...(await act) })
      } catch (error) {
        if (!(error instanceof SottoError) || isDown(error)) ended ??= error as Error
        else deposits.set(item, { ...place, outcome: 'failed', reason: error.message })
      }
      options.progress(++done, tasks.length)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  for (const [item, { name, line }] of tasks) {
    if (deposits.has(item)) continue
    deposits.set(item, { name, ...(line !== undefined && { line }), outcome: 'unfinished' })
  }
  const all = items.flatMap((item) => deposits.get(item) ?? [])
  return { deposits: all, ...(ended !== undefined && { ended }) }
}

function problemOf(
  name: string,
  value: Uint8Array | undefined,
  rules: readonly Rule[] | undefined,
  { emptyOk, activate }: Deposits,
): string | undefined {
  const problem = nameProblem(name)
  if (problem !== undefined) return `Sotto gives no such name: ${problem}`
  if (value?.length === 0 && !emptyOk) return 'its value is empty: --empty-ok takes it'
  const limit = valueLimit(name)
  if (value && value.length > limit) {
    return `it has ${value.length} bytes, and a request to Sotto holds ${limit}`
  }
  const needed = activate ? (['put', 'activate'] as const) : (['put'] as const)
  const denied = rules ? needed.filter((action) => !allows(rules, action, name)) : []
  return denied.length === 0 ? undefined : `no rule allows ${denied.join(', ')} on it`
}

type Came = Pick<Deposit, 'outcome' | 'version' | 'active'>

async function put(
  { name, value, held }: Task,
  rules: readonly Rule[] | undefined,
  { destination, activate }: Deposits,
): Promise<Came> {
  const { Version: version, Active } = await destination.ask((client, options) =>
    client.add(name, value, options),
  )
  // A setec server does not say; with it only the first version is active at once.
  let active = Active ?? (held === undefined ? version === 1 : held.ActiveVersion === version)
  if (activate && !active) {
    await destination.ask((client, options) => client.activate(name, version, options))
    active = true
  }
  const outcome = held
    ? version > lastOf(held)
      ? 'changed'
      : 'same'
    : version === 1 || mayKnow(rules, name)
      ? 'new'
      : 'changed'
  return { outcome, version, active }
}

/** What a put would do. */
async function compared(
  { name, value, held }: Task,
  rules: readonly Rule[] | undefined,
  destination: Side,
): Promise<Came> {
  if (held === undefined) return { outcome: mayKnow(rules, name) ? 'new' : 'unknown' }
  if (rules && !allows(rules, 'get', name)) return { outcome: 'unknown' }
  const version = lastOf(held)
  const { Value } = await destination.ask((client, options) =>
    client.getVersion(name, version, options),
  )
  const isSame = Value.length === value.length && timingSafeEqual(Value, value)
  Value.fill(0)
  if (!isSame) return { outcome: 'changed' }
  return { outcome: 'same', version, active: version === held.ActiveVersion }
}

/** Whether a secret that the list does not show is not there. */
function mayKnow(rules: readonly Rule[] | undefined, name: string): boolean {
  return rules === undefined || allows(rules, 'info', name)
}

function lastOf({ Versions }: SecretInfo): number {
  return Math.max(...Versions)
}
