/** Reads a KV engine of OpenBao or Vault, version 1 or 2: each field of each secret is an item, `PATH/FIELD`. */
import { z } from 'zod'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { variableIn } from '../../../client/api/given.ts'
import { readPrivateText } from '../../../client/platform/text-file.ts'
import { MAX_NAME_BYTES } from '../../../client/api/types.ts'
import { type Answer, isCleanPath, OpenBaoConnection } from '../../../server/openbao/connection.ts'
import { passing } from '../../../server/openbao/failures.ts'
import type { Invocation } from '../../invocation.ts'
import { type Item, itemOf, withoutTwins } from '../../readers/item.ts'

/** Secrets that are read at the same time. */
const AT_ONCE = 8
/** How much is listed at most: what answers for OpenBao may do so without an end. */
const MAX_PATHS = 100_000
/** The longest path that is looked into: no name of a secret is longer. */
const MAX_PATH = MAX_NAME_BYTES

const mountInfo = z.object({
  data: z.object({
    path: z.string(),
    type: z.string(),
    options: z.object({ version: z.string().optional() }).nullish(),
  }),
})
const listed = z.object({ data: z.object({ keys: z.array(z.string()) }) })
const fields = z.record(z.string(), z.unknown())
const ofKv1 = z.object({ data: fields })
const ofKv2 = z.object({ data: z.object({ data: fields.nullable() }) })

/**
 * The items below the path that is the first word: of version 2 the current values. Throws `usage` for flags, and
 * `backend_unavailable` or `backend_refused` where OpenBao does not let it look.
 */
export async function readOpenBao(invocation: Invocation, signal: AbortSignal): Promise<Item[]> {
  const path = (invocation.word(0) ?? '').replaceAll(/^\/+|\/+$/g, '')
  if (!isCleanPath(path)) {
    throw new SottoError('usage', `Cannot import ${quote(path)}: it is not a path of OpenBao`)
  }
  const { env } = invocation
  const url = invocation.text('address') ?? variableIn(env, ['BAO_ADDR', 'VAULT_ADDR'])?.value
  if (url === undefined) {
    const hint = 'Use --address URL, or set BAO_ADDR.'
    throw new SottoError('usage', 'No address of OpenBao is given', { hint })
  }
  const namespace =
    invocation.text('namespace') ?? variableIn(env, ['BAO_NAMESPACE', 'VAULT_NAMESPACE'])?.value
  const caFile =
    invocation.text('ca-file') ?? variableIn(env, ['BAO_CACERT', 'VAULT_CACERT'])?.value
  const token = await tokenOf(invocation)
  const connection = new OpenBaoConnection({
    url,
    ...(namespace !== undefined && { namespace }),
    ...(caFile !== undefined && { caFile }),
  })
  try {
    return await new Engine(connection, token, signal).items(path)
  } finally {
    await connection.close()
  }
}

async function tokenOf(invocation: Invocation): Promise<string> {
  const file = invocation.text('token-file')
  if (file !== undefined) return (await readPrivateText(file, 'token file', 64 * 1024)).trim()
  const token = variableIn(invocation.env, ['BAO_TOKEN', 'VAULT_TOKEN'])?.value
  if (token !== undefined) return token
  const hint = 'Set BAO_TOKEN, or use --token-file FILE. A token is never an argument.'
  throw new SottoError('usage', 'No token of OpenBao is given', { hint })
}

/** Where a secret is: its mount, and the path in it. */
interface Place {
  readonly mount: string
  readonly isV2: boolean
  readonly path: string
}

class Engine {
  readonly #connection: OpenBaoConnection
  readonly #token: string
  readonly #signal: AbortSignal

  constructor(connection: OpenBaoConnection, token: string, signal: AbortSignal) {
    this.#connection = connection
    this.#token = token
    this.#signal = signal
  }

