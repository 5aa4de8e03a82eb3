/** Reads answers of Valkey and Redis as they come, in the older form of their protocol. */

/** An answer: a line or bytes as text, a number, a list, or nothing. */
export type Answer = string | number | null | readonly Answer[]

/** Bytes that may wait for the end of an answer: far more than any that is asked for. */
const MAX_BYTES = 1024 * 1024
/** Lists in lists. */
const MAX_DEPTH = 8

/** Takes bytes, and gives answers. */
export class AnswerReader {
  #bytes = Buffer.alloc(0)

  /** Takes more. */
  add(chunk: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
  }

  /** The next answer, an error where it is one; undefined: it is not whole yet. Throws for what is no answer. */
  next(): { readonly is: Answer | Error } | undefined {
    const found = this.#parse(0, 0)
    if (found) this.#bytes = this.#bytes.subarray(found.end)
    else if (this.#bytes.length > MAX_BYTES) throw new Error('its answer does not end')
    return found
  }

  #parse(
    start: number,
    depth: number,
  ): { readonly is: Answer | Error; readonly end: number } | undefined {
    const lineEnd = this.#bytes.indexOf('\r\n', start)
    if (lineEnd === -1) return undefined
    const sign = this.#bytes.toString('latin1', start, start + 1)
    const line = this.#bytes.toString('utf8', start + 1, lineEnd)
    const end = lineEnd + 2
    const count = Number(line)
    switch (sign) {
      case '+':
        return { is: line, end }
      case '-':
        return { is: new Error(line), end }
      case ':':
        return { is: count, end }
      case '$':
        return this.#bulk(count, end)
      case '*':
        return this.#list(count, end, depth)
      default:
        throw new Error('it speaks another protocol')
    }
  }

  #bulk(length: number, start: number) {
    if (length === -1) return { is: null, end: start }
    if (!(length >= 0 && length <= MAX_BYTES)) throw new Error('its answer is too long')
    const end = start + length
    if (this.#bytes.length < end + 2) return undefined
    return { is: this.#bytes.toString('utf8', start, end), end: end + 2 }
  }

  #list(length: number, start: number, depth: number) {
    if (length === -1) return { is: null, end: start }
    if (!(length >= 0 && length <= MAX_BYTES) || depth === MAX_DEPTH) {
      throw new Error('its answer is too long')
    }
    const items: Answer[] = []
    let end = start
    for (let at = 0; at < length; at++) {
      const item = this.#parse(end, depth + 1)
      if (!item) return undefined
      items.push(item.is instanceof Error ? item.is.message : item.is)
      ;({ end } = item)
    }
    return { is: items, end }
  }
}
