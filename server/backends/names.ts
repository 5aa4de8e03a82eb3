/**
 * Names of secrets as paths that no server, proxy or policy reads as anything but plain segments, and
 * back. Every name has one path, and no two share one.
 */

/** What an empty segment becomes; nothing else becomes it. */
const EMPTY = '='

const plain = /^[A-Za-z0-9_.-]$/
const dots = /^\.{1,2}$/
const escaped = /=([0-9A-F]{2})/g

/**
 * The path of `name`, a well-formed text: its segments, between slashes, with every byte of UTF-8 but
 * letters, digits, `_`, `-` and `.` as `=` and two hex digits. `.` and `..` become `=2E` and `=2E=2E`, and
 * an empty segment a lone `=`.
 */
export function pathOf(name: string): string {
  if (!name.isWellFormed()) throw new Error('a name without UTF-8')
  return name.split('/').map(segmentOf).join('/')
}

/** The name whose path is `path`; undefined for what `pathOf` gives for no name. */
export function nameOf(path: string): string | undefined {
  const bytes = Buffer.from(path.split('/').map(unescaped).join('/'), 'latin1')
  const name = bytes.toString()
  return bytes.equals(Buffer.from(name)) && pathOf(name) === path ? name : undefined
}

function segmentOf(segment: string): string {
  if (segment === '') return EMPTY
  if (dots.test(segment)) return segment.replaceAll('.', '=2E')
  return Array.from(Buffer.from(segment), escape).join('')
}

function escape(byte: number): string {
  const character = String.fromCharCode(byte)
  return plain.test(character) ? character : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`
}

/** Each byte as one character. */
function unescaped(segment: string): string {
  if (segment === EMPTY) return ''
  return segment.replace(escaped, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
}
