/** What a secret does, without any storage: the model that a server is held against. Pure. */

/** A call of the API on one secret. Values are base64, as on the wire. */
export type Operation =
  | { readonly method: 'get'; readonly name: string; readonly version: number; held?: boolean }
  | { readonly method: 'info'; readonly name: string }
  | { readonly method: 'put'; readonly name: string; readonly value: string }
  | {
      readonly method: 'create-version'
      readonly name: string
      readonly version: number
      readonly value: string
    }
  | { readonly method: 'activate'; readonly name: string; readonly version: number }
  | { readonly method: 'delete-version'; readonly name: string; readonly version: number }
  | { readonly method: 'delete'; readonly name: string }

/** Everything about one secret. */
export interface State {
  /** 0 where the name was never used. */
  readonly incarnation: number
  /** 0 while there is no such secret. */
  readonly active: number
  readonly highest: number
  /** Values by version, ascending. */
  readonly values: ReadonlyMap<number, string>
  /** Numbers that once had a value, ascending. */
  readonly removed: readonly number[]
}

/** What a caller sees: the status, and the body of a 200. */
export interface Outcome {
  readonly status: number
  readonly body?: string
}

/** An outcome and the state after it, which is the same object where nothing was changed. */
export interface Step {
  readonly outcome: Outcome
  readonly next: State
}

/** A name that was never used. */
export const unused: State = Object.freeze({
  incarnation: 0,
  active: 0,
  highest: 0,
  values: new Map(),
  removed: [],
})

/** The body of a get of `version`. */
function valueBody(version: number, value: string): string {
  return `{"Value":"${value}","Version":${version}}`
}

/** The body of an info, and the item of a list, of the secret `name`. */
export function infoBody(name: string, { values, active }: State): string {
  return JSON.stringify({ Name: name, Versions: [...values.keys()], ActiveVersion: active })
}

/** What `operation` does to a secret in `state`. */
export function step(state: State, operation: Operation): Step {
  const { active, values } = state
  const same = (status: number, body?: string): Step => ({
    outcome: { status, ...(body !== undefined && { body }) },
    next: state,
  })
  switch (operation.method) {
    case 'put':
      return put(state, operation.value)
    case 'create-version':
      if (values.has(operation.version) || state.removed.includes(operation.version)) {
        return same(412)
      }
      return done('{}', add(state, operation.version, operation.value, operation.version))
    case 'delete':
      if (active === 0) return same(200, '{}')
      return done('{}', {
        ...state,
        active: 0,
        values: new Map(),
        removed: ascending([...state.removed, ...values.keys()]),
      })
    case 'info':
      return active === 0 ? same(404) : same(200, infoBody(operation.name, state))
    case 'get': {
      if (active === 0) return same(404)
      if (operation.held && operation.version === active) return same(304)
      const version = operation.held || operation.version === 0 ? active : operation.version
      const value = values.get(version)
      return value === undefined ? same(404) : same(200, valueBody(version, value))
    }
    case 'activate':
      if (!values.has(operation.version)) return same(404)
      if (active === operation.version) return same(200, '{}')
      return done('{}', { ...state, active: operation.version })
    case 'delete-version':
      break
  }
  const { version } = operation
  if (!values.has(version)) return same(404)
  if (active === version) return same(400)
  const left = new Map([...values].filter(([number]) => number !== version))
  const removed = ascending([...state.removed, version])
  return done('{}', { ...state, values: left, removed })
}

function put(state: State, value: string): Step {
  const latest = [...state.values.keys()].at(-1)
  if (latest !== undefined && latest === state.highest && state.values.get(latest) === value) {
    return { outcome: { status: 200, body: String(latest) }, next: state }
  }
  const version = state.highest + 1
  return done(String(version), add(state, version, value, state.active || version))
}

function add(state: State, version: number, value: string, active: number): State {
  const again = state.active === 0
  return {
    incarnation: state.incarnation + (again ? 1 : 0),
    active,
    highest: Math.max(state.highest, version),
    values: new Map([...state.values, [version, value] as const].toSorted(([a], [b]) => a - b)),
    removed: state.removed,
  }
}

function done(body: string, next: State): Step {
  return { outcome: { status: 200, body }, next }
}

function ascending(numbers: number[]): number[] {
  return numbers.toSorted((a, b) => a - b)
}
