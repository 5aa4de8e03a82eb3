/** `POST /api/get-many`: several secrets in one answer. */
import { errorTable } from '../../client/api/errors.ts'
import { decodeMany } from '../../client/api/many.ts'
import type { ReadPosition } from '../gate/position.ts'
import { turns } from '../platform/turns.ts'
import type { Item, ManySecrets } from '../secrets/many.ts'
import { codeOf, ok } from './answer.ts'
import { UNCOUNTED_BYTES } from './exchange.ts'
import { type Handler, type HandlerParts, handlerOf } from './handle.ts'

/** Bytes of a value that are made text at once: without padding but in the last. */
const PIECE_BYTES = 48 * 1024

/** Makes the handler. */
export function getManyHandler(
  parts: HandlerParts,
  secrets: ManySecrets,
  position: ReadPosition,
): Handler {
  return handlerOf(parts, 'get-many', {
    demand: async (call, bytes) => {
      if (bytes > UNCOUNTED_BYTES) await parts.gate.demandAny(call, 'get')
    },
    decode: (body) => decodeMany('get-many', body),
    act: async (call, request) => {
      const at = position.text
      const items = await secrets.get(call, request)
      let refused = 0
      for (const item of items) {
        if (!('error' in item)) continue
        if (item.error.code === 'denied') refused++
        if (errorTable[item.error.code].status >= 500) parts.errorLog.note(call.request, item.error)
      }
      const answer = ok(await turns.finish(jsonOfItems(items)))
      return refused === items.length ? answer : { ...answer, headers: ['Sotto-Revision', at] }
    },
  })
}

/** The answer, in pieces. The values are zeroed. */
function* jsonOfItems(items: readonly Item[]): Generator<void, Buffer[]> {
  const pieces: Buffer[] = []
  let text = '{"Secrets":['
  for (const [index, item] of items.entries()) {
    text += `${index === 0 ? '' : ','}{"Name":${JSON.stringify(item.name)}`
    if ('error' in item) text += `,"Error":"${codeOf(item.error)}"`
    else if ('unchanged' in item) text += `,"Unchanged":true,"Version":${item.unchanged}`
    else {
      text += ',"Value":"'
      for (let at = 0; at < item.value.length; at += PIECE_BYTES) {
        text += item.value.subarray(at, at + PIECE_BYTES).toString('base64')
        if (text.length < PIECE_BYTES) continue
        pieces.push(Buffer.from(text))
        text = ''
        yield
      }
      item.value.fill(0)
      text += `","Version":${item.version}`
    }
    text += '}'
  }
  pieces.push(Buffer.from(`${text}]}`))
  return pieces
}
