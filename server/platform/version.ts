/** The release of the program, as package.json has it. */
import { readFileSync } from 'node:fs'

/** Such as `0.1.0`. */
export const { version } = JSON.parse(
  // Two folders up in the sources, and in the published program, where this is in dist/chunks/.
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { readonly version: string }
