/** The Hono app: the methods of the API, health, and the description of itself. */
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { Hono } from 'hono'
import { SottoError } from '../../client/api/errors.ts'
import {
  decodeOperation,
  type OperationName,
  type OperationRequest,
  type OperationResponse,
} from '../../client/api/operations.ts'
import { decodeRequest, type MethodName, type Request } from '../../client/api/wire.ts'
import type { Call } from '../gate/gate.ts'
import type { Secrets } from '../secrets/secrets.ts'
import { type Act, type Handler, type HandlerParts, handlerOf, refuse } from './handle.ts'
import { SerialQueue } from './fair-queue.ts'
import { openApiDocument } from './openapi.ts'
import { scrapeHandler } from './scrape.ts'
import type { Registry } from '../metrics/registry.ts'
import type { Exchange } from './exchange.ts'

/** Checks a part of the server: resolves when it works, rejects with what is wrong. */
export type Probe = () => Promise<void>

/** What does each operation, through the gate. */
export type Operations = {
  readonly [O in OperationName]: (
    call: Call,
    request: OperationRequest<O>,
  ) => Promise<OperationResponse<O>>
}

/** What the app is made of. */
export interface AppParts extends HandlerParts {
  readonly secrets: Secrets
  readonly operations: Operations
  /** What the page of the metrics is made of. */
  readonly registry: Registry
  /** Parts by the names that `/readyz` reports. */
  readonly probes: Readonly<Record<string, Probe>>
  /** What else `/readyz` reports. */
  readonly facts?: () => Readonly<Record<string, string>>
  /** The release of the program. */
  readonly version: string
}

/** The routes of the API, and the metrics, by path: served on Node's own objects, in front of the app and within it. */
export function apiHandlers(parts: AppParts): ReadonlyMap<string, Handler> {
  const { secrets } = parts
  const done = '{}'
  const long = new SerialQueue()
  const method = <M extends MethodName>(name: M, act: Act<Request<M>>): Handler =>
    handlerOf(parts, name, (body) => decodeRequest(name, body), act)
  const handlers: { [M in MethodName]: Handler } = {
    list: method('list', (call) =>
      long.run(call.caller.principal.ip, async () => JSON.stringify(await secrets.list(call))),
    ),
    info: method('info', async (call, request) =>
      JSON.stringify(await secrets.info(call, request)),
    ),
    get: method('get', async (call, request) => {
      const found = await secrets.get(call, request)
      if (!found) return undefined
      const value = found.Value.toString('base64')
      found.Value.fill(0)
      return `{"Value":"${value}","Version":${found.Version}}`
    }),
    put: method('put', async (call, request) => String(await secrets.put(call, request))),
    'create-version': method('create-version', async (call, request) => {
      await secrets.createVersion(call, request)
      return done
    }),
    activate: method('activate', async (call, request) => {
      await secrets.activate(call, request)
      return done
    }),
    'delete-version': method('delete-version', async (call, request) => {
      await secrets.deleteVersion(call, request)
      return done
    }),
    delete: method('delete', async (call, request) => {
      await secrets.delete(call, request)
      return done
    }),
    whoami: method('whoami', async (call, request) =>
      JSON.stringify(secrets.whoami(call, request)),
    ),
  }
  const api = [...Object.entries(handlers), ...operationHandlers(parts)]
  return new Map([
    ...api.map(([name, handler]): [string, Handler] => [`/api/${name}`, handler]),
    ['/metrics', scrapeHandler(parts, parts.registry)],
  ])
}

function operationHandlers(parts: AppParts): [string, Handler][] {
  return (Object.keys(parts.operations) as OperationName[]).map((name) => [
    name,
    operationHandler(parts, name, parts.operations[name]),
  ])
}

function operationHandler<O extends OperationName>(
  parts: AppParts,
  name: O,
  operate: Operations[O],
): Handler {
  return handlerOf(
    parts,
    name,
    (body) => decodeOperation(name, body),
    async (call, request) => JSON.stringify(await operate(call, request)),
  )
}

/** What the app gets of a request in addition to its Fetch form. */
export interface Bindings {
  readonly exchange: Exchange
}

/**
 * The app around `api`: routes of a few lines, no middleware. Every answer has the headers that the
 * listener set before.
 */
export function makeApp(
  parts: AppParts,
  api: ReadonlyMap<string, Handler>,
): Hono<{ Bindings: Bindings }> {
  const app = new Hono<{ Bindings: Bindings }>()
  const document = JSON.stringify(openApiDocument(parts.version))
  const probe = shared(() => probeAll(parts.probes))

  for (const [path, handler] of api) {
    app.all(path, async ({ env }) => {
      await handler(env.exchange)
      return RESPONSE_ALREADY_SENT
    })
  }
  app.get('/api/openapi.json', () => {
    return new Response(document, { headers: { 'Content-Type': 'application/json' } })
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

/** Calls while `task` runs share its result. */
function shared<T>(task: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined
  return function share() {
    running ??= task().finally(() => (running = undefined))
    return running
  }
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
