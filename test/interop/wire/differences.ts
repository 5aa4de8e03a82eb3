/** Where Sotto answers otherwise than setec on purpose. A difference that is not here is a fault; docs/guides/from-setec.md shows it. */
import { isUtf8 } from 'node:buffer'
import { folded, scanFields } from '../../../client/api/go-json.ts'
import { finished } from '../../support/finished.ts'
import type { RawAnswer, RawRequest } from '../raw.ts'
import { brief } from './pair.ts'

/** One intended difference. */
export interface Intended {
  /** What differs, as the page shows it. */
  readonly title: string
  /** What setec does, or why Sotto does not. */
  readonly reason: string
  readonly about: (asked: Asked) => boolean
}

/** One intended difference between two answers. */
export interface Difference extends Intended {
  /** What setec answers, as `brief` tells it. */
  readonly setec: RegExp
  /** What Sotto answers. */
  readonly sotto: RegExp
}

/** What a difference may look at to tell whether it is about a request. */
interface Asked {
  readonly request: RawRequest
  /** The method of the API that the path names; empty when it names none. */
  readonly method: string
  /** The body as text. */
  readonly text: string
  /** The name in the body; empty where there is none, or no body that can be read. */
  readonly name: string
  /** The version in the body; 0 where there is none, or no body that can be read. */
  readonly version: number
}

const badRequest = /^400 bad request$/
const badName = /^400 invalid secret name$/
const noSuchMethod = /^404 no such method$/

/** Every intended difference between answers. */
export const differences: readonly Difference[] = [
  {
    title: 'a body that is not UTF-8 is refused; setec replaces what it cannot read',
    reason: 'setec replaces what it cannot read, so that different names become the same one.',
    about: ({ request }) => !isUtf8(request.body),
    setec: /^/,
    sotto: badRequest,
  },
  {
    title: 'an unpaired surrogate in a name is refused; setec replaces it',
    reason: 'It has no UTF-8; setec replaces it, so that different names become the same one.',
    about: ({ name }) => !name.isWellFormed(),
    setec: /^(?!400 bad request$)/,
    sotto: badRequest,
  },
  {
    title: 'a name of more than 4096 bytes is refused',
    reason: 'A name must fit whole into its audit record.',
    about: ({ name }) => Buffer.byteLength(name) > 4096,
    setec: /^(?!400 bad request$)/,
    sotto: badRequest,
  },
  {
    title: 'names with control characters or more than 512 bytes cannot be created',
    reason: 'They would hide in logs and on terminals, and break what reads them by line.',
    about: ({ method, name }) =>
      (method === 'put' || method === 'create-version') &&
      (/\p{Control}/u.test(name) || Buffer.byteLength(name) > 512),
    setec: /^(?:200 (?:\{\}|1)|403 access denied|400 invalid version.*)$/,
    sotto: badName,
  },
  {
    title: 'a write without a name is 400, never 500 or 200',
    reason: 'setec answers 500, or lets the rules and the look-up decide about no name at all.',
    about: ({ method, name }) => changes.has(method) && name === '',
    setec:
      /^(?:500 internal error|404 not found|403 access denied|200 \{\}|400 invalid version.*)$/,
    sotto: badName,
  },
  {
    title: 'version 0 is 400, not 500',
    reason: 'setec answers 500, after it has looked at the rules.',
    about: ({ method, version }) =>
      (method === 'activate' || method === 'delete-version') && version === 0,
    setec: /^(?:500 internal error|403 access denied)$/,
    sotto: /^400 invalid version, please specify a version > 0$/,
  },
  {
    title: 'deleting the active version is 400, not 500',
    reason: 'setec answers 500, and does not say why.',
    about: ({ method }) => method === 'delete-version',
    setec: /^500 internal error$/,
    sotto: /^400 cannot delete the active version; activate another version first$/,
  },
  {
    title: 'an empty list is `[]`, not `null`',
    reason: 'setec answers null, which clients in other languages than Go stumble over.',
    about: ({ method }) => method === 'list',
    setec: /^200 null$/,
    sotto: /^200 \[\]$/,
  },
  {
    title: 'a body has at most 2 MiB',
    reason: 'setec reads whatever comes into memory, from any caller.',
    about: ({ request }) => request.body.length > 2 * 1024 * 1024,
    setec: /^/,
    sotto: /^413 request body too large$/,
  },
  {
    title: 'the content type may have any case and a charset',
    reason: 'Many HTTP clients add it to JSON, and it is the only one that JSON has.',
    about: ({ request }) =>
      hasHeader(request, /^content-type: *application\/json(?:;(?: *charset=utf-8)?)?$/i),
    setec: /^400 request body must be json$/,
    sotto: /^(?!400)/,
  },
  {
    title: 'an answer of 304 has a content type',
    reason: 'Both are right; Go takes the header out.',
    about: ({ method }) => method === 'get',
    setec: /^304$/,
    sotto: /^304$/,
  },
  {
    title: 'a repeated guard header is refused',
    reason: 'No client of setec sends two; setec looks at the first.',
    about: ({ request }) => countHeaders(request, /^sec-x-tailscale-no-browsers:/i) > 1,
    setec: /^200/,
    sotto: /^403 access denied$/,
  },
  {
    title: 'an unknown HTTP method is 400 `bad request`',
    reason: 'Node does not take the request in; the status is the same.',
    about: ({ request }) => request.method === 'BREW' || request.method === 'post',
    setec: /^400 only POST requests allowed$/,
    sotto: badRequest,
  },
  {
    title: 'a path that is not a method is 404, not 400',
    reason: 'setec takes it for its web page, which answers to GET alone.',
    about: ({ method }) => !known.has(method),
    setec: /^400 invalid method$/,
    sotto: noSuchMethod,
  },
  {
    title: 'the web page is only at `/`',
    reason: 'It lists what the caller may know about. setec shows its page at every unknown path.',
    about: ({ request, method }) => request.method === 'GET' && !known.has(method),
    setec: /^(?:200 |404 404 page not found|500 unable to identify caller)/,
    sotto: /^(?:404 no such method$|200 <!doctype html>)/,
  },
  {
    title: 'paths are not redirected; setec answers 307',
    reason:
      'A redirected POST helps nobody. Dots are resolved, as by any URL parser; nothing else is.',
    about: ({ request }) => /\/\.\.?(?:\/|$)|\/\//.test(request.path),
    setec: /^307/,
    sotto: /^(?:404 no such method|200 .*)$/,
  },
  {
    title: 'a request for another host name is 421; setec answers to any name',
    reason: 'A web page can have a name of its own lead to the server. setec answers to any name.',
    about: ({ request }) => /^http:\/\/(?!localhost\b)/.test(request.path),
    setec: /^/,
    sotto: /^421 this server does not have that name$/,
  },
  {
    title: 'a fragment is not part of the path',
    reason: 'HTTP sends none; Go takes it for a part of the path.',
    about: ({ request }) => request.path.includes('#'),
    setec: /^400 invalid method$/,
    sotto: /^200 /,
  },
]

