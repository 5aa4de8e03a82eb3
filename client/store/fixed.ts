/** Handles without a store, for tests, and for programs that move to one step by step. */
import { readFile } from 'node:fs/promises'
import { systemError } from '../platform/system-error.ts'
import type { Secret } from './secret.ts'

/** A secret that always has this value. */
export function fixedSecret(
  value: string | Uint8Array,
  { name = 'fixed', clock = () => new Date() }: { name?: string; clock?: () => Date } = {},
): Secret {
  const bytes = typeof value === 'string' ? Buffer.from(value) : Uint8Array.from(value)
  return Object.freeze({
    name,
    version: 1,
    since: clock(),
    bytes: () => Uint8Array.from(bytes),
    text: () => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes),
  })
}

/** A secret that has what the file at `path` has now, to the byte. Rejects with `local` where it cannot be read. */
export async function fixedFile(path: string): Promise<Secret> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw systemError(error, 'read the file', path)
  })
  return fixedSecret(bytes, { name: path })
}
