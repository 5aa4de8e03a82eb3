/** Writes a Secret so that it is what a definition asks for, and leaves alone what is not the definition's. */
import { randomBytes } from 'node:crypto'
import { isStatus, type KubernetesApi, MANAGER } from './api.ts'
import type { Definition } from './definition.ts'
import type { Owner, Resource } from './reflector.ts'
import { API_VERSION, type DefinitionResource } from './resource.ts'

/** Annotations of ours. */
const DEFINITION = 'sotto/definition'
const CONTENT = 'sotto/content'
/** Bytes that the API server takes. */
const MAX_DATA = 1024 * 1024

/** Annotations of tools, which say whose the definition is, and not the Secret. */
const foreign = /^(?:kubectl\.kubernetes\.io\/last-applied-configuration$|argocd\.argoproj\.io\/)/

/** A Secret as the API server has it. */
export interface SecretResource extends Resource {
  readonly type?: string
  readonly data?: Readonly<Record<string, string>>
  readonly immutable?: boolean
  readonly metadata: Resource['metadata'] & {
    readonly managedFields?: readonly {
      readonly manager?: string
      readonly operation?: string
      readonly fieldsV1?: Fields
    }[]
  }
}

/** As in `managedFields`: `f:NAME` leads on. */
interface Fields {
  readonly [name: string]: Fields
}

/** What came of it. */
export type Written =
  | {
      readonly state: 'written' | 'same'
      readonly secret: SecretResource
      /** Another one for each change of the content. */
      readonly mark: string
      /** The mark of the content before, the same where that was this one; undefined where there was no Secret. */
      readonly before: string | undefined
    }
  /** Someone else's, in whole or in part: nothing was changed. */
  | { readonly state: 'conflict'; readonly why: string }
  /** The API server does not take it. */
  | { readonly state: 'invalid'; readonly why: string }

/** What is to be written. */
export interface Wanted {
  readonly resource: DefinitionResource
  readonly definition: Definition
  readonly name: string
  /** In Base64. */
  readonly data: Readonly<Record<string, string>>
}

/** The path of a Secret. */
function secretPath(namespace: string, name: string): string {
  return `/api/v1/namespaces/${namespace}/secrets/${name}`
}

/** The Secret of that name; undefined where there is none. Throws ApiFailure. */
export async function readSecret(
  api: KubernetesApi,
  namespace: string,
  name: string,
): Promise<SecretResource | undefined> {
  try {
    return await api.get<SecretResource>(secretPath(namespace, name))
  } catch (error) {
    if (isStatus(error, 404)) return undefined
    throw error
  }
}

/** Writes it where it differs from `live`. Throws ApiFailure where that may succeed later. */
export async function writeSecret(
  api: KubernetesApi,
  wanted: Wanted,
  live: SecretResource | undefined,
): Promise<Written> {
  const { resource, definition, data } = wanted
  const size = Object.values(data).reduce((sum, text) => sum + Buffer.byteLength(text, 'base64'), 0)
  if (size > MAX_DATA) return { state: 'invalid', why: 'its values have more than 1 MiB together' }
  const why = live && conflictOf(wanted, live)
  if (why !== undefined) return { state: 'conflict', why }
  const last = live && (live.metadata.annotations?.[CONTENT] ?? '')
  const isSame = live !== undefined && hasData(live, data)
  const mark = isSame && last ? last : randomBytes(8).toString('hex')
  const before = isSame ? mark : last
  const body = bodyOf(wanted, mark, live)
  if (live && isSame && hasRest(live, body)) return { state: 'same', secret: live, mark, before }
  const path = secretPath(resource.metadata.namespace ?? '', wanted.name)
  try {
    const { status, body: secret } = await api.apply<SecretResource>(path, body, definition.adopts)
    if (live || status === 201) return { state: 'written', secret, mark, before }
    // Someone made it in this moment: what was added to it is taken away again.
    await api.apply(
      path,
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: wanted.name } },
      false,
    )
    return { state: 'conflict', why: `a Secret ${wanted.name} was made by someone else` }
  } catch (error) {
    const refused = refusalOf(error)
    if (refused) return refused
    throw error
  }
}

/** Deletes the Secret if it is the definition's and not to be kept. */
export async function removeSecret(
  api: KubernetesApi,
  resource: DefinitionResource,
  name: string,
): Promise<void> {
  const { namespace = '', uid } = resource.metadata
  const live = await readSecret(api, namespace, name)
  if (!live?.metadata.ownerReferences?.some((owner) => owner.uid === uid)) return
  await api.remove(secretPath(namespace, name), live.metadata.uid)
}

