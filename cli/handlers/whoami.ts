/** `sotto whoami [NAME]`. */
import { quote } from '../../client/api/errors.ts'
import { secretActions } from '../../client/api/types.ts'
import type { Identity } from '../../client/client.ts'
import type { Invocation } from '../invocation.ts'
import { table } from '../terminal/table.ts'

/** A label, empty where it is that of the row above, and what it is for. */
type Row = readonly [label: string, text: string]

/** Prints who the server takes the caller for. */
export async function whoami(invocation: Invocation): Promise<void> {
  const name = invocation.word(0)
  const self = await invocation.client().whoami(name)
  const rows = [
    ...whoRows(self),
    ...ruleRows(self),
    ...(name === undefined ? asOperator(self) : on(name, self)),
  ]
  await invocation.print(self, (room) => table(rows, { room }))
}

function whoRows({ Hostname, IP, NodeID, User, Tags }: Identity): Row[] {
  return [
    ['Node:', Hostname],
    ...(NodeID === undefined ? [] : [['Node ID:', NodeID] as const]),
    ['Address:', IP],
    ...(User === undefined ? [] : [['User:', User] as const]),
    ...(Tags === undefined ? [] : [['Tags:', Tags.join(', ')] as const]),
  ]
}

function ruleRows({ Rules }: Identity): Row[] {
  if (Rules.length === 0) return [['Rules:', 'none']]
  return labelled(
    'Rules:',
    Rules.map(
      ({ action, secret }, at) => `${at + 1}. ${action.join(', ')} on ${secret.join(', ')}`,
    ),
  )
}

/** What the rules allow where no secret is concerned; nothing for most callers. */
function asOperator({ Allowed = [] }: Identity): Row[] {
  return Allowed.length === 0 ? [] : [['Operator:', Allowed.join(', ')]]
}

/** What the rules allow on `name`, by which rule, and what no rule allows. */
function on(name: string, { Allowed = [], AllowedBy = [] }: Identity): Row[] {
  const allowed = Allowed.map((action) => {
    const by = AllowedBy.find((each) => each.Action === action)
    const reason = by ? ` by rule ${by.Rule + 1}, ${quote(by.Pattern)}` : ''
    return `${action} on ${quote(name)}${reason}`
  })
  const denied = secretActions.filter((action) => !Allowed.includes(action)).join(', ')
  return [
    ...labelled('Allowed:', allowed.length > 0 ? allowed : [`nothing on ${quote(name)}`]),
    ...(denied === '' ? [] : [['Denied:', `${denied} on ${quote(name)}`] as const]),
  ]
}

function labelled(label: string, texts: readonly string[]): Row[] {
  return texts.map((text, at) => [at === 0 ? label : '', text])
}
