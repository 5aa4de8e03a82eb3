/** The release of the program, as package.json has it. */
import { readFileSync } from 'node:fs'

/** Such as `0.1.0`. */
export const { version } = JSON.parse(
  // The build writes the version in place of this module: .ci/build.ts.
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { readonly version: string }
