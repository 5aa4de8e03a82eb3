/** What of the answer of `npm audit` is reported, and what of it fails. */
import type { Packages } from './shipped.ts'

/** An advisory that is known and does not fail, until a day. */
export interface Exception {
  /** As in its address: `GHSA-…`. */
  readonly advisory: string
  readonly package: string
  /** The last day, as 2026-12-31. */
  readonly until: string
  readonly why: string
}

/** What is said, a line each, and which of it fails. */
export interface Verdict {
  readonly lines: readonly string[]
  readonly failures: readonly string[]
}

/** The answer of `npm audit --json`, as far as it is used here. */
interface Report {
  readonly vulnerabilities?: Readonly<Record<string, Vulnerable>>
}

interface Vulnerable {
  readonly severity: string
  /** Where it is installed, as in the lock file. */
  readonly nodes: readonly string[]
  /** What is wrong with it; a name is that of a package below it, which has an entry of its own. */
  readonly via: readonly (string | { readonly title: string; readonly url: string })[]
  readonly fixAvailable: unknown
}

/**
 * Judges `answer`, the text that `npm audit --json` printed, on the day `today`. Only an advisory on a package that
 * ships, for which there is a fixed release, fails; exceptions are for that, and those whose day is past or that no
 * advisory needs any more fail as well. An answer that is none is said, and fails nothing: who was not asked has found
 * nothing.
 */
export function judge(
  answer: string,
  packages: Packages,
  exceptions: readonly Exception[],
  today: string,
): Verdict {
  const vulnerabilities = reportIn(answer)?.vulnerabilities
  if (vulnerabilities === undefined) {
    const reason = answer.replaceAll(/\s+/g, ' ').slice(0, 300)
    return {
      lines: ['NOT ASKED: the registry gave no advisories, so this says nothing', reason],
      failures: [],
    }
  }
  const names = new Set([...packages].map((each) => each.slice(0, each.lastIndexOf('@'))))
  const lines: string[] = []
  const failures: string[] = []
  const used = new Set<Exception>()
  for (const [name, { severity, via, nodes, fixAvailable }] of Object.entries(vulnerabilities)) {
    const isShipped = names.has(name)
    const isFixed = fixAvailable !== false && fixAvailable !== undefined
    for (const each of via) {
      if (typeof each === 'string') continue
      const id = each.url.slice(each.url.lastIndexOf('/') + 1)
      const where = isShipped ? 'ships' : 'development alone'
      const fix = isFixed ? 'there is a fixed release' : 'there is no fixed release'
      const line = `${name}: ${id} (${severity}): ${each.title}; ${where}; ${fix}; ${nodes.join(', ')}`
      lines.push(line)
      const known = exceptions.find((one) => one.advisory === id && one.package === name)
      if (known) used.add(known)
      if (isShipped && isFixed && (!known || known.until < today)) failures.push(line)
    }
  }
  for (const each of exceptions) {
    const what = `the exception for ${each.advisory} of ${each.package}`
    if (!used.has(each)) failures.push(`${what} is not needed any more`)
    else if (each.until < today) failures.push(`${what} was until ${each.until}`)
  }
  if (lines.length === 0) lines.push('no advisory on any package of the lock file')
  return { lines, failures }
}

function reportIn(answer: string): Report | undefined {
  try {
    return JSON.parse(answer) as Report
  } catch {
    return undefined
  }
}
