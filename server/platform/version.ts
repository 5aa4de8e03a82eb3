/** The release of the program, as package.json has it. */
import { readFileSync } from 'node:fs'

/** Such as `0.1.0`. */
export const version: string = read()

function read(): string {
  // From source the file is one folder up; compiled, the sources are a folder deeper.
  const up = import.meta.url.endsWith('.ts') ? '../../package.json' : '../../../package.json'
  const text = readFileSync(new URL(up, import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
