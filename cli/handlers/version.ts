/** `sotto version`. */
import { version } from '../../server/platform/version.ts'
import type { Invocation } from '../invocation.ts'

/** Prints the release. */
export async function showVersion(invocation: Invocation): Promise<void> {
  const node = process.version
  await invocation.print({ version, node }, () => `sotto ${version}\n`)
}
