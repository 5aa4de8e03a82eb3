/** docs/reference/errors.md shows the table of errors as it is. `npx vitest -u` writes its entries anew. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { cures, hintFor } from '../cli/cures.ts'
import { helpForError } from '../cli/help-error.ts'
import { type ErrorCode, errorTable } from '../client/api/errors.ts'

const path = new URL('../docs/reference/errors.md', import.meta.url).pathname
const codes = Object.keys(errorTable) as ErrorCode[]

test('docs/reference/errors.md has a heading for each error, with what the code says of it', async () => {
  const text = readFileSync(path, 'utf8')
  const headings = [...text.matchAll(/^### (.*)$/gm)].map(([, heading = '']) => heading)
  expect(headings.toSorted()).toEqual(codes.toSorted())
  const entries = text.replaceAll(
    /^(### (\w+)\n\n)[^]*?(?=\n\n##|\n*$(?![^]))/gm,
    (_, head: string, code: string) => head + entryOf(code as ErrorCode),
  )
  await expect(entries).toMatchFileSnapshot(path)
})

/** The exit code is 2 of a failed answer and 1 of others, where it does not say. */
function entryOf(code: ErrorCode): string {
  const { status, text, exit, meaning } = errorTable[code]
  const wire = [
    ...(status > 0 ? [String(status)] : []),
    ...(text === '' ? [] : [`\`${text}\``]),
  ].join(' ')
  const usual = exit === (status === 0 ? 1 : 2)
  const exits = usual ? '' : status === 0 ? `Exit ${exit}` : `, exit ${exit}`
  const head = `${wire}${exits}`
  return `${head === '' ? '' : `${head}. `}${meaning} ${cures[code]}`
}

test.each(codes)('%s: its help says what the page says', (code) => {
  const { meaning, exit, status } = errorTable[code]
  const words = helpForError(code, 1000)
  for (const each of [code, meaning, cures[code], `exit code ${exit}`]) {
    expect(words).toContain(each)
  }
  expect(words.includes(': HTTP ')).toBe(status > 0)
})

test('an error without a hint has the one for its code; of its own it has that alone, but for a denial', () => {
  expect(hintFor('not_found', undefined)).toBe(cures.not_found)
  expect(hintFor('not_found', 'Look there.')).toBe('Look there.')
  expect(hintFor('denied', 'It takes a rule.')).toBe(`It takes a rule. ${cures.denied}`)
  expect(hintFor('usage', undefined)).toBeUndefined()
})
