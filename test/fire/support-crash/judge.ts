/**
 * Holds what callers saw against what the store committed and the log tells. The order in which the
 * store committed is taken for the order in which the changes took effect; every answer must fit the
 * model at a moment between its call and itself, and every answer must have its record.
 */
import assert from 'node:assert/strict'
import type { AccessEntry, ChangeEntry, Stamp } from '../../../audit/record.ts'
import { UNCOUNTED_BYTES } from '../../../server/http/exchange.ts'
import { bodyOf, type Call } from './history.ts'
import type { Commit, Evidence, StoredSecret } from './ledger.ts'
import { mayAny, sees } from './load.ts'
import { infoBody, type Operation, type State, step, unused } from './model.ts'

/** What was seen, in numbers. */
export interface Counts {
  /** Calls that were answered. */
  answered: number
  /** Values that callers received. */
  values: number
  /** Changes that were acknowledged and made. */
  changes: number
  /** Calls that had no answer when the server died. */
  unanswered: number
  /** Changes that were made though nobody was told. */
  silent: number
  /** Changes that were on the log and not made: closed as abandoned by the next start. */
  abandoned: number
  /** Reads that are on the log though the answer never came. */
  unread: number
  /** Answers without a record of their own: they gave nothing, or the log was down. */
  unrecorded: number
}

/** A call on one secret. */
type SecretCall = Call & { readonly operation: Operation }

/** How one secret went through a round: the state before, and after each of its commits. */
interface Course {
  readonly states: State[]
  readonly calls: SecretCall[]
}

const changing = new Set(['put', 'create-version', 'activate', 'delete-version', 'delete'])

/** Judges round after round of one state directory. */
export class Judge {
  readonly #states = new Map<string, State>()
  readonly #faults: boolean

  /**
   * With `faults`, parts of the server may have been down: a call may be answered with 500, and is
   * then one of unknown outcome; what reveals nothing may lack its record.
   */
  constructor({ faults = false }: { faults?: boolean } = {}) {
    this.#faults = faults
  }

  /** The secrets as they must be now, by name. */
  get states(): ReadonlyMap<string, State> {
    return this.#states
  }

