/** The text exposition format of Prometheus, version 0.0.4. */
import type { Family, LabelSets } from './family.ts'
import type { Instrument } from './instruments.ts'

/** The media type of a page. */
export const PAGE_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** One metric of a page: what it is, and a line for each of its samples. */
export function familyText({ head, series }: Family<LabelSets, Instrument>): string {
  let text = `# HELP ${head.name} ${escapeHelp(head.help)}\n# TYPE ${head.name} ${head.type}\n`
  for (const { labels, instrument } of series) {
    const own = Object.entries(labels).map(([name, value]) => pair(name, value))
    for (const { suffix, le, value } of instrument.samples()) {
      const all = le === undefined ? own : [...own, pair('le', numberText(le))]
      const braces = all.length === 0 ? '' : `{${all.join(',')}}`
      text += `${head.name}${suffix}${braces} ${numberText(value)}\n`
    }
  }
  return text
}

function pair(name: string, value: string): string {
  return `${name}="${escapeHelp(value).replaceAll('"', '\\"')}"`
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

/** As Go's ParseFloat reads it. */
function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value)
}
