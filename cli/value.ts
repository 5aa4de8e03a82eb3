/** Reads the value of a secret: from a file, from stdin, or from a person; never from an argument. */
import { isUtf8 } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { quote, SottoError } from '../client/api/errors.ts'
import { utf8Length } from '../client/api/names.ts'
import { MAX_BODY_BYTES, MAX_VERSION } from '../client/api/types.ts'
import type { Invocation } from './invocation.ts'
import { Interrupted } from './terminal/interrupted.ts'

/** What Go's unicode.IsSpace takes for white space. */
const spaces = new Set(
  '\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a' +
    '\u2028\u2029\u202f\u205f\u3000',
)

/** Spaces without a width, and the mark of the byte order: editors add them, and pages have them to copy. */
const unseen = '\u200b\u2060\ufeff'

/**
 * The value for the secret `name`, as the flags want it. Throws `local` for a file or stdin that
 * cannot be read, for more bytes than a request holds, for an empty value without --empty-ok, and
 * for surrounding white space that no flag decides about.
 */
export async function readValue(invocation: Invocation, name: string): Promise<Uint8Array> {
  const value = await read(invocation, valueLimit(name))
  const oddity = invocation.on('verbatim') ? undefined : oddityOf(value)
  if (oddity !== undefined) {
    await invocation.io.stderr.write(`Note: the value ${oddity}; it is saved as it is\n`)
  }
  return value
}

async function read(invocation: Invocation, limit: number): Promise<Uint8Array> {
  const file = invocation.text('from-file')
  if (file !== undefined && file !== '-') {
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

/** All of `chunks`; `source` names them in messages. Throws `local` where they cannot be read, or are more than `limit` bytes. */
export async function readAll(
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
    // Loaded only here: to read and to write a secret needs nothing of the server.
    const { adviceOn, reasonOf } = await import('../client/platform/system-error.ts')
    throw new SottoError('local', `Cannot read ${source}: ${reasonOf(error)}`, {
      hint: adviceOn(error),
    })
  }
  if (length <= limit) return Buffer.concat(parts)
  const message = `Cannot use ${source}: it has more than ${limit} bytes, which no request holds`
  throw new SottoError('local', message)
}

async function askTwice(invocation: Invocation, limit: number): Promise<Uint8Array> {
  const { Terminal } = await import('./terminal/terminal.ts')
  const terminal = new Terminal(limit)
  using _ = invocation.io.onInterrupt((signal) => terminal.interrupt(new Interrupted(signal)))
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

/** What most probably keeps `value` from being what somebody meant, and is hard to find later; never any of it. */
function oddityOf(value: Uint8Array): string | undefined {
  const [first, second] = value
  const high = first === 0xff && second === 0xfe ? 1 : first === 0xfe && second === 0xff ? 0 : -1
  // A key may begin with the mark of UTF-16 by chance, and does not go on as text in Latin letters then.
  if (high >= 0 && value.length > 2 && value.length % 2 === 0) {
    return value.every((byte, at) => at < 2 || at % 2 !== high || byte === 0)
      ? 'is text in UTF-16, as Windows PowerShell writes it'
      : undefined
  }
  const text = isUtf8(value) ? Buffer.from(value).toString('utf8') : ''
  for (const [end, how] of [
    [text.charAt(0), 'begins'],
    [text.charAt(text.length - 1), 'ends'],
  ] as const) {
    if (end === '' || !unseen.includes(end)) continue
    const code = end.charCodeAt(0).toString(16).toUpperCase()
    return `${how} with a character that nobody sees (U+${code})`
  }
  return undefined
}

function trimSpace(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && spaces.has(text[start] as string)) start++
  while (end > start && spaces.has(text[end - 1] as string)) end--
  return text.slice(start, end)
}
