/** How far the store of a server was when it answered, as far as a server says so. */

/** The branch of the store, and a revision: the answer has every change up to there. */
export interface Position {
  readonly branch: string
  readonly revision: number
}

/** What `BRANCH.REVISION` says; undefined for anything else. */
export function positionOf(text: string | undefined): Position | undefined {
  const [, branch, revision] = /^([0-9a-f]{16})\.(\d{1,16})$/.exec(text ?? '') ?? []
  return branch === undefined ? undefined : { branch, revision: Number(revision) }
}

/** Whether one is older than the other on the same branch. What is not known is not older. */
export function isOlder(one: Position | undefined, other: Position | undefined): boolean {
  return one !== undefined && one.branch === other?.branch && one.revision < other.revision
}
