/** Finds variables of the environment that are misspelt, most likely. */
import type { Environment } from '../client/api/given.ts'

/** What may be meant for Sotto. */
const suspicious = /^S[OT]{2,5}[_-]/i

/** A sentence for each variable that was meant for Sotto, and that nothing reads: as `strayVariables`, which is loaded only if needed. */
export async function strayNotes(env: Environment, all: boolean): Promise<string[]> {
  const suspects = Object.keys(env).filter(
    (name) => suspicious.test(name) && name !== 'SOTTO_SERVER',
  )
  if (suspects.length === 0) return []
  const { strayVariables } = await import('./stray-variables.ts')
  return strayVariables(suspects, all)
}
