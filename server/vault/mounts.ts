/** Which secrets a mount of the surface shows, and where: a mount has a prefix, and what follows it is the path. */

/** A mount, as Vault's clients name it. */
export interface Mount {
  /** Without a slash at its end. */
  readonly name: string
  /** What the names of its secrets begin with: empty, or it ends with a slash. */
  readonly prefix: string
}

/** The mount of a server that is given no others: names as they are. */
export const defaultMounts: readonly Mount[] = [{ name: 'secret', prefix: '' }]

/** What `path` begins with, and what follows that and a slash; undefined where it begins with no mount. */
export function mountOf(
  mounts: readonly Mount[],
  path: string,
): { readonly mount: Mount; readonly rest: string } | undefined {
  const mount = mounts.find(({ name }) => path === name || path.startsWith(`${name}/`))
  return mount && { mount, rest: path.slice(mount.name.length + 1) }
}

/** Whether a client can ask for what is at `path`: programs of others clean paths before they send them. */
export function isReachable(path: string): boolean {
  return path.split('/').every((segment) => !/^\.{0,2}$/.test(segment))
}

/** What is directly in `folder`, which is empty or ends with a slash: of `paths`, in their order; folders end with a slash. */
export function keysIn(paths: readonly string[], folder: string): string[] {
  const keys = new Set<string>()
  for (const path of paths) {
    if (!path.startsWith(folder)) continue
    const rest = path.slice(folder.length)
    const end = rest.indexOf('/')
    keys.add(end < 0 ? rest : rest.slice(0, end + 1))
  }
  return [...keys]
}
