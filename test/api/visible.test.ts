/** Text from elsewhere as it is shown. */
import { expect, test } from 'vitest'
import { visible } from '../../client/api/visible.ts'

test.each([
  ['a\u001b[2J\u0085\n', String.raw`a\u001b[2J\u0085\u000a`],
  ['\u202eabc\u2066\u2028', String.raw`\u202eabc\u2066\u2028`],
  ['prod/db\u200b', String.raw`prod/db\u200b`],
  ['\ufeffprod\u00ad/\u2060db', String.raw`\ufeffprod\u00ad/\u2060db`],
  ['a\u{e0041}b', String.raw`a\udb40\udc41b`],
  ['\ud800', String.raw`\ud800`],
])('C4: what is not seen, or is more than seen, is written: %j', (text, shown) => {
  expect(visible(text)).toBe(shown)
  expect(JSON.parse(`"${shown}"`)).toBe(text)
})

test.each(['prod/ключ-é-漢', '👩‍💻 می‌خواهم', '\u0601 ١٢٣'])('%s stays as it is', (text) => {
  expect(visible(text)).toBe(text)
})
