/** Rules out of the capabilities that the tailnet's policy gives to a caller. */
import { z } from 'zod'
import { folded } from '../../../client/api/go-json.ts'
import type { Rule } from '../../../client/api/types.ts'

/** The capability whose values are rules, and the older name that is read when it gives none. */
export const defaultCapabilities: readonly string[] = [
  'tailscale.com/cap/secrets',
  'https://tailscale.com/cap/secrets',
]

/** Capabilities towards a node by name, as tailscaled reports them. */
export type Capabilities = Readonly<Record<string, readonly unknown[] | null>>

/** A list of words as Go reads it: null is an empty list, and in a list an empty word. */
const words = z
  .array(
    z
      .string()
      .nullable()
      .transform((word) => word ?? ''),
  )
  .nullish()
  .transform((list) => list ?? [])

const rule = z.object({ action: words, secret: words })

/**
 * The rules under the first of `names` that has any. Throws a plain Error with the reason when one
 * of its values is not a rule: a policy that is not understood as a whole could deny or allow anything.
 */
export function rulesIn(capabilities: Capabilities, names: readonly string[]): readonly Rule[] {
  for (const name of names) {
    const values = Object.hasOwn(capabilities, name) ? (capabilities[name] ?? []) : []
    if (values.length > 0) return values.map((value, at) => ruleOf(value, `${name}[${at}]`))
  }
  return []
}

function ruleOf(value: unknown, place: string): Rule {
  // Go reads null as nothing said, and nothing else than an object as a rule.
  const result = rule.safeParse(value === null ? {} : fieldsOf(value))
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const path = [place, ...(issue?.path ?? [])].join('.')
  throw new Error(`the policy gives it no rule at ${path}: ${issue?.message}`)
}

/** The fields of a rule, whose names Go matches in any case. */
function fieldsOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const fields: Record<string, unknown> = {}
  for (const [key, field] of Object.entries(value)) {
    const name = folded(key)
    if (name === 'action' || name === 'secret') fields[name] = field
  }
  return fields
}
