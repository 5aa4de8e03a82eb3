/** The release of the program, as package.json has it. */
import { readFileSync } from 'node:fs'

/** Such as `0.1.0`. */
export const version: string = read()

function read(): string {
  // Two folders up in the sources, and in the published program, where this is in dist/chunks/.
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
