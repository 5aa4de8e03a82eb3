/** Runs work that may rest to its end, without a rest. */
export function finished<T>(work: Generator<void, T>): T {
  let step = work.next()
  while (step.done !== true) step = work.next()
  return step.value
}
