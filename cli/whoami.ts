/** `sotto whoami [NAME]` */
import { quote } from '../client/api/errors.ts'
import type { Invocation } from './invocation.ts'
import { table, visible } from './text.ts'

/** Prints who the server takes the caller for. */
export async function whoami(invocation: Invocation): Promise<void> {
  const name = invocation.word(0) === undefined ? undefined : invocation.name()
  const self = await invocation.client().whoami(name)
  const { Hostname, IP, User, Tags, Rules, Allowed = [] } = self
  await invocation.print(self, () => {
    const rows = [
      ['Node:', Hostname],
      ['Address:', IP],
      ...(User === undefined ? [] : [['User:', User]]),
      ...(Tags === undefined ? [] : [['Tags:', Tags.join(', ')]]),
      ...(Rules.length === 0 ? [['Rules:', 'none']] : []),
      ...Rules.map((rule, at) => [
        at === 0 ? 'Rules:' : '',
        `${rule.action.join(', ')} on ${rule.secret.join(', ')}`,
      ]),
      ...(name === undefined
        ? []
        : [['Allowed:', `${Allowed.join(', ') || 'nothing'} on ${quote(name)}`]]),
    ]
    return table(rows.map((row) => row.map(visible)))
  })
}
