/**
 * The test vectors of docs/internals/audit-format.md, a folder for each case: the log, and in `expect.json`
 * what a verifier finds.
 */
import { join } from 'node:path'
import { macLogs } from './macs.ts'
import { damagedLogs } from './damaged.ts'
import { wholeLogs } from './whole.ts'

/** The text of every file of every vector, by its path. */
export async function auditVectorFiles(): Promise<Map<string, string>> {
  const files = new Map<string, string>()
  const logs = [...(await wholeLogs()), ...(await damagedLogs()), ...(await macLogs())]
  for (const [name, { log, expectation }] of logs) {
    const folder = join(expectation.report.ok ? 'whole' : 'damaged', name)
    if (files.has(join(folder, 'expect.json'))) throw new Error(`Two vectors are named ${name}`)
    files.set(join(folder, 'expect.json'), `${JSON.stringify(expectation, undefined, 2)}\n`)
    for (const [segment, text] of log) files.set(join(folder, 'log', segment), text)
  }
  return files
}
