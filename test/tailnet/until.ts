/** Waiting for what tells nobody when it is ready: other programs. */
import { setTimeout as delay } from 'node:timers/promises'

/**
 * Resolves when `isSo` does with true; an error of it counts as false. Rejects after `withinMs`,
 * naming `what` and ending with what `explain` says.
 */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  what: string,
  explain: () => string = () => '',
  withinMs = 15_000,
): Promise<void> {
  let reason = ''
  for (const end = performance.now() + withinMs; performance.now() < end; await delay(5)) {
    try {
      if (await isSo()) return
    } catch (error) {
      reason = `: ${(error as Error).message}`
    }
  }
  const context = explain().slice(-4000)
  throw new Error(`Waited ${withinMs} ms in vain for ${what}${reason}\n${context}`)
}
