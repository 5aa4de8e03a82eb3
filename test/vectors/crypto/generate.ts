/**
 * Makes the test vectors of docs/format.md, one file for each case, always the same bytes: what
 * must open, and one case for each way to be wrong. Run by `npm run vectors`.
 */
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { keyFiles, keyrings, rootKeys } from './keys.ts'
import { kmsWraps } from './kms.ts'
import { transitWraps } from './transit.ts'
import { recoveryWraps } from './recovery.ts'
import { backends, references } from './references.ts'
import { states } from './states.ts'
import type { Vector } from './vector.ts'
import { versions } from './versions.ts'

/** The text of every vector by the name of its file. */
export function vectorFiles(): Map<string, string> {
  const files = new Map<string, string>()
  for (const [name, vector] of [
    ...versions(),
    ...keyrings(),
    ...states(),
    ...references(),
    ...backends(),
    ...rootKeys(),
    ...recoveryWraps(),
    ...kmsWraps(),
    ...transitWraps(),
    ...keyFiles(),
  ] satisfies [string, Vector][]) {
    if (files.has(`${name}.json`)) throw new Error(`Two vectors are named ${name}`)
    files.set(`${name}.json`, `${JSON.stringify(vector, undefined, 2)}\n`)
  }
  return files
}

if (import.meta.main) {
  // Files of cases that are no more go away.
  for (const file of readdirSync(import.meta.dirname)) {
    if (file.endsWith('.json')) rmSync(join(import.meta.dirname, file))
  }
  for (const [file, text] of vectorFiles()) writeFileSync(join(import.meta.dirname, file), text)
}