/** Where the answers are alike, and what is stored is not. */
export const storedDifferences: readonly Intended[] = [
  {
    title: 'a null in an array of bytes is 0, never a byte of an earlier field',
    reason: 'In Go it is what an earlier Value field of the same body left in that place.',
    about: ({ text }) => /value.*value.*\[[^\]]*null/i.test(text),
  },
]

const changes = new Set(['put', 'create-version', 'activate', 'delete-version', 'delete'])
const known = new Set([...changes, 'list', 'info', 'get'])

/** The intended difference that explains two unlike answers, or undefined for a fault. */
export function explain(
  request: RawRequest,
  answers: { readonly setec: RawAnswer; readonly sotto: RawAnswer },
): Difference | undefined {
  const asked = askedBy(request)
  const setec = brief(answers.setec)
  const sotto = brief(answers.sotto)
  return differences.find(
    (each) => each.setec.test(setec) && each.sotto.test(sotto) && each.about(asked),
  )
}

/** The intended difference that explains why the two hold unlike secrets after a request. */
export function explainStored(request: RawRequest): Intended | undefined {
  return storedDifferences.find(({ about }) => about(askedBy(request)))
}

function askedBy(request: RawRequest): Asked {
  const text = Buffer.from(request.body).toString('utf8')
  const method = /^\/api\/([a-z-]+)$/.exec(request.path)?.[1] ?? ''
  const asked = { request, method, text, name: '', version: 0 }
  try {
    const fields = scanFields(text, (key, from, to) => {
      const value: unknown = JSON.parse(text.slice(from, to))
      if (typeof value === 'string' && folded(key) === 'name') asked.name = value
      if (typeof value === 'number' && folded(key) === 'version') asked.version = value
      return undefined
    })
    finished(fields)
  } catch {
    // No JSON: a request without a name.
  }
  return asked
}

function hasHeader(request: RawRequest, pattern: RegExp): boolean {
  return countHeaders(request, pattern) > 0
}

function countHeaders({ headers }: RawRequest, pattern: RegExp): number {
  return headers.filter((header) => pattern.test(header)).length
}
