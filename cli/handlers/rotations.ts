/** Rotations: what makes new versions of secrets, and how far each is. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { OperationResponse } from '../../client/api/operations.ts'
import { rotationConfig } from '../../client/api/rotations.ts'
import { toSeconds } from '../../client/api/times.ts'
import { visible } from '../../client/api/visible.ts'
import type { Invocation } from '../invocation.ts'
import { table } from '../terminal/table.ts'
import { readRotations } from './rotation-file.ts'
import { applyFile } from './spec-file.ts'

type Rotation = OperationResponse<'rotation-describe'>

/** `sotto rotation list` */
export async function rotationList(invocation: Invocation): Promise<void> {
  const rotations = await invocation.client().operate('rotation-list', {})
  await invocation.print(rotations, (room) => {
    if (rotations.length === 0) return 'No rotation is set up.\n'
    const rows = rotations.map(({ Name, Kind, Secret = '', Due, Overdue }) => {
      const due = Due === undefined ? 'when told' : toSeconds(Due)
      return [Name, Kind, Secret, Overdue ? 'overdue' : due]
    })
    return table([['NAME', 'KIND', 'SECRET', 'DUE'], ...rows], { room })
  })
}

/** `sotto rotation describe NAME` */
export async function rotationDescribe(invocation: Invocation): Promise<void> {
  const Name = invocation.word(0) ?? ''
  const rotation = await invocation.client().operate('rotation-describe', { Name })
  await invocation.print(rotation, (room) => {
    const { CreatedAt, Config = {} } = rotation
    const rows = [['Name:', rotation.Name], ['Created:', CreatedAt], ...fieldsOf(Config)]
    return table(rows, { room })
  })
}

/** `sotto rotation create NAME` */
export async function rotationCreate(invocation: Invocation): Promise<void> {
  const Name = invocation.word(0) ?? ''
  const secret = invocation.text('secret')
  if (secret === undefined) {
    throw new SottoError('usage', 'rotation create needs --secret', {
      hint: 'Other rotations are set up from a file: see `sotto help rotation apply`.',
    })
  }
  const schedule = invocation.text('schedule')
  const given = { kind: 'generated', secret, ...(schedule !== undefined && { schedule }) }
  const parsed = rotationConfig.safeParse(given)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    const flag = String(issue?.path[0] ?? 'secret')
    throw new SottoError('usage', `Cannot use --${flag}: it ${issue?.message}`)
  }
  const made = await invocation.client().operate('rotation-create', { Name, Config: parsed.data })
  await invocation.print(made, () => `Created rotation ${quote(Name)}; ${dueOf(made)}\n`)
}

/** `sotto rotation apply -f FILE`: makes each rotation of the file as it is described there. */
export async function rotationApply(invocation: Invocation): Promise<void> {
  await applyFile(invocation, {
    noun: 'rotation',
    kind: 'secretrotation',
    read: readRotations,
    send: (client, spec) => client.operate('rotation-apply', spec),
    line: ({ Rotation: made, Result }) => `Rotation ${quote(made.Name)}: ${Result}; ${dueOf(made)}`,
  })
}

/** `sotto rotation delete NAME` */
export async function rotationDelete(invocation: Invocation): Promise<void> {
  const Name = invocation.word(0) ?? ''
  await invocation.client().operate('rotation-delete', { Name })
  await invocation.print({}, () => `Deleted rotation ${quote(Name)}\n`)
}

/** `sotto rotation plan NAME`. Throws `rotation_state` when something is in the way of a run. */
export async function rotationPlan(invocation: Invocation): Promise<void> {
  const Name = invocation.word(0) ?? ''
  const plan = await invocation.client().operate('rotation-plan', { Name })
  await invocation.print(plan, (room) => {
    const steps = plan.Steps.map((step, at) => [`${at + 1}.`, step])
    const dates = plan.Dates.map((date) => ['Due:', toSeconds(date)])
    return table([...steps, ...dates], { room })
  })
  const [first] = plan.Problems
  if (first === undefined) return
  throw new SottoError('rotation_state', `Cannot run rotation ${quote(Name)} now: ${first}`)
}

