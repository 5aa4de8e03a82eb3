/** Errors of the operating system and of Node. */

/** The code of an error, such as `ENOENT`; undefined for what has none. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
