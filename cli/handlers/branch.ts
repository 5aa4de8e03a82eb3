/** The branch of a store: whether its server may change what is outside. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { OperationResponse } from '../../client/api/operations.ts'
import type { Invocation } from '../invocation.ts'
import { table } from '../terminal/table.ts'
import { confirm } from './confirmation.ts'

type Status = OperationResponse<'branch-status'>

/** `sotto branch [adopt] [TOKEN]` */
export async function branch(invocation: Invocation): Promise<void> {
  const act = invocation.word(0)
  if (act !== undefined && act !== 'adopt') {
    const hint = 'It is `sotto branch`, or `sotto branch adopt`.'
    throw new SottoError('usage', `Cannot ${quote(act)} a branch`, { hint })
  }
  const client = invocation.client()
  const found = await client.operate('branch-status', {})
  const token = invocation.word(1)
  const isSure = token !== undefined || invocation.on('yes')
  if (act === undefined || !isSure) await invocation.print(found, (room) => described(found, room))
  if (act === undefined) return
  confirm(invocation, `branch-adopt:${found.Branch}`, token)
  const adopted = await client.operate('branch-adopt', { Branch: found.Branch })
  await invocation.print(adopted, (room) => described(adopted, room))
}

function described(status: Status, room: number | undefined): string {
  const { Branch, Adopted, Reason, Former, Start, Backends, BackupTarget } = status
  const facts = [
    ['Branch:', Branch],
    ['Adopted:', Adopted ? 'yes' : 'no'],
    ...(Reason === undefined ? [] : [['Because:', Reason]]),
    ...(Former.length === 0 ? [] : [['Before:', Former.join(' ')]]),
    ['Start:', String(Start)],
    ...(BackupTarget === undefined ? [] : [['Backups:', BackupTarget]]),
  ]
  const rows = Backends.map(({ Name, Secrets, Leftovers, Mirror = [], Place }) => {
    return [Name, `${Secrets}`, `${Leftovers}`, Mirror.join(' '), Place]
  })
  const head = ['BACKEND', 'SECRETS', 'LEFTOVERS', 'MIRRORS', 'PLACE']
  const list = rows.length === 0 ? '' : table([head, ...rows], { room })
  return table(facts, { room }) + list
}
