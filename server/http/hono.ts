/**
 * The Hono app: health, the description of the API, and whatever is not exactly a path of the API. It is loaded
 * by the first request that it serves, for it brings Node's fetch with it.
 */
import { getRequestListener, RequestError } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { Hono } from 'hono'
import { SottoError } from '../../client/api/errors.ts'
import type { AppParts } from './app.ts'
import type { Exchange } from './exchange.ts'
import { type Handler, refuse } from './handle.ts'
import { ok } from './answer.ts'
import { openApiText } from './openapi.ts'
import { shared, turns } from '../platform/turns.ts'

/** The app around `api`, as a handler on Node's own objects. */
export function appHandler(parts: AppParts, api: ReadonlyMap<string, Handler>): Handler {
  const app = makeApp(parts, api)
  return async function handle(exchange) {
    const { incoming, outgoing } = exchange
    outgoing.setHeader('Cache-Control', 'no-store')
    outgoing.setHeader('X-Request-Id', exchange.id)
    outgoing.setHeader('X-Content-Type-Options', 'nosniff')
    const fetch = async (request: Request): Promise<Response> => {
      const response = await app.fetch(request, { exchange })
      // For HEAD, Hono makes a response of its own of what it is given.
      return exchange.answered ? RESPONSE_ALREADY_SENT : response
    }
    // Neither the host nor the scheme of a URL means anything to the app: no host is a bad one.
    incoming.headers.host = 'localhost'
    const listener = getRequestListener(fetch, {
      autoCleanupIncoming: false,
      errorHandler: (error) => {
        const badUrl = new SottoError('bad_request', 'The request is for no valid URL')
        refuse(parts.errorLog, exchange, error instanceof RequestError ? badUrl : error)
      },
    })
    await listener(incoming, outgoing)
    exchange.end(outgoing.statusCode === 503 ? 'not_ready' : 'ok')
  }
}

/** What the app gets of a request in addition to its Fetch form. */
interface Bindings {
  readonly exchange: Exchange
}

/** Routes of a few lines, no middleware. Every answer has the headers that `appHandler` set before. */
function makeApp(parts: AppParts, api: ReadonlyMap<string, Handler>): Hono<{ Bindings: Bindings }> {
  const app = new Hono<{ Bindings: Bindings }>()
  let document: Buffer[] | undefined
  const description = shared(async () => [
    Buffer.from(await turns.finish(openApiText(parts.version))),
  ])
  const probe = shared(() => probeAll(parts.probes))

  for (const [path, handler] of api) {
    app.all(path, async ({ env }) => {
      await handler(env.exchange)
      return RESPONSE_ALREADY_SENT
    })
  }
  app.get('/api/openapi.json', async ({ env }) => {
    document ??= await description()
    env.exchange.answer(ok(document))
    return RESPONSE_ALREADY_SENT
  })
  app.get('/healthz', () => new Response('ok\n', { headers: text }))
  app.get('/readyz', async () => {
    const state = await probe()
    const well = Object.values(state).every((each) => each === 'ok')
    return Response.json({ ...state, ...parts.facts?.() }, { status: well ? 200 : 503 })
  })
  app.notFound(({ env }) => {
    const error = new SottoError('no_such_method', 'The API has no method at this path')
    refuse(parts.errorLog, env.exchange, error)
    return RESPONSE_ALREADY_SENT
  })
  app.onError((error, { env }) => {
    refuse(parts.errorLog, env.exchange, error)
    return RESPONSE_ALREADY_SENT
  })
  return app
}

const text = { 'Content-Type': 'text/plain; charset=utf-8' }

/** Each part's name with `ok` or `failed`: the reason is for the operator's log, not for the network. */
async function probeAll(probes: AppParts['probes']): Promise<Record<string, 'ok' | 'failed'>> {
  const states = Object.entries(probes).map(async ([name, probe]) => {
    try {
      await probe()
      return [name, 'ok'] as const
    } catch {
      return [name, 'failed'] as const
    }
  })
  return Object.fromEntries(await Promise.all(states))
}
