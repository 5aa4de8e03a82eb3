/** What a program gets: its environment and its files, made of the values of secrets. */
import { quote, SottoError } from '../../../client/api/errors.ts'
import type { Environment } from '../../../client/api/given.ts'
import type { SecretValue } from '../../../client/api/types.ts'
import type { Mapped } from '../../mapping/mapping.ts'
import { fieldOf, type Reference } from '../../mapping/reference.ts'
import type { FileContents } from './files.ts'
import { keyOf } from './source.ts'

/** A file, and where its content comes from. */
export interface MappedFile {
  readonly path: string
  readonly from: Reference
}

/** What the program is to get. */
export interface Wanted {
  readonly variables: readonly Mapped[]
  readonly files: readonly MappedFile[]
}

/** The same with values. */
export interface Values {
  readonly variables: ReadonlyMap<string, string>
  readonly files: FileContents
  /** The version of each secret, by its key; 0 for one that is not there and may be absent. */
  readonly versions: ReadonlyMap<string, number>
}

/** Linux starts no program with a longer string: MAX_ARG_STRLEN, its NUL included. */
const MAX_STRING = 131_072

/** The references to secrets. */
export function referencesOf({ variables, files }: Wanted): Reference[] {
  return [...variables, ...files].flatMap(({ from }) => ('literal' in from ? [] : [from]))
}

/**
 * What the program gets of the secrets that `find` gives by their keys. Throws `usage` for what cannot be a variable, and for a field
 * that is not there, without anything of a value.
 */
export function valuesOf({ variables, files }: Wanted, find: (key: string) => SecretValue): Values {
  const versions = new Map<string, number>()
  const read = (from: Reference): Uint8Array | undefined => {
    const key = keyOf(from)
    const { Value, Version } = find(key)
    versions.set(key, Version)
    return Version === 0 ? undefined : fieldOf(Value, from)
  }
  const texts = new Map<string, string>()
  for (const { variable, from } of variables) {
    const value = 'literal' in from ? from.literal : read(from)
    const what = 'literal' in from ? 'its value' : `the value of ${quote(from.secret)}`
    if (value) texts.set(variable, textOf(value, variable, what))
  }
  const contents = new Map<string, Uint8Array>()
  for (const { path, from } of files) {
    const content = read(from)
    if (content) contents.set(path, content)
  }
  return { variables: texts, files: contents, versions }
}

/**
 * The version of each secret, by its key, that a program has which was started with `started`, and whose files are those of
 * `placed` by now: variables stay as they were.
 */
export function heldVersions(
  { variables }: Wanted,
  started: Values,
  placed: Values,
): ReadonlyMap<string, number> {
  const held = new Map(placed.versions)
  for (const { from } of variables) {
    const key = 'literal' in from ? undefined : keyOf(from)
    const version = key === undefined ? undefined : started.versions.get(key)
    if (key !== undefined && version !== undefined) held.set(key, version)
  }
  return held
}

/** Whether a program would see no difference. */
export function isSame(a: Values, b: Values): boolean {
  return (
    a.variables.size === b.variables.size &&
    a.files.size === b.files.size &&
    [...a.variables].every(([name, text]) => b.variables.get(name) === text) &&
    [...a.files].every(([path, content]) => isEqual(content, b.files.get(path)))
  )
}

function isEqual(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && Buffer.from(a).equals(b)
}

function textOf(value: Uint8Array, variable: string, what: string): string {
  const fault = (why: string): SottoError =>
    new SottoError('usage', `Cannot set ${quote(variable)}: ${what} ${why}`, {
      hint: 'Give it to the program as a file: --file PATH=SECRET.',
    })
  if (value.includes(0)) throw fault('has a NUL, which no variable can have')
  if (value.length + variable.length + 2 > MAX_STRING) {
    throw fault('is too long for a variable: the limit is 128 KiB')
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value)
  } catch {
    throw fault('is not text in UTF-8')
  }
}

/** How variables of secrets and those of this process come together. */
export interface EnvironmentOptions {
  /** Nothing is inherited. */
  readonly pristine: boolean
  /** Inherited variables that secrets do not replace. */
  readonly preserve: readonly string[]
}

/** The environment of the program, and the inherited variables that secrets replaced by something else. */
export function environmentOf(
  inherited: Environment,
  values: Values,
  { pristine, preserve }: EnvironmentOptions,
): { readonly env: Record<string, string>; readonly replaced: readonly string[] } {
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(inherited)) {
    if (value !== undefined && (!pristine || preserve.includes(name))) env[name] = value
  }
  const replaced: string[] = []
  for (const [name, value] of values.variables) {
    if (preserve.includes(name) && env[name] !== undefined) continue
    if (env[name] !== undefined && env[name] !== value) replaced.push(name)
    env[name] = value
  }
  return { env, replaced }
}
