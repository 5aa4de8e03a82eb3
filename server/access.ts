/** Decides what rules allow. Pure: no I/O, no clock, nothing remembered. */
import type { Action, Principal, Rule } from '../client/api/types.ts'

/** A caller that the network has named, and what the policy lets it do. */
export interface Caller {
  readonly principal: Principal
  readonly rules: readonly Rule[]
  /** The StableID of the calling node, which no other node ever has; absent on a development tailnet. */
  readonly node?: string
}

/**
 * Whether `rules` allow `action` on the secret `name`. Rules add up and nothing denies; no rule, no
 * access. Where no secret is concerned `name` is empty, which only patterns such as `*` match.
 */
export function allows(rules: readonly Rule[], action: Action, name: string): boolean {
  return ruleFor(rules, action, name) !== undefined
}

/** The first of `rules` that allows `action` on `name`, or undefined when none does. */
function ruleFor(rules: readonly Rule[], action: Action, name: string): Rule | undefined {
  return rules.find(
    (rule) => rule.action.includes(action) && rule.secret.some((pattern) => matches(pattern, name)),
  )
}

/**
 * Whether `pattern` matches the whole of `name`: `*` stands for any run of characters, slashes and
 * the empty run included, and every other character for itself. Linear in the length of `name` for
 * each star, whatever the pattern.
 */
export function matches(pattern: string, name: string): boolean {
  const parts = pattern.split('*')
  const first = parts[0] as string
  const last = parts[parts.length - 1] as string
  if (parts.length === 1) return pattern === name
  if (name.length < first.length + last.length) return false
  if (!name.startsWith(first) || !name.endsWith(last)) return false
  let at = first.length
  const end = name.length - last.length
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}
