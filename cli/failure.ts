/** How the program failed, as a person reads it. */
import { SottoError } from '../client/api/errors.ts'
import { visible } from '../client/api/visible.ts'

/** `error` as it is reported; undefined for a fault of this program. */
export async function knownFailure(error: unknown): Promise<SottoError | undefined> {
  if (error instanceof SottoError) return error
  // Loaded only for a failure.
  const { bareSystemError } = await import('../client/platform/system-error.ts')
  return bareSystemError(error)
}

/** The lines that say what failed, and what to do. */
export function failureText(message: string, hint: string | undefined): string {
  return `sotto: ${visible(message)}\n${hint === undefined ? '' : `hint: ${visible(hint)}\n`}`
}

/** What a fault of this program is, and where: its message could hold what was being worked on. */
export function faultOf(error: unknown): { readonly message: string; readonly stack: string[] } {
  const stack = error instanceof Error ? String(error.stack).match(/^ +at .*$/gm) : []
  const kind = error instanceof Error ? error.constructor.name : typeof error
  const code = error instanceof Error && 'code' in error ? ` ${String(error.code)}` : ''
  return {
    message: `the program failed: ${kind}${code}`,
    stack: (stack ?? []).map((place) => place.trim()),
  }
}
