/** Decides what rules allow. Pure: no I/O, no clock, nothing remembered. */
import type { Action, Principal, Rule } from '../client/api/types.ts'

/** A caller that the network has named, and what the policy lets it do. */
export interface Caller {
  readonly principal: Principal
  readonly rules: readonly Rule[]
  /** The StableID of the calling node, which no other node ever has; absent on a development tailnet. */
  readonly node?: string
  /** Whether it is an operator of the host: root, or the user of the server, who could read its memory anyway. */
  readonly onHost?: true
}

/** What allows an action on a name. */
export interface Grant {
  /** The place of the rule among the caller's, from 0. */
  readonly rule: number
  /** The pattern of the rule that matches. */
  readonly pattern: string
}

/** Whether a name is meant. Patterns are compiled into one, once for all the names that it is asked about. */
export type Matcher = (name: string) => boolean

/**
 * Whether `rules` allow `action` on the secret `name`. Rules add up and nothing denies; no rule, no
 * access. Where no secret is concerned `name` is empty, which only patterns such as `*` match.
 */
export function allows(rules: readonly Rule[], action: Action, name: string): boolean {
  return grantOf(rules, action, name) !== undefined
}

/** What `allows` says of each of many names. */
export function allowing(rules: readonly Rule[], action: Action): Matcher {
  const concerned = rules.filter((rule) => rule.action.includes(action))
  return matcherOf(concerned.flatMap(({ secret }) => secret))
}

/**
 * Whether `rules` allow `action` on every name that `pattern` matches, by one of their patterns alone: what
 * only several of them cover together counts as not allowed.
 */
export function allowsEach(rules: readonly Rule[], action: Action, pattern: string): boolean {
  // In the place of a star of `pattern`; no well-formed text has it.
  return allows(rules, action, pattern.replaceAll('*', '\uD800'))
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

/** Whether one of `patterns` matches a name. Those without a star cost as much as one of them. */
export function matcherOf(patterns: readonly string[]): Matcher {
  const names = new Set(patterns.filter((pattern) => !pattern.includes('*')))
  const compiled = [...new Set(patterns)]
    .filter((pattern) => pattern.includes('*'))
    .map((pattern) => pattern.split('*'))
  return (name) => names.has(name) || compiled.some((parts) => fits(parts, name))
}

/**
 * Whether `pattern` matches the whole of `name`: `*` matches any run of characters, slashes and
 * the empty run included, and every other character itself. Linear in the length of `name` for
 * each star, whatever the pattern.
 */
export function matches(pattern: string, name: string): boolean {
  return pattern.includes('*') ? fits(pattern.split('*'), name) : pattern === name
}

/** Whether `name` is what is between the stars, `parts`, in their order. There are two at least. */
function fits(parts: readonly string[], name: string): boolean {
  const first = parts[0] as string
  const last = parts[parts.length - 1] as string
  if (name.length < first.length + last.length) return false
  if (!name.startsWith(first) || !name.endsWith(last)) return false
  let at = first.length
  const end = name.length - last.length
  for (let middle = 1; middle < parts.length - 1; middle++) {
    const part = parts[middle] as string
    const found = name.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}
