/** How figures of one thing are spread. */
import { median } from './load.ts'

/** Prints the median of `numbers`, their 99th percentile, and the least and the greatest, in `unit`. */
export function printSpread(what: string, numbers: readonly number[], unit: string): void {
  const sorted = numbers.toSorted((a, b) => a - b)
  const at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toPrecision(3)
  console.log(
    `  ${what}: median ${median(numbers).toPrecision(3)}, p99 ${at(0.99)}, ${at(0)} to ${at(1)} ${unit}`,
  )
}
