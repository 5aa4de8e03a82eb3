/** Names of backups: they sort by time, and have the store id and the revision in them. */

/** What is in a name. */
export interface NameParts {
  /** UTC, with milliseconds. */
  readonly created: string
  readonly storeId: string
  readonly revision: number
}

/** A backup, and what is in its name. */
export type NamedBackup = NameParts & { readonly name: string }

const pattern =
  /^sotto-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\.(\d{3})Z-([0-9a-f]{32})-r(\d{1,16})\.backup$/

/** The name of a backup. */
export function backupName({ created, storeId, revision }: NameParts): string {
  return `sotto-${created.replaceAll(/[-:]/g, '')}-${storeId}-r${revision}.backup`
}

/** What is in `name`; undefined where it is not the name of a backup. */
export function parseName(name: string): NameParts | undefined {
  const [, year, month, day, hour, minute, second, ms, storeId, revision] = pattern.exec(name) ?? []
  if (storeId === undefined) return undefined
  return {
    created: `${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`,
    storeId,
    revision: Number(revision),
  }
}

/** The backups of the store `storeId` among `objects`, the oldest first; of one moment by revision, then by name. */
export function ownBackups<T extends { readonly name: string }>(
  objects: readonly T[],
  storeId: string,
): (T & NameParts)[] {
  return objects
    .flatMap((object) => {
      const parts = parseName(object.name)
      return parts?.storeId === storeId ? [{ ...object, ...parts }] : []
    })
    .toSorted(byAge)
}

function byAge(a: NamedBackup, b: NamedBackup): number {
  if (a.created !== b.created) return a.created < b.created ? -1 : 1
  return a.revision - b.revision || (a.name < b.name ? -1 : 1)
}
