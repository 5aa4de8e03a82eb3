/** What callers did and what they saw, in the order in which a single observer saw it. */
import type { Answer, Line } from './line.ts'
import type { Operation } from './model.ts'

/** A call of the API. */
export interface Call {
  readonly operation: Operation | { readonly method: 'list' }
  /** The loopback address of the caller. */
  readonly from: string
  /** When it was sent: a place in the order of all sendings and answers. */
  readonly begun: number
  /** When its answer came; infinite while none did. */
  ended: number
  answer: Answer | undefined
}

/** The calls of one round. */
export class History {
  readonly calls: Call[] = []
  #now = 0

  /** Calls `operation` on `line`, which belongs to the caller `from`, and takes note of the answer. */
  async call(line: Line, from: string, operation: Call['operation']): Promise<Call> {
    const call: Call = {
      operation,
      from,
      begun: this.#now++,
      ended: Number.POSITIVE_INFINITY,
      answer: undefined,
    }
    this.calls.push(call)
    const { method } = operation
    const body = bodyOf(operation)
    call.answer = await line.call(method, body)
    if (call.answer !== undefined) call.ended = this.#now++
    return call
  }
}

/** The fields of the request for `operation`. */
export function bodyOf(operation: Call['operation']): Readonly<Record<string, unknown>> {
  if (operation.method === 'list') return {}
  const { name: Name } = operation
  if (operation.method === 'get') {
    return { Name, Version: operation.version, UpdateIfChanged: operation.held === true }
  }
  return {
    Name,
    ...('version' in operation && { Version: operation.version }),
    ...('value' in operation && { Value: operation.value }),
  }
}
