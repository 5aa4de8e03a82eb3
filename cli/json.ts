/** JSON as commands print it: one line, with fields in camelCase. */
import { visible } from '../client/api/visible.ts'

/** Fields whose value is data: what it holds is printed as it is. */
export const dataFields: ReadonlySet<string> = new Set([
  // Of a backend: spelled as in a file for `sotto backend apply`.
  'Config',
  // Of a mirror: numbers by the state of secrets.
  'Counts',
  // Of the manifest of a backup: what later releases add, by name.
  'notes',
])

/** `data` as a line of JSON. Fields of the API, which has setec's spelling, become camelCase. */
export function jsonLine(data: unknown): string {
  return recordLine(camelCased(data))
}

/** A record of the audit log as a line of JSON: with its fields as they are in the log. */
export function recordLine(record: unknown): string {
  return `${visible(JSON.stringify(record))}\n`
}

function camelCased(data: unknown): unknown {
  if (Array.isArray(data)) return data.map(camelCased)
  // A date, for one, has a spelling of its own.
  if (typeof data !== 'object' || data === null || 'toJSON' in data) return data
  return Object.fromEntries(
    Object.entries(data).map(([field, value]) => [
      fieldName(field),
      dataFields.has(field) ? value : camelCased(value),
    ]),
  )
}

/** `ActiveVersion` as `activeVersion`, `NodeID` as `nodeId`. */
function fieldName(field: string): string {
  if (!/^[A-Z][A-Za-z0-9]*$/.test(field)) return field
  // A word is a capital and what follows, or a run of capitals such as URL.
  const words = field.match(/[A-Z]+(?![a-z])|[A-Z][a-z0-9]*/g) ?? []
  const [first = '', ...rest] = words.map((word) => word.toLowerCase())
  return first + rest.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('')
}
