/** Names of backups: when they were made, the store id and the revision. A name proves nothing. */

import type { Manifest } from './manifest.ts'

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

/** The name that a backup with that manifest was given, whatever name it has now. */
export function backupNameOf({ created, store }: Manifest): string {
  return backupName({ created, storeId: store.id, revision: store.revision })
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

/** What has the name of a backup of the store `storeId` among `objects`, by revision, then by date, as names say. */
export function namedBackups<T extends { readonly name: string }>(
  objects: readonly T[],
  storeId: string,
): (T & NameParts)[] {
  return objects
    .flatMap((object) => {
      const parts = parseName(object.name)
      return parts?.storeId === storeId ? [{ ...object, ...parts }] : []
    })
    .toSorted((a, b) => a.revision - b.revision || (a.created < b.created ? -1 : 1))
}
