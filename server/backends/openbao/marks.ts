/**
 * Marks of projections as custom metadata of OpenBao. A mark is written after its revision, so that an entry
 * of someone else is never touched.
 */
import { NO_BRANCH } from '../../store/branch.ts'
import type { Mark } from '../contract.ts'

const KEY = 'sotto'

/** Earlier releases wrote no owner after the fingerprint. */
const spelling =
  /^(\d+) ([0-9A-Za-z-]+) (\d+)\.(\d+) ([0-9a-f]+)(?: k(\d+))?(?: (\d+)\.([0-9a-f]{16})\.(\d+))?$/

/** The custom metadata that marks `revision`. */
export function noteOf(mark: Mark, revision: number): Record<string, string> {
  const { store, incarnation, version, key = 1, fingerprint, backend, branch, start } = mark
  const by = `${key === 1 ? '' : ` k${key}`} ${backend}.${branch}.${start}`
  return { [KEY]: `${revision} ${store} ${incarnation}.${version} ${fingerprint}${by}` }
}

/** The mark of `revision` among custom metadata; undefined where it has none. */
export function markIn(
  notes: Readonly<Record<string, unknown>>,
  revision: number,
): Mark | undefined {
  const found = spelling.exec(String(notes[KEY]))
  const [, of, store, incarnation, version, fingerprint] = found ?? []
  if (Number(of) !== revision || store === undefined || fingerprint === undefined) return undefined
  const [key, backend = '0', branch = NO_BRANCH, start = '0'] = found?.slice(6) ?? []
  return {
    store,
    backend: Number(backend),
    branch,
    start: Number(start),
    incarnation: Number(incarnation),
    version: Number(version),
    ...(key !== undefined && { key: Number(key) }),
    fingerprint,
  }
}