  async items(whole: string): Promise<Item[]> {
    const { mount, isV2 } = await this.#mountOf(whole)
    const top = `${whole}/`.slice(mount.length + 1).replace(/\/$/, '')
    const paths: string[] = []
    const refused: Item[] = []
    const folders = [top]
    let seen = 0
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      for (const key of await this.#keysIn({ mount, isV2, path: folder })) {
        if (++seen > MAX_PATHS) throw tooMany(whole)
        const path = folder === '' ? key : `${folder}/${key}`
        if (path.length > MAX_PATH) {
          refused.push({ name: relative(path, top), refusal: 'its path is too long' })
        } else if (!isCleanPath(path.replace(/\/$/, ''))) {
          refused.push({
            name: relative(path, top),
            refusal: 'a character of its path needs an escape',
          })
        } else if (key.endsWith('/')) folders.push(path.slice(0, -1))
        else paths.push(path)
      }
    }
    // The path may be that of a secret itself.
    if (top !== '') paths.push(top)
    const found = new Map<string, Item[]>()
    const queue = paths.toSorted().values()
    const worker = async (): Promise<void> => {
      for (const path of queue)
        found.set(path, await this.#read({ mount, isV2, path }, relative(path, top)))
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    return withoutTwins([...paths.toSorted().flatMap((path) => found.get(path) ?? []), ...refused])
  }

  async #mountOf(path: string): Promise<{ mount: string; isV2: boolean }> {
    const answer = await this.#get(`sys/internal/ui/mounts/${path}`)
    const parsed = mountInfo.safeParse(answer.ok ? answer.body : undefined)
    if (!parsed.success) throw this.#refused(answer, `look at the mount of ${quote(path)}`)
    const { path: mount, type, options } = parsed.data.data
    if (type !== 'kv') {
      const message = `Cannot import ${quote(path)}: its engine is of the type ${quote(type)}, not kv`
      throw new SottoError('usage', message)
    }
    // A mount that was made without a version has none, and is of version 1.
    const version = options?.version ?? '1'
    if (version !== '1' && version !== '2') {
      const message = `Cannot import ${quote(path)}: its KV engine is of the version ${quote(version)}, not 1 or 2`
      throw new SottoError('usage', message)
    }
    return { mount: mount.replace(/\/$/, ''), isV2: version === '2' }
  }

  async #keysIn(place: Place): Promise<readonly string[]> {
    const answer = await this.#get(pathOf(place, 'metadata'), { list: 'true' })
    if (!answer.ok && answer.failure.kind === 'not_found') return []
    const parsed = listed.safeParse(answer.ok ? answer.body : undefined)
    if (parsed.success) return parsed.data.data.keys
    throw this.#refused(answer, `list ${quote(`${place.mount}/${place.path}`)}`)
  }

  /** The fields of a secret; none where there is none, or its current version is deleted. */
  async #read(place: Place, name: string): Promise<Item[]> {
    const answer = await this.#get(pathOf(place, 'data'))
    const kind = answer.ok ? undefined : answer.failure.kind
    if (kind === 'not_found' || kind === 'deleted') return []
    if (kind === 'denied') return [{ name, refusal: 'OpenBao does not let it be read' }]
    const body = answer.ok ? answer.body : undefined
    const data = place.isV2
      ? ofKv2.safeParse(body).data?.data.data
      : ofKv1.safeParse(body).data?.data
    if (data === undefined)
      throw this.#refused(answer, `read ${quote(`${place.mount}/${place.path}`)}`)
    return Object.entries(data ?? {}).map(([field, value]) =>
      ofField(name === '' ? field : `${name}/${field}`, value),
    )
  }

  #get(path: string, query?: Readonly<Record<string, string>>): Promise<Answer> {
    this.#signal.throwIfAborted()
    const request = { method: 'GET', path, token: this.#token, repeatable: true } as const
    return this.#connection.call(query ? { ...request, query } : request)
  }

  #refused(answer: Answer, attempt: string): SottoError {
    if (answer.ok) {
      const message = `Cannot ${attempt}: ${this.#connection.origin} answered with something else`
      return new SottoError('backend_refused', message)
    }
    const { kind, found, hint } = answer.failure
    const code = passing.has(kind) || kind === 'sealed' ? 'backend_unavailable' : 'backend_refused'
    return new SottoError(code, `Cannot ${attempt}: ${found}`, { hint })
  }
}

function tooMany(path: string): SottoError {
  const message = `Cannot import ${quote(path)}: there are more than ${MAX_PATHS} paths below it`
  return new SottoError('usage', message, { hint: 'Import one part of it after another.' })
}

function pathOf({ mount, isV2, path }: Place, kind: 'data' | 'metadata'): string {
  return [mount, ...(isV2 ? [kind] : []), ...(path === '' ? [] : [path])].join('/')
}

function relative(path: string, top: string): string {
  if (path === top) return ''
  return top === '' ? path : path.slice(top.length + 1)
}

function ofField(name: string, value: unknown): Item {
  if (typeof value === 'string') return itemOf(name, value)
  if (typeof value === 'boolean' || Number.isSafeInteger(value)) return itemOf(name, String(value))
  return { name, refusal: 'it is not a text' }
}
