/** Text as a terminal is given it. */
import { isUtf8 } from 'node:buffer'
import { visible } from '../../client/api/visible.ts'

/**
 * `data` as a terminal is given it: as `visible` has it, but with its tabs and its ends of lines. Of bytes that
 * are not text, those that are not printable ASCII are written as `\xXX`.
 */
export function shown(data: string | Uint8Array): string {
  if (typeof data !== 'string' && !isUtf8(data)) {
    return Buffer.from(data)
      .toString('latin1')
      .replace(/[^\t\n -~]/g, (each) => `\\x${each.charCodeAt(0).toString(16).padStart(2, '0')}`)
  }
  const text = typeof data === 'string' ? data : Buffer.from(data).toString('utf8')
  return text
    .split(/([\t\n])/)
    .map((part, at) => (at % 2 === 0 ? visible(part) : part))
    .join('')
}
