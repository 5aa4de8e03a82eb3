/**
 * Marks of projections as custom metadata of OpenBao. A mark is written after its revision, so that an entry
 * of someone else is never touched.
 */
import type { Mark } from '../contract.ts'

const KEY = 'sotto'

const spelling = /^(\d+) ([0-9A-Za-z-]+) (\d+)\.(\d+) ([0-9a-f]+)$/

/** The custom metadata that marks `revision`. */
export function noteOf(mark: Mark, revision: number): Record<string, string> {
  const { store, incarnation, version, fingerprint } = mark
  return { [KEY]: `${revision} ${store} ${incarnation}.${version} ${fingerprint}` }
}

/** The mark of `revision` among custom metadata; undefined where it has none. */
export function markIn(
  notes: Readonly<Record<string, unknown>>,
  revision: number,
): Mark | undefined {
  const [, of, store, incarnation, version, fingerprint] = spelling.exec(String(notes[KEY])) ?? []
  if (Number(of) !== revision || store === undefined || fingerprint === undefined) return undefined
  return { store, incarnation: Number(incarnation), version: Number(version), fingerprint }
}