/** `sotto rotation status [NAME]` */
export async function rotationStatus(invocation: Invocation): Promise<void> {
  const Name = invocation.word(0)
  const request = Name === undefined ? {} : { Name }
  const rotations = await invocation.client().operate('rotation-status', request)
  await invocation.print(rotations, (room) => {
    if (rotations.length === 0) return 'No rotation is set up.\n'
    const urgent = rotations.toSorted((a, b) => urgency(b) - urgency(a))
    const rows = urgent.map((each) => [
      each.Name,
      stateOf(each),
      toSeconds(each.Since),
      lastOf(each),
    ])
    const head = table([['NAME', 'STATE', 'SINCE', 'LAST DONE'], ...rows], { room })
    const notes = urgent
      .filter((each) => Name !== undefined || urgency(each) > 0)
      .map((each) => `\n${visible(each.Name)}: ${noteOf(each)}\n`)
    return [head, ...notes].join('')
  })
}

/** `sotto rotation run NAME` */
export async function rotationRun(invocation: Invocation): Promise<void> {
  await act(
    invocation,
    'rotation-run',
    ({ Name, Run }) => `Run ${Run} of rotation ${quote(Name)} began`,
  )
}

/** `sotto rotation abort NAME` */
export async function rotationAbort(invocation: Invocation): Promise<void> {
  await act(
    invocation,
    'rotation-abort',
    ({ Name, Run }) => `Run ${Run} of rotation ${quote(Name)} ends`,
  )
}

/** `sotto rotation retire NAME` */
export async function rotationRetire(invocation: Invocation): Promise<void> {
  await act(
    invocation,
    'rotation-retire',
    ({ Name }) => `The old version of rotation ${quote(Name)} is being retired`,
  )
}

/** `sotto rotation reconcile NAME` */
export async function rotationReconcile(invocation: Invocation): Promise<void> {
  await act(
    invocation,
    'rotation-reconcile',
    ({ Name, Step }) => `Rotation ${quote(Name)} continues: ${Step}`,
  )
}

/** `sotto rotation done NAME --version N` */
export async function rotationDone(invocation: Invocation): Promise<void> {
  const Name = invocation.word(0) ?? ''
  const Version = invocation.versionFlag('version', 1)
  if (Version === 0) {
    throw new SottoError('usage', 'rotation done needs --version, the number of a version', {
      hint: '`sotto put` says the number.',
    })
  }
  const rotation = await invocation.client().operate('rotation-done', { Name, Version })
  await invocation.print(rotation, () => `Version ${Version} is taken; it becomes the active one\n`)
}

async function act(
  invocation: Invocation,
  operation: 'rotation-run' | 'rotation-abort' | 'rotation-retire' | 'rotation-reconcile',
  words: (rotation: Rotation) => string,
): Promise<void> {
  const Name = invocation.word(0) ?? ''
  const rotation = await invocation.client().operate(operation, { Name })
  await invocation.print(rotation, () => `${words(rotation)}\n`)
}

function dueOf({ Due }: Rotation): string {
  return Due === undefined ? 'it runs when it is told to' : `due ${toSeconds(Due)}`
}

/** More for what waits for a person. */
function urgency({ Held, Overdue, Step }: Rotation): number {
  if (Held) return 3
  if (Overdue) return 2
  return Step === 'converging' ? 1 : 0
}

function stateOf({ Step, Run, Held, Overdue }: Rotation): string {
  const late = Overdue ? ', overdue' : ''
  if (Held) return `held: ${Held.Reason}${late}`
  return Run === 0 ? `no run yet${late}` : `run ${Run}: ${Step}${late}`
}

function lastOf({ Done }: Rotation): string {
  if (!Done) return 'never'
  const version = Done.Version === undefined ? '' : `, version ${Done.Version}`
  return `${toSeconds(Done.At)}${version}`
}

function noteOf({ Next, Attempts, Error: code, Missed, Due }: Rotation): string {
  const failed = Attempts > 0 ? ` Failed ${Attempts} times in a row: ${code ?? ''}.` : ''
  const missed = Missed > 0 ? ` Windows missed so far: ${Missed}.` : ''
  return visible(`${Next}${failed}${missed}${Due === undefined ? '' : ` Due ${toSeconds(Due)}.`}`)
}

/** The fields of a config, those of an object in it as `object.field`. */
function fieldsOf(config: object, prefix = ''): [name: string, value: string][] {
  return Object.entries(config).flatMap(([name, value]): [string, string][] => {
    if (typeof value === 'object' && value !== null) return fieldsOf(value, `${prefix}${name}.`)
    return [[`${prefix}${name}:`, String(value)]]
  })
}
