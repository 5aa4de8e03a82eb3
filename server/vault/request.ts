/** What a request of a Vault client asks for: the operation, the path and the query, as OpenBao reads them. */
import type { IncomingMessage } from 'node:http'
import { SottoError } from '../../client/api/errors.ts'

/** What can be done to a path. `other`: any method that none of them is; `unclear`: it is neither a list nor not. */
export type Operation = 'read' | 'head' | 'list' | 'update' | 'other' | 'unclear'

/** A request whose path is one of the API. */
export interface Asked {
  readonly operation: Operation
  /** What follows `/v1/`, decoded. */
  readonly path: string
  readonly query: URLSearchParams
}

/** As Go reads a boolean. */
const yes = /^(?:1|t|T|TRUE|true|True)$/
const no = /^(?:0|f|F|FALSE|false|False)?$/

/** Reads the request line. Undefined: no path of the API. Throws `bad_request` for a path that is not text. */
export function askedIn({ method = '', url = '' }: IncomingMessage): Asked | undefined {
  const [, spelled, queried = ''] = /^\/v1\/([^?]*)(?:\?(.*))?$/.exec(url) ?? []
  if (spelled === undefined) return undefined
  const query = new URLSearchParams(queried)
  return { operation: operationOf(method, query.get('list') ?? ''), path: decoded(spelled), query }
}

function operationOf(method: string, list: string): Operation {
  if (method === 'GET' && yes.test(list)) return 'list'
  if (method === 'GET' && !no.test(list)) return 'unclear'
  return operations[method] ?? 'other'
}

const operations: Readonly<Record<string, Operation>> = {
  GET: 'read',
  HEAD: 'head',
  LIST: 'list',
  POST: 'update',
  PUT: 'update',
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    throw new SottoError('bad_request', 'The path has an escape that is not text')
  }
}

/** The headers by which a browser, or a page in it, gives itself away. */
const ofBrowsers = /^(?:origin|cookie|sec-fetch-.*)$/

/** Throws `browser` where a page may have sent the request: programs send none of these headers. */
export function refuseBrowsers({ headers }: IncomingMessage): void {
  const found = Object.keys(headers).find((name) => ofBrowsers.test(name))
  if (found === undefined) return
  throw new SottoError('browser', `The header ${found} is there`, {
    callerHint: 'This surface is for programs: send no Origin, Cookie or Sec-Fetch header.',
  })
}

/** Throws `bad_request` for what changes what an answer means, and is not done here. */
export function refuseWrapping({ headers }: IncomingMessage): void {
  const ttl = headers['x-vault-wrap-ttl']
  if (ttl === undefined || ttl === '' || ttl === '0') return
  throw new SottoError('bad_request', 'Answers are not wrapped here: leave X-Vault-Wrap-TTL out')
}
