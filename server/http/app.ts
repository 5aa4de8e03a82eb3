/** The Hono app: the methods of the API, health, and the description of itself. */
import type { HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { Hono } from 'hono'
import { SottoError } from '../../client/api/errors.ts'
import type { MethodName } from '../../client/api/wire.ts'
import type { Secrets } from '../secrets/secrets.ts'
import { answerFor } from './errors.ts'
import { type Handler, type HandlerParts, handlerOf } from './handle.ts'
import { openApiDocument } from './openapi.ts'

/** A part of the server that can be well or not: resolves when it is, rejects with what is wrong. */
export type Probe = () => Promise<void>

/** What the app is made of. */
export interface AppParts extends HandlerParts {
  readonly secrets: Secrets
  /** Parts by the names that `/readyz` tells. */
  readonly probes: Readonly<Record<string, Probe>>
  /** The release of the program. */
  readonly version: string
}

/** The routes of the API by path: served on Node's own objects, in front of the app and within it. */
export function apiHandlers(parts: AppParts): ReadonlyMap<string, Handler> {
  const { secrets } = parts
  const done = '{}'
  const handlers: { [M in MethodName]: Handler } = {
    list: handlerOf(parts, 'list', async (call) => JSON.stringify(await secrets.list(call))),
    info: handlerOf(parts, 'info', async (call, request) =>
      JSON.stringify(await secrets.info(call, request)),
    ),
    get: handlerOf(parts, 'get', async (call, request) => {
      const found = await secrets.get(call, request)
      if (!found) return undefined
      const value = found.Value.toString('base64')
      found.Value.fill(0)
      return `{"Value":"${value}","Version":${found.Version}}`
    }),
    put: handlerOf(parts, 'put', async (call, request) => String(await secrets.put(call, request))),
    'create-version': handlerOf(parts, 'create-version', async (call, request) => {
      await secrets.createVersion(call, request)
      return done
    }),
    activate: handlerOf(parts, 'activate', async (call, request) => {
      await secrets.activate(call, request)
      return done
    }),
    'delete-version': handlerOf(parts, 'delete-version', async (call, request) => {
      await secrets.deleteVersion(call, request)
      return done
    }),
    delete: handlerOf(parts, 'delete', async (call, request) => {
      await secrets.delete(call, request)
      return done
    }),
    whoami: handlerOf(parts, 'whoami', async (call, request) =>
      JSON.stringify(secrets.whoami(call, request)),
    ),
  }
  return new Map(Object.entries(handlers).map(([name, handler]) => [`/api/${name}`, handler]))
}

/** The app around `api`: routes of a few lines, no middleware. */
export function makeApp(
  parts: AppParts,
  api: ReadonlyMap<string, Handler>,
): Hono<{ Bindings: HttpBindings }> {
  const app = new Hono<{ Bindings: HttpBindings }>()
  const document = JSON.stringify(openApiDocument(parts.version))
  const plain = { 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' }

  for (const [path, handler] of api) {
    app.all(path, async ({ env }) => {
      await handler(env.incoming, env.outgoing)
      return RESPONSE_ALREADY_SENT
    })
  }
  app.get('/api/openapi.json', () => {
    return new Response(document, { headers: { ...plain, 'Content-Type': 'application/json' } })
  })
  app.get('/healthz', () => new Response('ok\n', { headers: plain }))
  app.get('/readyz', async () => {
    const state = await probeAll(parts.probes)
    const well = Object.values(state).every((each) => each === 'ok')
    return Response.json(state, { status: well ? 200 : 503, headers: plain })
  })
  app.notFound(() => {
    const error = new SottoError('no_such_method', 'The API has no method at this path')
    const { status, type, body, headers = [] } = answerFor(error)
    return new Response(body, {
      status,
      headers: { ...plain, ...pairs(headers), 'Content-Type': type },
    })
  })
  app.onError(() => new Response('internal error\n', { status: 500, headers: plain }))
  return app
}

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

function pairs(flat: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {}
  for (let at = 0; at < flat.length; at += 2) found[flat[at] as string] = flat[at + 1] as string
  return found
}
