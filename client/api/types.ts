/** The words that every room shares: actions, rules, principals, and what the API answers. */

/** The highest version number: versions are unsigned 32-bit integers. */
export const MAX_VERSION = 4_294_967_295
/** Secrets that one watch may be about. */
export const MAX_WATCHED = 1000

/** Bytes of UTF-8 that the name of a secret may have when it is written. */
export const MAX_NAME_BYTES = 512

/** Bytes that a request body may have. */
export const MAX_BODY_BYTES = 2 * 1024 * 1024

/** What a rule can allow on a secret. */
export const secretActions = ['get', 'info', 'put', 'create-version', 'activate', 'delete'] as const

/** What a rule can allow an operator. No secret is concerned: the pattern must match the empty name. */
export const operatorActions = [
  'audit',
  'keys',
  'backup',
  'metrics',
  'backends:view',
  'backends:create',
  'backends:edit',
  'backends:delete',
  'mirror',
  'migrate',
  'rotation:view',
  'rotation:edit',
  'rotation:run',
] as const

/** All that a rule can allow. Names that are not listed are ignored in rules. */
export const actions = [...secretActions, ...operatorActions] as const

/** An action that a rule can allow. */
export type Action = (typeof actions)[number]

/** How an act that was recorded came out. A closed set: every other outcome is an error's business. */
export const results = [
  /** It was done: the value left, the list was answered. */
  'ok',
  /** The rules do not allow it. */
  'denied',
  /** Allowed, but there is no such secret or version. */
  'not-found',
  /** A put of the bytes that the latest version has: nothing was added. */
  'unchanged',
  /** Allowed, but the state of the secret does not permit it. */
  'refused',
  /** Allowed, but a system that it takes did not do it. */
  'failed',
] as const

/** How an act came out by all of the log: a later record can take it back. */
export const outcomes = [...results, 'abandoned'] as const

/** How an act that was recorded came out. */
export type Result = (typeof results)[number]

/** One rule of the tailnet policy, in setec's shape: it allows when an action and a pattern match. */
export interface Rule {
  /** Action names; unknown ones are kept and never match. */
  readonly action: readonly string[]
  /** Patterns over names: `*` matches any run of characters, everything else itself. */
  readonly secret: readonly string[]
}

/** Who is acting, according to the network; the shape that setec's audit entries use. */
export interface Principal {
  /** The node's name, without the dot at its end. Empty for a job of the server. */
  readonly hostname: string
  /** The address that the node called from. Empty for a job of the server. */
  readonly ip: string
  /** The login name of the person whose node it is, `system:` and a name for a job; absent for tagged nodes. */
  readonly user?: string
  /** The tags of a tagged node; absent for a person's node. */
  readonly tags?: readonly string[]
}

/** What `list` and `info` answer about a secret. */
export interface SecretInfo {
  readonly Name: string
  /** Existing versions, ascending. */
  readonly Versions: readonly number[]
  readonly ActiveVersion: number
}

/** What `get` answers, with the value as bytes. */
export interface SecretValue {
  readonly Value: Uint8Array
  readonly Version: number
}
