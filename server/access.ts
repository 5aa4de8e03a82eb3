/** Decides what rules allow. Pure: no I/O, no clock, nothing remembered. */
import type { Action, Principal, Rule } from '../client/api/types.ts'

/** A caller that the network has named, and what the policy lets it do. */
export interface Caller {
  readonly principal: Principal
  readonly rules: readonly Rule[]
  /** The StableID of the calling node, which no other node ever has; absent on a development tailnet. */
  readonly node?: string
}

/** What allows an action on a name. */
export interface Grant {
  /** The place of the rule among the caller's, from 0. */
  readonly rule: number
  /** The pattern of the rule that matches. */
  readonly pattern: string
}

/**
 * Whether `rules` allow `action` on the secret `name`. Rules add up and nothing denies; no rule, no
 * access. Where no secret is concerned `name` is empty, which only patterns such as `*` match.
 */
export function allows(rules: readonly Rule[], action: Action, name: string): boolean {
  return grantOf(rules, action, name) !== undefined
}

/**
 * Whether `rules` allow `action` on every name that `pattern` matches, by one of their patterns alone: what
 * only several of them cover together counts as not allowed.
 */
export function allowsEach(rules: readonly Rule[], action: Action, pattern: string): boolean {
  return rules.some(
    (rule) => rule.action.includes(action) && rule.secret.some((each) => covers(each, pattern)),
  )
}

/** The first thing in `rules` that allows `action` on `name`, or undefined when nothing does. */
export function grantOf(rules: readonly Rule[], action: Action, name: string): Grant | undefined {
  for (const [rule, each] of rules.entries()) {
    if (!each.action.includes(action)) continue
    const pattern = each.secret.find((candidate) => matches(candidate, name))
    if (pattern !== undefined) return { rule, pattern }
  }
  return undefined
}

/**
 * Whether `pattern` matches the whole of `name`: `*` matches any run of characters, slashes and
 * the empty run included, and every other character itself. Linear in the length of `name` for
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

/** Whether `wide` matches every name that `pattern` matches: its stars take those of `pattern`. */
function covers(wide: string, pattern: string): boolean {
  // In the place of a star of `pattern`; no well-formed text has it.
  return matches(wide, pattern.replaceAll('*', '\uD800'))
}
