/** The handlers of the API, by path. */
import {
  decodeOperation,
  type OperationName,
  type OperationRequest,
  type OperationResponse,
} from '../../client/api/operations.ts'
import { decodeRequest, type MethodName, type Request } from '../../client/api/wire.ts'
import type { Call } from '../gate/gate.ts'
import type { Secrets } from '../secrets/secrets.ts'
import { type Act, type Handler, type HandlerParts, handlerOf } from './handle.ts'
import { SerialQueue } from './fair-queue.ts'
import { scrapeHandler } from './scrape.ts'
import type { Registry } from '../metrics/registry.ts'

/** Checks a part of the server: resolves when it works, rejects with what is wrong. */
export type Probe = () => Promise<void>

/** What does each operation, through the gate. */
export type Operations = {
  readonly [O in OperationName]: (
    call: Call,
    request: OperationRequest<O>,
  ) => Promise<OperationResponse<O>>
}

/** What the API and the app around it are made of. */
export interface AppParts extends HandlerParts {
  readonly secrets: Secrets
  /** Resolves with what does each operation, which is loaded with the first request. */
  readonly operations: () => Promise<Operations>
  /** What the page of the metrics is made of. */
  readonly registry: Registry
  /** Parts by the names that `/readyz` reports. */
  readonly probes: Readonly<Record<string, Probe>>
  /** What else `/readyz` reports. */
  readonly facts?: () => Readonly<Record<string, string>>
  /** The release of the program. */
  readonly version: string
}

/** The routes of the API, and the metrics, by path: served on Node's own objects, in front of the Hono app and within it. */
export function apiHandlers(parts: AppParts, operations: Operations): ReadonlyMap<string, Handler> {
  const { secrets } = parts
  const long = new SerialQueue()
  const method = <M extends MethodName>(name: M, act: Act<Request<M>>): Handler =>
    handlerOf(parts, name, (body) => decodeRequest(name, body), act)
  const handlers: { [M in MethodName]: Handler } = {
    list: method('list', (call) =>
      long.run(call.caller.principal.ip, () => json(secrets.list(call))),
    ),
    info: method('info', (call, request) => json(secrets.info(call, request))),
    get: method('get', async (call, request) => {
      const found = await secrets.get(call, request)
      if (!found) return undefined
      const value = found.Value.toString('base64')
      found.Value.fill(0)
      return `{"Value":"${value}","Version":${found.Version}}`
    }),
    put: method('put', (call, request) => json(secrets.put(call, request))),
    'create-version': method('create-version', (call, request) =>
      done(secrets.createVersion(call, request)),
    ),
    activate: method('activate', (call, request) => done(secrets.activate(call, request))),
    'delete-version': method('delete-version', (call, request) =>
      done(secrets.deleteVersion(call, request)),
    ),
    delete: method('delete', (call, request) => done(secrets.delete(call, request))),
    whoami: method('whoami', async (call, request) =>
      JSON.stringify(secrets.whoami(call, request)),
    ),
  }
  const api = new Map([['/metrics', scrapeHandler(parts, parts.registry)]])
  for (const [name, handler] of Object.entries(handlers)) api.set(`/api/${name}`, handler)
  for (const name of Object.keys(operations) as OperationName[]) {
    api.set(`/api/${name}`, operationHandler(parts, name, operations[name]))
  }
  return api
}

function operationHandler<O extends OperationName>(
  parts: AppParts,
  name: O,
  operate: Operations[O],
): Handler {
  const act: Act<OperationRequest<O>> = (call, request) => json(operate(call, request))
  return handlerOf(parts, name, (body) => decodeOperation(name, body), act)
}

async function json(found: Promise<unknown>): Promise<string> {
  return JSON.stringify(await found)
}

async function done(change: Promise<void>): Promise<string> {
  await change
  return '{}'
}
