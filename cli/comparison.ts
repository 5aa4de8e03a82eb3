/** How two values of secrets differ, without what is in them. */
import { isDeepStrictEqual } from 'node:util'
import { jsonFields, typeOf } from './json-value.ts'

/** A field of one or both of two JSON objects. */
export interface FieldChange {
  readonly field: string
  readonly change: 'added' | 'removed' | 'changed'
  /** Of the JSON: in the second, or in the first where it is removed. */
  readonly type: string
  /** What it was in the first, where that is another. */
  readonly was?: string
}

/** How two values differ. */
export interface Comparison {
  readonly equal: boolean
  /** Where both are JSON objects: the fields that differ, by name; none where only the spelling does. */
  readonly fields?: readonly FieldChange[]
}

/** Compares `a` with `b`. */
export function comparisonOf(a: Uint8Array, b: Uint8Array): Comparison {
  if (Buffer.compare(a, b) === 0) return { equal: true }
  const [from, to] = [jsonFields(a), jsonFields(b)]
  if (!from || !to) return { equal: false }
  const names = [...new Set([...from.keys(), ...to.keys()])].toSorted()
  const fields = names.flatMap((field): FieldChange[] => {
    const [was, type] = [typeOf(from.get(field)), typeOf(to.get(field))]
    if (!to.has(field)) return [{ field, change: 'removed', type: was }]
    if (!from.has(field)) return [{ field, change: 'added', type }]
    if (isDeepStrictEqual(from.get(field), to.get(field))) return []
    return [{ field, change: 'changed', type, ...(was !== type && { was }) }]
  })
  return { equal: false, fields }
}

/** A comparison in rows for people. */
export function rowsOf({ fields = [] }: Comparison): string[][] {
  return fields.map(({ field, change, type, was }) => [
    change,
    field,
    was === undefined ? type : `${type}, was ${was}`,
  ])
}

/** What differs, with the values, as lines: those of the first with `- `, those of the second with `+ `. */
export function revealed(a: Uint8Array, b: Uint8Array): string {
  const [from, to] = [jsonFields(a), jsonFields(b)]
  const { fields = [] } = comparisonOf(a, b)
  if (!from || !to || fields.length === 0) return linesOf(a, b)
  return fields
    .flatMap(({ field, change }) => {
      const line = (sign: string, value: unknown): string =>
        `${sign} ${JSON.stringify(field)}: ${JSON.stringify(value)}\n`
      return [
        ...(change === 'added' ? [] : [line('-', from.get(field))]),
        ...(change === 'removed' ? [] : [line('+', to.get(field))]),
      ]
    })
    .join('')
}

/** The lines between what both begin with and what both end with. */
function linesOf(a: Uint8Array, b: Uint8Array): string {
  const [from, to] = [a, b].map((each) => Buffer.from(each).toString('utf8').split('\n'))
  if (!from || !to) return ''
  const most = Math.min(from.length, to.length)
  let start = 0
  while (start < most && from[start] === to[start]) start++
  let end = 0
  while (end < most - start && from.at(-1 - end) === to.at(-1 - end)) end++
  const between = (lines: readonly string[], sign: string): string[] =>
    lines.slice(start, lines.length - end).map((line) => `${sign} ${line}\n`)
  return [...between(from, '-'), ...between(to, '+')].join('')
}