  /** Judges a round; throws at the first thing that is wrong. */
  judge(calls: readonly Call[], { records, commits, abandoned }: Evidence): Counts {
    const answered = calls.filter(({ answer }) => answer !== undefined)
    const courses = this.#follow(calls, commits)
    for (const call of answered) {
      if (this.#faults && call.answer?.status === 500) continue
      checkAnswer(call, courses, this.#states)
    }
    const { unread, unrecorded } = checkRecords(calls, records, this.#faults)
    for (const [name, { states }] of courses) this.#states.set(name, states.at(-1) as State)
    const made = new Set([...courses.values()].flatMap((course) => course.calls))
    return {
      answered: answered.length,
      values: answered.filter(isValue).length,
      changes: [...made].filter(isTold).length,
      unanswered: calls.length - answered.length,
      silent: [...made].filter((call) => !isTold(call)).length,
      abandoned,
      unread,
      unrecorded,
    }
  }

  /** Holds the tables of the store against the secrets as they must be. */
  compare(stored: ReadonlyMap<string, StoredSecret>): void {
    const expected = new Map(
      [...this.#states].map(([name, { incarnation, active, highest, values, removed }]) => {
        const versions = [...values.keys()]
        return [name, { incarnation, active, highest, versions, removed, bytes: versions }]
      }),
    )
    for (const [name, secret] of stored) {
      assert.deepEqual(secret, expected.get(name), `the store has another ${name}`)
    }
    assert.equal(stored.size, expected.size, 'the store lacks a name, or has one too many')
  }

  /** Runs the commits through the model, each with the call that it was made for. */
  #follow(calls: readonly Call[], commits: readonly Commit[]): Map<string, Course> {
    const byRequest = new Map(calls.map((call) => [call.answer?.request, call]))
    const lost = new Set(
      calls.filter(({ answer, operation }) => !answer && changing.has(operation.method)),
    )
    const courses = new Map<string, Course>()
    for (const { record } of commits) {
      const course = courses.get(record.secret) ?? {
        states: [this.#states.get(record.secret) ?? unused],
        calls: [],
      }
      courses.set(record.secret, course)
      const call = byRequest.get(record.request) ?? takeLost(lost, record)
      assert.ok(call && 'name' in call.operation, `nobody asked for the change ${record.id}`)
      const { operation } = call
      assert.deepEqual(
        [operation.method, operation.name, call.from],
        [record.verb, record.secret, record.principal.ip],
        `the change ${record.id} is not what was asked for`,
      )
      const before = course.states.at(-1) as State
      const { outcome, next } = step(before, operation)
      assert.notEqual(next, before, `the change ${record.id} changes nothing`)
      assert.equal(record.secretVersion, versionOf(operation, next), `change ${record.id}`)
      if (call.answer && (isTold(call) || !this.#faults)) {
        assert.equal(call.answer.status, outcome.status, `change ${record.id}`)
        if (call.answer.whole) assert.equal(call.answer.body, outcome.body, `change ${record.id}`)
      }
      const late = course.calls.find(({ begun }) => begun > endOf(call))
      assert.equal(late, undefined, `change ${record.id} took effect after a later one`)
      course.calls.push(call as SecretCall)
      course.states.push(next)
    }
    return courses
  }
}

/** Whether a caller knows how its call came out. */
function isTold({ answer }: Call): boolean {
  return answer !== undefined && answer.status !== 500
}

/** When a call had taken effect at the latest. */
function endOf(call: Call): number {
  return isTold(call) ? call.ended : Number.POSITIVE_INFINITY
}

/** The unanswered call that `record` announces: a caller has one change of a secret under way. */
function takeLost(lost: Set<Call>, { principal, secret, verb }: ChangeEntry): Call | undefined {
  for (const call of lost) {
    const { operation, from } = call
    if (operation.method === 'list' || operation.name !== secret) continue
    if (from !== principal.ip || operation.method !== verb) continue
    lost.delete(call)
    return call
  }
  return undefined
}

function versionOf(operation: Operation, next: State): number | undefined {
  if (operation.method === 'put') return next.highest
  return 'version' in operation ? operation.version : undefined
}

/** An answer must be what the model gives in a state that the secret was in meanwhile. */
function checkAnswer(
  call: Call,
  courses: ReadonlyMap<string, Course>,
  states: ReadonlyMap<string, State>,
): void {
  const { operation, answer } = call
  if (answer === undefined) return
  assert.ok(answer.status < 500 || answer.status === 503, `${operation.method}: ${answer.status}`)
  if (answer.status === 503 || answer.status === 403) return
  if (operation.method === 'list') return checkList(call, courses, states)
  const course = courses.get(operation.name)
  if (course?.calls.includes(call as SecretCall)) return
  const possible = between(call, course, states.get(operation.name))
  // A change that was given up on was committed after all, beneath one that was computed meanwhile.
  if (answer.status === 409 && possible.length > 1) return
  const fits = possible.some((state) => {
    const { outcome, next } = step(state, operation)
    if (next !== state || outcome.status !== answer.status) return false
    if (answer.status !== 200) return true
    return answer.whole ? outcome.body === answer.body : outcome.body?.startsWith(answer.body)
  })
  assert.ok(fits, `${describe(call)} fits no state: ${JSON.stringify(possible.map(brief))}`)
}

function checkList(
  call: Call,
  courses: ReadonlyMap<string, Course>,
  states: ReadonlyMap<string, State>,
): void {
  const { answer } = call
  if (!answer?.whole) return
  const listed = JSON.parse(answer.body) as { Name: string }[]
  const items = new Map(listed.map((item) => [item.Name, JSON.stringify(item)]))
  for (const name of new Set([...items.keys(), ...states.keys(), ...courses.keys()])) {
    const fits = between(call, courses.get(name), states.get(name)).some((state) =>
      state.active === 0 || !sees(call.from, name)
        ? !items.has(name)
        : items.get(name) === infoBody(name, state),
    )
    assert.ok(fits, `a list tells ${items.get(name)} of ${name}`)
  }
}

/** The states that a secret may have been in between a call and its answer. */
function between(call: Call, course: Course | undefined, before: State = unused): State[] {
  if (course === undefined) return [before]
  const first = course.calls.findLastIndex((change) => endOf(change) < call.begun) + 1
  const end = course.calls.findIndex(({ begun }) => begun > call.ended)
  return course.states.slice(first, end < 0 ? undefined : end + 1)
}

/**
 * Every answer has its record, and every record its call. Returns how many reads are on the log
 * whose answers never came, and how many answers have no record.
 */
function checkRecords(
  calls: readonly Call[],
  records: Evidence['records'],
  faults: boolean,
): { unread: number; unrecorded: number } {
  const byRequest = new Map(
    records.flatMap(({ record }) =>
      'request' in record ? [[record.request, record] as const] : [],
    ),
  )
  const abandoned = new Set(
    records.flatMap(({ record }) => (record.kind === 'abandoned' ? [record.of] : [])),
  )
  let [unread, unrecorded] = [0, 0]
  for (const call of calls) {
    if (call.answer === undefined) continue
    const { request, status } = call.answer
    const record = byRequest.get(request)
    byRequest.delete(request)
    // What is answered while the server stops was not begun.
    if (status === 503 || (faults && status === 500)) continue
    const optional = gaveNothing(call) || (faults && revealsNothing(call))
    if (status === 304) assert.equal(record, undefined, 'a conditional get left a record')
    else if (record === undefined && optional) unrecorded++
    else checkRecord(call, record as (Stamp & (AccessEntry | ChangeEntry)) | undefined, abandoned)
  }
  const unanswered = calls.filter(({ answer }) => answer === undefined)
  for (const record of byRequest.values()) {
    if (record.kind !== 'access' && record.kind !== 'change') continue
    const at = unanswered.findIndex(
      (call) =>
        call.from === record.principal.ip &&
        actionOf(call.operation) === record.action &&
        nameOf(call) === record.secret,
    )
    assert.ok(at >= 0, `nobody asked for what record ${record.id} tells`)
    unanswered.splice(at, 1)
    if (record.kind === 'access' && record.action === 'get') unread++
  }
  return { unread, unrecorded }
}

/** Whether an answer gave its caller nothing, so that it may be told as a number. */
function gaveNothing({ operation, answer }: Call): boolean {
  // A delete that did something is on the log, or the store would not have it.
  if (operation.method === 'delete') return true
  if (operation.method === 'list') return answer?.body === '[]'
  return [400, 403, 404, 412].includes(answer?.status ?? 0)
}

/** Whether an answer neither holds a value nor tells of one, and acknowledges no change. */
function revealsNothing({ operation, answer }: Call): boolean {
  return answer?.status !== 200 || !['get', 'put', 'create-version'].includes(operation.method)
}

function checkRecord(
  call: Call,
  record: (Stamp & (AccessEntry | ChangeEntry)) | undefined,
  abandoned: ReadonlySet<number>,
): void {
  const { operation, from, answer } = call
  assert.ok(record, `${describe(call)} has no record`)
  const { status, body } = answer as NonNullable<typeof answer>
  assert.deepEqual(
    [record.principal.ip, record.action, record.secret],
    [from, actionOf(operation), nameOf(call)],
    `the record of ${describe(call)} is another's`,
  )
  if (isValue(call)) {
    const version = Number(/"Version":(\d+)}$/.exec(body)?.[1] ?? record.secretVersion)
    assert.deepEqual(
      [record.kind, 'result' in record && record.result, record.authorized, record.secretVersion],
      ['access', 'ok', true, version],
      `the record of ${describe(call)}`,
    )
  } else if (record.kind === 'access') {
    const results = resultsBy[status] ?? []
    assert.ok(results.includes(record.result), `${describe(call)} was recorded as ${record.result}`)
  } else if (status === 409) {
    // It was announced, and lost to one that came before it.
    assert.ok(abandoned.has(record.id), `${describe(call)} was not recorded as abandoned`)
  } else {
    assert.equal(status, 200, `${describe(call)} was recorded as a change`)
  }
}

/** What an access may be recorded as, by the status of its answer. */
const resultsBy: Readonly<Record<number, readonly string[]>> = {
  // A delete of nothing succeeds.
  200: ['ok', 'unchanged', 'not-found'],
  400: ['refused'],
  403: ['denied'],
  404: ['not-found'],
  412: ['refused'],
}

function isValue({ operation, answer }: Call): boolean {
  return operation.method === 'get' && answer?.status === 200
}

/** The name on the record: a long request of a caller who has its action on no name is not decoded. */
function nameOf({ operation, from }: Call): string | undefined {
  if (!('name' in operation)) return undefined
  const isLong = Buffer.byteLength(JSON.stringify(bodyOf(operation))) > UNCOUNTED_BYTES
  return isLong && !mayAny(from, operation.method) ? undefined : operation.name
}

function actionOf({ method }: Call['operation']): string {
  if (method === 'list') return 'info'
  return method === 'delete-version' ? 'delete' : method
}

function describe({ operation, from, begun, ended, answer }: Call): string {
  const asked = JSON.stringify(operation).slice(0, 200)
  const got = `${answer?.status} ${answer?.body.slice(0, 200)}`
  return `${asked} from ${from} (${begun} to ${ended}, ${answer?.request}), answered ${got},`
}

function brief({ active, highest, values, removed }: State): unknown {
  return { active, highest, versions: [...values.keys()], removed }
}
