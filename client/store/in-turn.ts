/** Does one thing after the other. */
export class InTurn {
  #last: Promise<unknown> = Promise.resolve()

  /** Does `act` after what was given before it, however that came out. Resolves and rejects as `act`. */
  do<T>(act: () => Promise<T>): Promise<T> {
    const result = this.#last.then(act)
    this.#last = result.catch(() => {})
    return result
  }
}
