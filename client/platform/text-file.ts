/**
 * Reads text that a person or another tool wrote. Editors and shells add what nobody sees: a mark of the byte order,
 * lines ended as on Windows, blanks and blank lines at the end. That is taken away, and what is left is for strict checks.
 */
import { isUtf8 } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { quote, SottoError } from '../api/errors.ts'
import { readPrivateFile } from './private-file.ts'
import { systemError, type SystemErrorExtra } from './system-error.ts'

/** How text is read. */
export interface TextExtra extends SystemErrorExtra {
  /** Bytes that are not UTF-8 are taken for Latin-1: around PEM there may be notes in it. */
  readonly pem?: boolean
}

/** The text of the file at `path`. `what` names its kind in messages. Rejects with `local`, or the code in `extra`. */
export async function readTextFile(
  path: string,
  what: string,
  extra: TextExtra = {},
): Promise<string> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw systemError(error, `read the ${what}`, path, extra)
  })
  return decodeText(bytes, `the ${what} ${quote(path)}`, extra)
}

/** As `readTextFile`, at once. */
export function readTextFileNow(path: string, what: string, extra: TextExtra = {}): string {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (error) {
    throw systemError(error, `read the ${what}`, path, extra)
  }
  return decodeText(bytes, `the ${what} ${quote(path)}`, extra)
}

/** As `readPrivateFile`, with `hint` where there is none, and the text that is in it; its bytes are overwritten. */
export async function readPrivateText(
  path: string,
  what: string,
  maxBytes: number,
  { hint, ...extra }: Omit<TextExtra, 'code'> = {},
): Promise<string> {
  const bytes = await readPrivateFile(path, what, maxBytes, hint)
  try {
    return decodeText(bytes, `the ${what} ${quote(path)}`, { ...extra, code: 'key_missing' })
  } finally {
    bytes.fill(0)
  }
}

/**
 * The text that `bytes` are, without what nobody sees. `whose` names it in messages. Throws `local`, or the code in
 * `extra`, for UTF-16, which Windows may write, and for what is not text.
 */
export function decodeText(
  bytes: Uint8Array,
  whose: string,
  { code = 'local', pem = false }: TextExtra = {},
): string {
  const refuse = (why: string, hint: string): SottoError =>
    new SottoError(code, `Cannot use ${whose}: ${why}`, { hint })
  if (isUtf16(bytes)) {
    throw refuse('it is UTF-16', 'Save it as UTF-8; in PowerShell: Set-Content -Encoding utf8.')
  }
  const isText = isUtf8(bytes)
  if ((!isText && !pem) || bytes.includes(0)) {
    throw refuse('it is not text in UTF-8', 'Name another file, or save it as UTF-8.')
  }
  const { buffer, byteOffset, byteLength } = bytes
  return cleanText(Buffer.from(buffer, byteOffset, byteLength).toString(isText ? 'utf8' : 'latin1'))
}

/** `text` without what nobody sees; at its end one line end is left where there was one. */
export function cleanText(text: string): string {
  return text
    .replace(/^\uFEFF/, '')
    .replaceAll(/\r\n?/g, '\n')
    .replace(/[ \t\n]+$/, (end) => (end.includes('\n') ? '\n' : ''))
}

/** The lines of `text` that say something: without blanks around them, blank lines and those that begin with `#`. */
export function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
}

/** By its mark of the byte order, or by a first character whose other byte is 0. */
function isUtf16([first, second]: Uint8Array): boolean {
  if (first === undefined || second === undefined) return false
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) return true
  return (first === 0) !== (second === 0)
}
