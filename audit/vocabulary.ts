/** What records say was done, in one vocabulary: that of the column WHAT, and of questions by action. */
import { callErrors } from '../client/api/calls.ts'
import { actions } from '../client/api/types.ts'
import type { AuditRecord } from './record.ts'

/** What a record is about, in a word or two. */
export function whatOf(record: AuditRecord): string {
  if (record.kind === 'access') return record.operation ?? record.action
  if (record.kind === 'change') return record.verb
  return 'verb' in record ? `${record.kind.replace('-', ' ')} ${record.verb}` : record.kind
}

/** Whether a record is about `word`: it says so itself, or the act takes that action of the rules. */
export function isAbout(record: AuditRecord, word: string): boolean {
  return whatOf(record) === word || ('action' in record && record.action === word)
}

const ofKinds: readonly string[] = [
  ...['add', 'remove', 'rewrap'].map((verb) => `key ${verb}`),
  ...['add', 'move', 'erase'].map((verb) => `keyring ${verb}`),
  ...['rotate', 'settle'].map((verb) => `root key ${verb}`),
  ...['create', 'edit', 'delete'].map((verb) => `backend ${verb}`),
  ...['create', 'edit', 'delete', 'step'].map((verb) => `rotation ${verb}`),
  ...['show', 'hide', 'remove'].map((verb) => `place ${verb}`),
  'backup',
  'prune',
  'rehearsal',
  'restore',
  'adopt',
  'abandoned',
  'unidentified',
  'refusals',
  'start',
  'stop',
  'format',
  'segment',
  'reserve',
]

/** Every word that `whatOf` gives, and every action of the rules. */
export const auditWords: readonly string[] = [
  ...new Set([...actions, ...Object.keys(callErrors), ...ofKinds]),
]