function conflictOf(
  { resource, definition, name }: Wanted,
  live: SecretResource,
): string | undefined {
  const { uid, name: own } = resource.metadata
  const { ownerReferences = [], annotations = {} } = live.metadata
  const isOurs =
    ownerReferences.some((owner) => owner.uid === uid) || annotations[DEFINITION] === own
  const other = ownerReferences.find((owner) => owner.uid !== uid && owner.controller)
  if (other && !(isOurs && other.kind === 'SecretDefinition' && other.name === own)) {
    return `the Secret ${name} belongs to the ${other.kind} ${other.name}`
  }
  if (!isOurs && annotations[DEFINITION] !== undefined) {
    return `the Secret ${name} belongs to the SecretDefinition ${annotations[DEFINITION]}`
  }
  if (!isOurs && !definition.adopts) {
    return `a Secret ${name} is there already; with adopt: true it is taken over`
  }
  if ((live.type ?? 'Opaque') !== definition.type) {
    return `the Secret ${name} has another type, which cannot be changed: delete it, or use another name`
  }
  return undefined
}

function bodyOf(
  { resource, definition, name, data }: Wanted,
  mark: string,
  live: SecretResource | undefined,
): SecretBody {
  const { metadata } = resource
  const owner = {
    apiVersion: API_VERSION,
    kind: 'SecretDefinition',
    name: metadata.name,
    uid: metadata.uid,
    controller: true,
  }
  const annotations = Object.entries(metadata.annotations ?? {}).filter(
    ([key]) => !foreign.test(key),
  )
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name,
      // Not one that takes its place meanwhile.
      ...(live && { uid: live.metadata.uid }),
      labels: { ...metadata.labels, 'app.kubernetes.io/managed-by': MANAGER },
      annotations: {
        ...Object.fromEntries(annotations),
        [DEFINITION]: metadata.name,
        [CONTENT]: mark,
      },
      ...(!definition.isRetained && { ownerReferences: [owner] }),
    },
    type: definition.type,
    ...(definition.isImmutable && { immutable: true }),
    data,
  }
}

interface SecretBody {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly uid?: string
    readonly labels: Readonly<Record<string, string>>
    readonly annotations: Readonly<Record<string, string>>
    readonly ownerReferences?: readonly Owner[]
  }
  readonly type: string
  readonly immutable?: boolean
  readonly data: Readonly<Record<string, string>>
}

/** Whether a Secret has that data, in Base64, and no more of ours. */
export function hasData(live: SecretResource, data: Readonly<Record<string, string>>): boolean {
  return (
    isSubset(data, live.data) && ownOf(live, ['f:data']).every((key) => Object.hasOwn(data, key))
  )
}

/** Whether the rest of it is as it should be. */
function hasRest(live: SecretResource, { metadata, immutable }: SecretBody): boolean {
  const { labels, annotations, ownerReferences = [] } = metadata
  const owners = live.metadata.ownerReferences ?? []
  const own = (part: string): string[] => ownOf(live, ['f:metadata', `f:${part}`])
  return (
    isSubset(labels, live.metadata.labels) &&
    isSubset(annotations, live.metadata.annotations) &&
    own('labels').every((key) => Object.hasOwn(labels, key)) &&
    own('annotations').every((key) => Object.hasOwn(annotations, key)) &&
    ownerReferences.every(({ uid }) => owners.some((each) => each.uid === uid)) &&
    own('ownerReferences').length === ownerReferences.length &&
    live.immutable === immutable
  )
}

/** The names below `path` that this program set. */
function ownOf({ metadata }: SecretResource, path: readonly string[]): string[] {
  const own = (metadata.managedFields ?? []).find(
    ({ manager, operation }) => manager === MANAGER && operation === 'Apply',
  )
  let fields: Fields | undefined = own?.fieldsV1
  for (const step of path) fields = fields?.[step]
  return Object.keys(fields ?? {}).flatMap((key) =>
    key === '.' ? [] : [key.replace(/^[fk]:/, '')],
  )
}

function isSubset(
  wanted: Readonly<Record<string, string>>,
  live: Readonly<Record<string, string>> = {},
): boolean {
  return Object.entries(wanted).every(([key, value]) => live[key] === value)
}

function refusalOf(error: unknown): Written | undefined {
  if (isStatus(error, 409) && error.causes.length > 0)
    return { state: 'conflict', why: error.causes.join('; ') }
  if (isStatus(error, 422))
    return { state: 'invalid', why: error.causes.join('; ') || error.reason }
  if (isStatus(error, 413)) return { state: 'invalid', why: 'it is too large' }
  return undefined
}
