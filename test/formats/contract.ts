/** The contract of formats: a reader gives back each value that was not refused, however many stand in one file. */
import { expect } from 'vitest'
import type { Entry, Format, FormatOptions } from '../../cli/formats/format.ts'
import { formats } from '../../cli/formats/table.ts'

/** What a reader found, by the name of the variable. */
export type Found = Readonly<Record<string, Uint8Array | string | undefined>>

/** A format as it is tried. */
export interface Tried {
  readonly format: keyof typeof formats
  readonly options?: FormatOptions
  /** The part of all values that it has to carry at least. */
  readonly carries: number
  /** How many values go into one file. */
  readonly together?: number
}

/** Options that every format can be given. */
export const usual: FormatOptions = { mark: 'sotto-0123456789abcdef', name: 'app', dialect: 'node' }

/** The entries that the format does not refuse, each of its own name. */
function carried(values: readonly Uint8Array[], tried: Tried): Entry[] {
  const { refusal } = formatOf(tried)
  return values
    .map((value, at) => ({ variable: `V${at}`, value }))
    .filter((entry) => refusal(entry, optionsOf(tried)) === undefined)
}

/** Writes the values and has `read` read them. Throws for one that comes back as another, or not at all. */
export async function expectGivenBack(
  values: readonly Uint8Array[],
  tried: Tried,
  read: (file: Buffer, entries: readonly Entry[]) => Found | Promise<Found>,
): Promise<void> {
  const entries = carried(values, tried)
  expect(entries.length / values.length).toBeGreaterThan(tried.carries)
  for (let at = 0; at < entries.length; at += tried.together ?? 100) {
    const part = entries.slice(at, at + (tried.together ?? 100))
    const file = formatOf(tried).write?.(part, optionsOf(tried))
    if (file === undefined) throw new Error('It writes no file')
    const found = await read(Buffer.from(file), part)
    for (const { variable, value } of part) {
      const given = found[variable]
      if (given !== undefined && Buffer.compare(value, Buffer.from(given as string)) === 0) continue
      expect.fail(`${shownAs(value)} came back as ${shownAs(given)}`)
    }
  }
}

function shownAs(value: Uint8Array | string | undefined): string {
  return value === undefined ? 'nothing' : JSON.stringify(Buffer.from(value as string).toString())
}

function formatOf({ format }: Tried): Format {
  return formats[format] as Format
}

function optionsOf({ options }: Tried): FormatOptions {
  return { ...usual, ...options }
}
