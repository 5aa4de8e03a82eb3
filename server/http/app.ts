/** The handlers of the API, by path. */
import {
  decodeOperation,
  operations as operationTable,
  type OperationName,
  type OperationRequest,
  type OperationResponse,
} from '../../client/api/operations.ts'
import { decodeRequest, type MethodName, methods, type Request } from '../../client/api/wire.ts'
import type { MethodShape } from '../../client/api/calls.ts'
import type { Action } from '../../client/api/types.ts'
import type { Call, Gate } from '../gate/gate.ts'
import type { ReadPosition } from '../gate/position.ts'
import type { ManySecrets } from '../secrets/many.ts'
import type { Revealed, Secrets } from '../secrets/secrets.ts'
import { ok, unchanged } from './answer.ts'
import { UNCOUNTED_BYTES } from './exchange.ts'
import { type Act, type Handler, type HandlerParts, handlerOf } from './handle.ts'
import { SerialQueue } from './fair-queue.ts'
import { getManyHandler } from './get-many.ts'
import { pageHandler } from './page.ts'
import { scrapeHandler } from './scrape.ts'
import { type Watching, watchHandler } from './watch/handler.ts'
import type { Registry } from '../metrics/registry.ts'
import { turns } from '../platform/turns.ts'

/** Characters of a piece of a long answer. */
const PIECE_CHARACTERS = 64 * 1024
/** Entries of a list whose text is made in pieces where they are more. */
const LONG_LIST = 1000
/** Bytes that make such a piece in base64: without padding but in the last. */
const PIECE_BYTES = (PIECE_CHARACTERS / 4) * 3

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
export interface AppParts extends Omit<HandlerParts, 'decoding'> {
  readonly secrets: Secrets
  /** Reads several of them at once. */
  readonly many: ManySecrets
  /** How far what is read from now on is, at least. */
  readonly position: ReadPosition
  /** What watches work with. */
  readonly watching: Watching
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
export function apiHandlers(app: AppParts, operations: Operations): ReadonlyMap<string, Handler> {
  const { secrets, gate, position } = app
  const parts = { ...app, decoding: new SerialQueue() }
  const lists = new SerialQueue()
  const listing = <T>(call: Call, list: () => Promise<T>): Promise<T> =>
    lists.run(call.caller.principal.ip, list)
  const method = <M extends MethodName>(name: M, act: Act<Request<M>>): Handler => {
    const { action } = methods[name]
    return handlerOf(parts, name, {
      ...(action && { demand: demandOnName(gate, action) }),
      decode: (body) => decodeRequest(name, body),
      act,
    })
  }
  const handlers: { [M in MethodName]: Handler } = {
    list: method('list', (call) =>
      listing(call, async () => turns.finish(jsonOfList(await secrets.list(call)))),
    ),
    info: method('info', async (call, request) => {
      const { info, home } = await secrets.info(call, request)
      // Not in the body: setec's clients know three fields of it.
      return { ...ok(JSON.stringify(info)), ...(home && { headers: ['Sotto-Backend', home] }) }
    }),
    get: method('get', async (call, request) => {
      // Before the state is read: a client may take it that everything up to there is in the answer.
      const headers = ['Sotto-Revision', position.text]
      const found = await secrets.get(call, request)
      if (!found) return { ...unchanged, headers }
      if (found.Value.length > PIECE_BYTES) {
        return { ...ok(await turns.finish(jsonOfValue(found))), headers }
      }
      const value = found.Value.toString('base64')
      found.Value.fill(0)
      return { ...ok(`{"Value":"${value}","Version":${found.Version}}`), headers }
    }),
    put: method('put', async (call, request) => {
      const { version, isActive } = await secrets.put(call, request)
      return { ...ok(String(version)), headers: ['Sotto-Active', isActive ? 'yes' : 'no'] }
    }),
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
  const api = new Map([
    ['/metrics', scrapeHandler(parts, parts.registry)],
    ['/', pageHandler(parts, (call) => listing(call, () => secrets.list(call)))],
    ['/api/get-many', getManyHandler(parts, parts.many, position)],
    ['/api/watch', watchHandler(parts, parts.watching)],
  ])
  for (const [name, handler] of Object.entries(handlers)) api.set(`/api/${name}`, handler)
  const inTurn: Operations = {
    ...operations,
    'secret-list': (call, request) => listing(call, () => operations['secret-list'](call, request)),
    // A secret may have as many holders as there are names.
    rollout: (call, request) => listing(call, () => operations.rollout(call, request)),
  }
  for (const name of Object.keys(operations) as OperationName[]) {
    api.set(`/api/${name}`, operationHandler(parts, name, inTurn[name]))
  }
  return api
}

/** What can be demanded before the body is decoded, which has the name. */
function demandOnName(gate: Gate, action: Action) {
  return async (call: Call, bytes: number): Promise<void> => {
    // Of a small body the record of the refusal says the name.
    if (bytes > UNCOUNTED_BYTES) await gate.demandAny(call, action)
  }
}

function operationHandler<O extends OperationName>(
  parts: HandlerParts,
  name: O,
  operate: Operations[O],
): Handler {
  const { action, onName }: MethodShape = operationTable[name]
  const { gate } = parts
  return handlerOf<OperationRequest<O>>(parts, name, {
    ...(action && {
      demand: onName ? demandOnName(gate, action) : (call) => gate.operate(call, action, name),
    }),
    decode: (body) => decodeOperation(name, body),
    act: async (call, request) => {
      const found: object = await operate(call, request)
      return isLong(found) ? turns.finish(jsonOfFields(found)) : JSON.stringify(found)
    },
  })
}

/** Whether `answer` has so long a list that its text takes a while to make. */
function isLong(answer: object): boolean {
  return Object.values(answer).some((each) => Array.isArray(each) && each.length > LONG_LIST)
}

/** The same text as JSON.stringify makes of an object, in pieces. */
function* jsonOfFields(answer: object): Generator<void, Buffer[]> {
  const pieces: Buffer[] = []
  let before = '{'
  for (const [name, value] of Object.entries(answer)) {
    if (value === undefined) continue
    pieces.push(Buffer.from(`${before}${JSON.stringify(name)}:`))
    const isList = Array.isArray(value)
    pieces.push(...(isList ? yield* jsonOfList(value) : [Buffer.from(JSON.stringify(value))]))
    before = ','
  }
  return [...pieces, Buffer.from('}')]
}

/** The same text as JSON.stringify makes, in pieces. */
function* jsonOfList(items: readonly unknown[]): Generator<void, Buffer[]> {
  const pieces: Buffer[] = []
  let text = '['
  for (const [at, item] of items.entries()) {
    text += at === 0 ? JSON.stringify(item) : `,${JSON.stringify(item)}`
    if (text.length < PIECE_CHARACTERS) continue
    pieces.push(Buffer.from(text))
    text = ''
    yield
  }
  pieces.push(Buffer.from(`${text}]`))
  return pieces
}

/** The answer with a long value, in pieces. The value is zeroed. */
function* jsonOfValue({ Value, Version }: Revealed): Generator<void, Buffer[]> {
  const pieces = [Buffer.from('{"Value":"')]
  for (let at = 0; at < Value.length; at += PIECE_BYTES) {
    pieces.push(Buffer.from(Value.subarray(at, at + PIECE_BYTES).toString('base64'), 'latin1'))
    yield
  }
  Value.fill(0)
  pieces.push(Buffer.from(`","Version":${Version}}`))
  return pieces
}

async function done(change: Promise<unknown>): Promise<string> {
  await change
  return '{}'
}
