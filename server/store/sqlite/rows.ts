/** Rows of a table, which have NULL where the types of the contract have nothing. */

/** A row that has what `T` has. */
export type RowOf<T> = {
  readonly [K in keyof T]-?: object extends Pick<T, K> ? T[K] | null : T[K]
}

/** `row` without the columns that are NULL. */
export function withoutNulls<T extends object>(row: RowOf<T>): T {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null)) as T
}
