/**
 * Makes the test vectors of docs/audit-format.md, a folder for each case, always the same bytes:
 * the log, and in `expect.json` what a verifier finds. Run by `npm run vectors`.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { damagedLogs } from './damaged.ts'
import { wholeLogs } from './whole.ts'

/** The text of every file of every vector, by its path. */
export async function vectorFiles(): Promise<Map<string, string>> {
  const files = new Map<string, string>()
  for (const [name, { log, expectation }] of [...(await wholeLogs()), ...(await damagedLogs())]) {
    const folder = join(expectation.report.ok ? 'whole' : 'damaged', name)
    if (files.has(join(folder, 'expect.json'))) throw new Error(`Two vectors are named ${name}`)
    files.set(join(folder, 'expect.json'), `${JSON.stringify(expectation, undefined, 2)}\n`)
    for (const [segment, text] of log) files.set(join(folder, 'log', segment), text)
  }
  return files
}

if (import.meta.main) {
  const files = await vectorFiles()
  // Cases that are no more go away.
  for (const entry of readdirSync(import.meta.dirname, { withFileTypes: true })) {
    if (entry.isDirectory()) rmSync(join(import.meta.dirname, entry.name), { recursive: true })
  }
  for (const [file, text] of files) {
    const path = join(import.meta.dirname, file)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
}
