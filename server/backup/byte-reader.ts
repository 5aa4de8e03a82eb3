/** Takes bytes from a stream in the sizes in which they are wanted. */

/** Reads `source` in order. Holds no more than one piece of it besides what is asked for. */
export class ByteReader implements AsyncDisposable {
  readonly #source: AsyncIterator<Uint8Array>
  #rest: Buffer = Buffer.alloc(0)
  #ended = false

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** The next `size` bytes, the reader's own until the next call; fewer at the end alone. */
  async take(size: number): Promise<Buffer> {
    if (this.#rest.length >= size) return this.#cut(size)
    const pieces = [this.#rest]
    let found = this.#rest.length
    while (found < size && !this.#ended) {
      const { value, done } = await this.#source.next()
      if (done === true) this.#ended = true
      else {
        pieces.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength))
        found += value.byteLength
      }
    }
    this.#rest = Buffer.concat(pieces)
    return this.#cut(Math.min(size, found))
  }

  /** Lets go of the source. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    await this.#source.return?.()
  }

  #cut(size: number): Buffer {
    const taken = this.#rest.subarray(0, size)
    this.#rest = this.#rest.subarray(size)
    return taken
  }
}
