/** The examples of the guides that take longest. */
import { expect, test } from 'vitest'
import { expectExamples, withExamples } from './support/documents.ts'

test('every long guide is there', () => {
  expect(withExamples('long')).toHaveLength(5)
})

test.each(withExamples('long'))('the examples of $name print what is shown', expectExamples, 60_000)
