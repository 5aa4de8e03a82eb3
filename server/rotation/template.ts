/** Makes values by the template of a rotation, and tells whether a value is one. */
import { randomBytes, randomInt } from 'node:crypto'
import type { RotationTemplate } from '../../client/api/rotations.ts'

const ALPHANUMERIC = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** A new value; `old` is the one before, which one for verifiers keeps. The caller zeroes both. */
export function generate(template: RotationTemplate, old: Uint8Array): Uint8Array<ArrayBuffer> {
  const text = randomText(template)
  if (template.shape === 'text') return Buffer.from(text)
  const fields =
    template.shape === 'json'
      ? { ...template.fields, [template.field]: text }
      : { current: text, previous: currentOf(old) }
  return Buffer.from(JSON.stringify(fields))
}

/** Whether `value` has the shape of the template. */
export function fits(template: RotationTemplate, value: Uint8Array): boolean {
  const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString()
  if (template.shape === 'text') return isRandom(template, text)
  const found = objectIn(text) ?? {}
  if (template.shape === 'verifier') {
    const { current, previous } = found
    return (
      typeof previous === 'string' && typeof current === 'string' && isRandom(template, current)
    )
  }
  const { field, fields } = template
  const own = found[field]
  const others = Object.entries(fields).filter(([name]) => name !== field)
  const isSame = others.every(([name, given]) => found[name] === given)
  return isSame && typeof own === 'string' && isRandom(template, own)
}

/** Random characters: as many bytes of them as it says. */
export function randomText({
  alphabet,
  bytes,
}: Pick<RotationTemplate, 'alphabet' | 'bytes'>): string {
  if (alphabet !== 'alphanumeric') return randomBytes(bytes).toString(alphabet)
  const length = lengthOf(bytes)
  return Array.from({ length }, () => ALPHANUMERIC[randomInt(ALPHANUMERIC.length)]).join('')
}

function isRandom({ alphabet, bytes }: RotationTemplate, text: string): boolean {
  if (alphabet === 'alphanumeric') {
    return text.length === lengthOf(bytes) && /^[0-9A-Za-z]*$/.test(text)
  }
  const read = Buffer.from(text, alphabet)
  return read.length === bytes && read.toString(alphabet) === text
}

/** Characters that hold as much as so many bytes. */
function lengthOf(bytes: number): number {
  return Math.ceil((bytes * 8) / Math.log2(ALPHANUMERIC.length))
}

/** What verifiers accept of the value before: its `current`, or all of one that has none. */
function currentOf(old: Uint8Array): string {
  const text = Buffer.from(old.buffer, old.byteOffset, old.byteLength).toString()
  const current = objectIn(text)?.['current']
  return typeof current === 'string' ? current : text
}

function objectIn(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Readonly<Record<string, unknown>>) : undefined
  } catch {
    return undefined
  }
}
