/**
 * Names of secrets as paths that no server, proxy or policy reads as anything but plain segments. Every
 * name has one path, and no two share one.
 */

const plain = /^[A-Za-z0-9_.-]$/
const dots = /^\.{1,2}$/

/**
 * The path of `name`, a well-formed text: its segments, between slashes, with every byte of UTF-8 but
 * letters, digits, `_`, `-` and `.` as `=` and two hex digits. `.` and `..` become `=2E` and `=2E=2E`, and
 * an empty segment a lone `=`.
 */
export function pathOf(name: string): string {
  if (!name.isWellFormed()) throw new Error('a name without UTF-8')
  return name.split('/').map(segmentOf).join('/')
}

function segmentOf(segment: string): string {
  if (segment === '') return '='
  if (dots.test(segment)) return segment.replaceAll('.', '=2E')
  return Array.from(Buffer.from(segment), escape).join('')
}

function escape(byte: number): string {
  const character = String.fromCharCode(byte)
  return plain.test(character) ? character : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`
}
