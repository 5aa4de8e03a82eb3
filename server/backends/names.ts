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

/** The name whose path is `path`; undefined where no name has that path. */
export function nameAt(path: string): string | undefined {
  const segments = path.split('/').map((each) => {
    if (each === '=') return ''
    return each.replaceAll(/=([0-9A-F]{2})/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    )
  })
  const name = Buffer.from(segments.join('/'), 'latin1').toString()
  return pathOf(name) === path ? name : undefined
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
