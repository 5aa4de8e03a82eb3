/**
 * Sets of version numbers as text, in runs: `1-3,7` is 1, 2, 3 and 7, and empty text is the empty set.
 * Every set has exactly one such text, so sets are compared as text.
 */
import { SottoError } from '../../client/api/errors.ts'
import { MAX_VERSION } from '../../client/api/types.ts'

type Run = readonly [first: number, last: number]

/** The text of `numbers`, which must be version numbers, ascending. Throws `internal` otherwise. */
export function formatNumbers(numbers: readonly number[]): string {
  const runs: [first: number, last: number][] = []
  let last = 0
  let run: [number, number] | undefined
  for (const number of numbers) {
    if (!Number.isInteger(number) || number <= last || number > MAX_VERSION) {
      throw new SottoError('internal', 'Version numbers must be ascending, from 1 to 4294967295')
    }
    if (run && number === last + 1) run[1] = number
    else runs.push((run = [number, number]))
    last = number
  }
  return formatRuns(runs)
}

/** The numbers of `text`, ascending. Throws `store_damaged` for any other text. */
export function parseNumbers(text: string): number[] {
  const numbers: number[] = []
  for (const [first, last] of parseRuns(text)) {
    for (let number = first; number <= last; number++) numbers.push(number)
  }
  return numbers
}

/** Whether `number` is in the set. */
export function hasNumber(text: string, number: number): boolean {
  return parseRuns(text).some(([first, last]) => first <= number && number <= last)
}

/** The numbers that are in one of the two sets, or in both. */
export function joinNumbers(one: string, other: string): string {
  const joined: [first: number, last: number][] = []
  const runs = [...parseRuns(one), ...parseRuns(other)].toSorted((a, b) => a[0] - b[0])
  for (const [first, last] of runs) {
    const run = joined.at(-1)
    if (run && first <= run[1] + 1) run[1] = Math.max(run[1], last)
    else joined.push([first, last])
  }
  return formatRuns(joined)
}

/** The set without `number`. */
export function withoutNumber(text: string, number: number): string {
  const runs = parseRuns(text).flatMap(([first, last]): Run[] => {
    if (number < first || last < number) return [[first, last]]
    const around = [[first, number - 1] as const, [number + 1, last] as const]
    return around.filter((run) => run[0] <= run[1])
  })
  return formatRuns(runs)
}

function parseRuns(text: string): Run[] {
  if (text === '') return []
  return text.split(',').map((part) => {
    const dash = part.indexOf('-')
    const first = Number(dash < 0 ? part : part.slice(0, dash))
    const last = dash < 0 ? first : Number(part.slice(dash + 1))
    if (first >= 1 && last >= first && last <= MAX_VERSION) return [first, last]
    throw new SottoError('store_damaged', `Cannot read the version numbers "${text}" in the store`)
  })
}

function formatRuns(runs: readonly Run[]): string {
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',')
}
