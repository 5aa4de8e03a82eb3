/** How often tests that draw lots try: fewer times in every run, and more with `DEPTH=full`. */

/** The number of tries: `usual`, or `full` when `DEPTH=full` is set. */
export function depth({ usual, full }: { usual: number; full: number }): number {
  return process.env['DEPTH'] === 'full' ? full : usual
}
