/**
 * Takes answers from the service alone. Whatever stands in front of it, or in its place, may say 200: a portal, a
 * proxy, another program on the port. An answer without the form of the service is neither a success nor a verdict.
 */

/** An answer that is not the service's. */
export class ForeignAnswer extends Error {
  readonly origin: string
  readonly status: number
  /** What it says that it is. */
  readonly type: string | undefined

  constructor(origin: string, { statusCode, headers }: Pick<Response, 'statusCode' | 'headers'>) {
    super('an answer of something else')
    this.origin = origin
    this.status = statusCode
    this.type = headers['content-type']?.split(';')[0]
  }
}

/** An answer before the SDK reads it. */
export interface RawAnswer {
  /** As the SDK names it, such as `GetObjectCommand`. */
  readonly command: string
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Undefined for a body that is not read here. */
  readonly text: string | undefined
}

/** How answers of a service are known. */
export interface Proof {
  readonly isOwn: (answer: RawAnswer) => boolean
  /** Commands whose content is streamed to the caller. */
  readonly streams?: readonly string[]
}

/** More than the longest answer that is read whole: a page of a listing. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024

interface Response {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string | undefined>>
  body: (AsyncIterable<Uint8Array> & { destroy?: () => void }) | Uint8Array
}

interface Call {
  readonly request: { protocol?: string; hostname?: string; port?: number }
}

/** The stack of a client, as far as it is used here. */
interface Stack {
  add(
    middleware: (
      next: (call: Call) => Promise<{ response: Response }>,
      context: { commandName?: string },
    ) => (call: Call) => Promise<{ response: Response }>,
    options: { step: 'deserialize'; priority: 'low'; name: string; override: boolean },
  ): void
}

/** Has every call of a client rejected with `ForeignAnswer` whose answer is not proven to be the service's. */
export function demandProof(
  { middlewareStack }: { middlewareStack: unknown },
  { isOwn, streams = [] }: Proof,
): void {
  ;(middlewareStack as Stack).add(
    (next, { commandName: command = '' }) =>
      async (call) => {
        const result = await next(call)
        const { response } = result
        const { statusCode: status, headers } = response
        const streamed = status < 300 && streams.includes(command)
        const bytes = streamed ? undefined : await wholeOf(response.body)
        if (bytes && isOwn({ command, status, headers, text: bytes.toString() })) {
          response.body = bytes
        } else if (bytes && saysLater(status)) {
          // Whoever says it: the SDK tries again, and has no form to read.
          response.body = new Uint8Array()
        } else if (!streamed || !isOwn({ command, status, headers, text: undefined })) {
          if ('destroy' in response.body) response.body.destroy?.()
          throw new ForeignAnswer(originOf(call), response)
        }
        return result
      },
    { step: 'deserialize', priority: 'low', name: 'demandProof', override: true },
  )
}

/** What a proxy or a balancer says for a service that is not there at present. */
function saysLater(status: number): boolean {
  return status >= 500 || status === 429
}

/** Undefined for one that has no end. */
async function wholeOf(body: Response['body']): Promise<Buffer | undefined> {
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of body instanceof Uint8Array ? [body] : body) {
    pieces.push(piece)
    size += piece.byteLength
    if (size > MAX_ANSWER_BYTES) return undefined
  }
  return Buffer.concat(pieces)
}

function originOf({ request: { protocol = '', hostname = '', port } }: Call): string {
  return `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`
}
