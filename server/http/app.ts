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
  const api = [...Object.entries(handlers), ...operationHandlers(parts, operations)]
  return new Map([
    ...api.map(([name, handler]): [string, Handler] => [`/api/${name}`, handler]),
    ['/metrics', scrapeHandler(parts, parts.registry)],
  ])
}

function operationHandlers(parts: AppParts, operations: Operations): [string, Handler][] {
  return (Object.keys(operations) as OperationName[]).map((name) => [
    name,
    operationHandler(parts, name, operations[name]),
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
