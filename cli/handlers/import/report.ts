/** The report of an import, for a person and for a program. */
import type { Client } from '../../../client/client.ts'
import { table } from '../../terminal/table.ts'
import type { Outcome, Report, Result } from './importer.ts'

/** What the report is about. */
export interface About {
  readonly source: Client
  readonly destination: Client
  readonly dryRun: boolean
  readonly halted: boolean
}

/** How many secrets ended so. */
export function countOf({ results }: Report, outcome: Outcome): number {
  return results.filter((result) => result.outcome === outcome).length
}

/** A line for each secret. */
export function asTable({ results }: Report, room: number | undefined): string {
  const rows = results.map((result) => [result.name, labels[result.outcome], ...noteOf(result)])
  return table([['NAME', 'RESULT', 'NOTE'], ...rows], { room })
}

/** The same and more, for programs. */
export function asJson({ results, others, compared }: Report, about: About): object {
  return {
    source: about.source.server,
    destination: about.destination.server,
    dryRun: about.dryRun,
    interrupted: about.halted,
    compared,
    others,
    secrets: results,
  }
}

/** What a person needs to know in addition to the table. */
export function wordsFor(report: Report, about: About): string {
  const lines = [countLine(report)]
  const source = about.source.server
  const destination = about.destination.server
  if (report.compared > 0) {
    lines.push(`Versions whose values are equal on both, by digest: ${report.compared}.`)
  }
  if (report.others.length > 0) {
    lines.push(
      `Secrets of ${destination} that ${source} does not show: ${report.others.length}. They were left alone.`,
    )
  }
  if (about.dryRun) {
    lines.push('Nothing was written and no value was read: values that differ show in a run.')
  } else {
    lines.push(
      `Each value that was read is in the audit log of ${source}. That log stays there: setec does not say`,
      'which numbers were deleted, who made a version and when, or who read it.',
    )
  }
  if (about.halted || report.ended !== undefined) {
    lines.push(
      'The import is not complete: run the same command again before any client is switched.',
    )
  } else if (!about.dryRun && countOf(report, 'failed') === 0) {
    lines.push(
      `Clients are switched by setting SETEC_SERVER to ${destination}. What changes at the source until`,
      'then comes over when this is run again.',
    )
  }
  return lines.map((line) => `${line}\n`).join('')
}

const labels: Readonly<Record<Outcome, string>> = {
  imported: 'imported',
  there: 'already there',
  failed: 'FAILED',
  planned: 'to import',
  unfinished: 'not done',
  'left-out': 'left out',
}

function noteOf({ outcome, added, active, own, reason }: Result): string[] {
  const verb = outcome === 'planned' ? 'adds' : 'added'
  const parts = [
    ...(reason === undefined ? [] : [reason]),
    ...(added.length === 0 ? [] : [`${verb} ${added.join(',')}`]),
    ...(outcome === 'imported' || outcome === 'planned' ? [`active ${active}`] : []),
    ...(own.length === 0 ? [] : [`keeps ${own.join(',')}, which the source lacks`]),
  ]
  return parts.length === 0 ? [] : [parts.join('; ')]
}

function countLine(report: Report): string {
  const parts = (Object.keys(labels) as Outcome[])
    .map((outcome): [string, number] => [labels[outcome], countOf(report, outcome)])
    .filter(([, count]) => count > 0)
    .map(([label, count]) => `${count} ${label === 'FAILED' ? 'failed' : label}`)
  return `Of ${report.results.length} secrets: ${parts.join(', ')}.`
}
