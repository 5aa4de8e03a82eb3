/**
 * The test vectors of docs/internals/format.md: what must open, one file for each structure, and what must be
 * refused, one file for each way to be wrong.
 */
import { keyFiles, keyrings, rootKeys } from './keys.ts'
import { kmsWraps } from './kms.ts'
import { transitWraps } from './transit.ts'
import { recoveryWraps } from './recovery.ts'
import { backends, references } from './references.ts'
import { rootRotations, roots } from './roots.ts'
import { states } from './states.ts'
import type { Vector } from './crypto-vector.ts'
import { versions } from './versions.ts'

/** The text of every file by its path. */
export function cryptoVectorFiles(): Map<string, string> {
  const files = new Map<string, string>()
  const valid = new Map<string, Record<string, Vector>>()
  const names = new Set<string>()
  for (const [name, vector] of [
    ...versions(),
    ...keyrings(),
    ...states(),
    ...roots(),
    ...rootRotations(),
    ...references(),
    ...backends(),
    ...rootKeys(),
    ...recoveryWraps(),
    ...kmsWraps(),
    ...transitWraps(),
    ...keyFiles(),
  ] satisfies [string, Vector][]) {
    if (names.has(name)) throw new Error(`Two vectors are named ${name}`)
    names.add(name)
    if (vector.expect === 'ok') {
      const file = `valid/${vector.structure}.json`
      valid.set(file, { ...valid.get(file), [name]: vector })
    } else files.set(`${name}.json`, textOf(vector))
  }
  for (const [file, vectors] of valid) files.set(file, textOf(vectors))
  return files
}

function textOf(content: Vector | Record<string, Vector>): string {
  return `${JSON.stringify(content, undefined, 2)}\n`
}
