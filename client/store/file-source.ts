/** Secrets from a file, in place of a server: for tests, for development, and for machines without a network. */
import { quote, SottoError } from '../api/errors.ts'
import { refuseForeign } from '../platform/owned.ts'
import { readTextFile } from '../platform/text-file.ts'
import { readEntries, readValue } from './cache.ts'
import type { Source } from './source.ts'

/**
 * The secrets in the file at `path`, as they are now. The format is that of a cache and of setec's file client:
 * `{"NAME": {"secret": {"Version": 1, "Value": "BASE64"}}}`, where `"TextValue"` may stand in for `"Value"`. An entry
 * without a value or with version 0 does not count. Rejects with `local` for what is not such a file, and with `unsafe`
 * where others could put another in its place.
 */
export async function fileSource(path: string): Promise<Source> {
  const what = 'file of secrets'
  refuseForeign(path, `the ${what} ${quote(path)}`)
  const entries = readEntries(await readTextFile(path, what))
  if (entries === undefined) {
    const message = `Cannot use the ${what} ${quote(path)}: it is not a JSON object of objects`
    throw new SottoError('local', message, {
      hint: 'Write it as {"NAME": {"secret": {"Version": 1, "TextValue": "…"}}}.',
    })
  }
  const values = new Map(
    entries.flatMap(([name, { secret }]) => {
      const value = readValue(secret) ?? readText(secret)
      return value ? [[name, value]] : []
    }),
  )
  const get: Source['get'] = async (name) => {
    const value = values.get(name)
    if (value) return value
    const message = `Cannot get ${quote(name)}: the ${what} ${quote(path)} does not have it`
    throw new SottoError('not_found', message)
  }
  return {
    server: `file:${path}`,
    fixed: true,
    get,
    getIfChanged: async (name, held) => {
      const value = await get(name)
      return value.Version === held ? undefined : value
    },
  }
}

/** A value that a person wrote. */
function readText(secret: unknown): Awaited<ReturnType<Source['get']>> | undefined {
  const { Version, TextValue } = (secret ?? {}) as Record<string, unknown>
  if (typeof TextValue !== 'string' || !Number.isInteger(Version) || (Version as number) < 1)
    return undefined
  return { Value: Buffer.from(TextValue), Version: Version as number }
}
