/** What a format is: a way to write secrets for one kind of reader, which refuses what that reader would not give back. */
import { isUtf8 } from 'node:buffer'

/** One variable with its value. */
export interface Entry {
  readonly variable: string
  readonly value: Uint8Array
}

/** What the formats that need more are told. */
export interface FormatOptions {
  /** Which reader of dotenv files. */
  readonly dialect?: string
  /** Whether values are in base64, in formats of which the reader cannot tell. */
  readonly base64?: boolean
  /** The name of the Secret of Kubernetes. */
  readonly name?: string
  /** A text that is in no value; random. */
  readonly mark?: string
}

/** A format. Pure: it reads and writes no file. */
export interface Format {
  /** Who reads it, in a few words. */
  readonly reader: string
  /** Why the reader would not give this back as it is, as half a sentence without any of the value; undefined where it would. */
  readonly refusal: (entry: Entry, options: FormatOptions) => string | undefined
  /** The same for all of them together. */
  readonly refusalOfAll?: (entries: readonly Entry[], options: FormatOptions) => string | undefined
  /** All of them, none of which is refused; absent for a format of which each is a file of its own. */
  readonly write?: (entries: readonly Entry[], options: FormatOptions) => Uint8Array
}

/** Why `variable` is not the name of a variable of the environment. */
export function variableRefusal(variable: string): string | undefined {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(variable)) return undefined
  return 'its name has other characters than letters, digits and _, or begins with a digit'
}

/** Why `value` cannot be in text. */
export function textRefusal(value: Uint8Array): string | undefined {
  if (!isUtf8(value)) return 'it is not text in UTF-8'
  return nulRefusal(value)
}

/** Why `value` cannot be that of a variable. */
export function nulRefusal(value: Uint8Array): string | undefined {
  return value.includes(0) ? 'it has a NUL byte' : undefined
}

/** A value as text, which it must be. */
export function textOf({ value }: Entry): string {
  return Buffer.from(value.buffer, value.byteOffset, value.length).toString('utf8')
}

/** The lines that `line` makes, one for each, as bytes. `encoding` is that of their characters: latin1 where each stands for a byte. */
export function linesOf(
  entries: readonly Entry[],
  line: (entry: Entry) => string,
  encoding: 'utf8' | 'latin1' = 'utf8',
): Uint8Array {
  return Buffer.from(entries.map((entry) => `${line(entry)}\n`).join(''), encoding)
}

/** Bytes of all values together. */
export function bytesOf(entries: readonly Entry[]): number {
  return entries.reduce((sum, { value }) => sum + value.length, 0)
}
