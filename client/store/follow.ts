/** Waiting for the versions of a secret that a store holds. */
import type { SecretValue } from '../api/types.ts'
import { abortable } from './aborted.ts'
import type { HeldSecret } from './secret.ts'

/**
 * The versions of `held` after the one that it has, until `ends`. Throws what the server refused it with, where it was looked
 * up. `holds`: waiting keeps the process running.
 */
export function follow(
  held: HeldSecret,
  ends: AbortSignal,
  holds: boolean,
): AsyncGenerator<SecretValue, void> {
  let seen = held.value.Version
  return (async function* versions() {
    while (!ends.aborted) {
      if (!held.declared && held.refusal?.code === 'denied') throw held.refusal
      const { Value, Version } = held.value
      if (Version === seen) {
        const changed = abortable(held.changed, ends).catch(() => {})
        await (holds ? holding(changed) : changed)
      } else {
        seen = Version
        yield { Value: Uint8Array.from(Value), Version }
      }
    }
  })()
}

/** Resolves as `task` does. Until then the process goes on: the timers of a poll keep none running. */
async function holding(task: Promise<void>): Promise<void> {
  const timer = setInterval(() => {}, 2_147_483_647)
  try {
    await task
  } finally {
    clearInterval(timer)
  }
}
