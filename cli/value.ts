/** Reads the value of a secret: from a file, from stdin, or from a person; never from an argument. */
import { isUtf8 } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { quote, SottoError } from '../client/api/errors.ts'
import { utf8Length } from '../client/api/names.ts'
import { MAX_BODY_BYTES, MAX_VERSION } from '../client/api/types.ts'
import type { Invocation } from './invocation.ts'

/** What Go's unicode.IsSpace takes for white space. */
const spaces = new Set(
  '\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a' +
    '\u2028\u2029\u202f\u205f\u3000',
)

/**
 * The value for the secret `name`, as the flags want it. Throws `local` for a file or stdin that
 * cannot be read, for more bytes than a request holds, for an empty value without --empty-ok, and
 * for surrounding white space that no flag decides about.
 */
export async function readValue(invocation: Invocation, name: string): Promise<Uint8Array> {
  const limit = valueLimit(name)
  const file = invocation.text('from-file')
  if (file !== undefined) {
    const source = `the file ${quote(file)}`
    return checkValue(invocation, await readAll(createReadStream(file), source, limit))
  }
  const { stdin, stderr } = invocation.io
  if (stdin.isTTY) return checkValue(invocation, await askTwice(invocation, limit))
  const value = checkValue(invocation, await readAll(stdin.chunks(), 'stdin', limit))
  await stderr.write(`Read ${value.length} bytes from stdin\n`)
  return value
}

/** The bytes that fit into a request in base64, along with the name, a version and the punctuation. */
export function valueLimit(name: string, version: number = MAX_VERSION): number {
  const around = utf8Length(JSON.stringify({ Name: name, Version: version, Value: '' }))
  return Math.max(0, Math.floor((MAX_BODY_BYTES - around) / 4) * 3)
}

async function readAll(
  chunks: AsyncIterable<Uint8Array>,
  source: string,
  limit: number,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let length = 0
  try {
    for await (const chunk of chunks) {
      parts.push(chunk)
      length += chunk.length
      if (length > limit) break
    }
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException
    throw new SottoError('local', `Cannot read ${source}: ${reasons[code] ?? code}`)
  }
  if (length <= limit) return Buffer.concat(parts)
  const message = `Cannot use ${source}: it has more than ${limit} bytes, which no request holds`
  throw new SottoError('local', message)
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
}

async function askTwice(invocation: Invocation, limit: number): Promise<Uint8Array> {
  const { Terminal } = await import('./terminal/terminal.ts')
  const terminal = new Terminal(limit)
  try {
    const value = await terminal.ask('Enter secret: ')
    if (value.length === 0 && !invocation.on('empty-ok')) {
      throw new SottoError('local', 'no secret provided, aborting')
    }
    const again = await terminal.ask('Confirm secret: ')
    if (Buffer.compare(value, again) === 0) return value
    throw new SottoError('local', 'secrets do not match, aborting')
  } catch (error) {
    await terminal.discard()
    throw error
  } finally {
    terminal.close()
  }
}

function checkValue(invocation: Invocation, value: Uint8Array): Uint8Array {
  const kept = spaceDecided(invocation, value)
  if (kept.length > 0 || invocation.on('empty-ok')) return kept
  const hint = 'Use --empty-ok if it should be empty.'
  throw new SottoError('local', 'empty secret value', { hint })
}

function spaceDecided(invocation: Invocation, value: Uint8Array): Uint8Array {
  if (invocation.on('verbatim') || !isUtf8(value)) return value
  const text = Buffer.from(value).toString('utf8')
  const trimmed = trimSpace(text)
  if (trimmed === text) return value
  if (invocation.on('trim-space')) return Buffer.from(trimmed)
  throw new SottoError(
    'local',
    'text value has surrounding whitespace, specify --verbatim to keep the space or --trim-space to remove it',
  )
}

function trimSpace(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && spaces.has(text[start] as string)) start++
  while (end > start && spaces.has(text[end - 1] as string)) end--
  return text.slice(start, end)
}
