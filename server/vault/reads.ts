/** Reads secrets as a KV engine of version 2 shows them: values, what is known of them, and lists. */
import { nameProblem } from '../../client/api/names.ts'
import { SottoError } from '../../client/api/errors.ts'
import { MAX_VERSION } from '../../client/api/types.ts'
import { contentOf } from '../backends/content.ts'
import type { Call } from '../gate/gate.ts'
import type { Answer } from '../http/answer.ts'
import { SerialQueue } from '../http/fair-queue.ts'
import { turns } from '../platform/turns.ts'
import type { Secrets } from '../secrets/secrets.ts'
import { envelope, errorsOf, jsonOf, nothing } from './answers.ts'
import { isReachable, keysIn, type Mount } from './mounts.ts'

/** A caller's request, once it is known for which mount it is. */
export interface Reading {
  readonly call: Call
  readonly mount: Mount
  /** What follows the mount and `data/`, `metadata/` or `subkeys/`. */
  readonly path: string
  readonly query: URLSearchParams
  /** Narrows what the caller may do to names that something else than the policy allows, too. */
  readonly isWithin: (name: string) => boolean
}

/** When nobody knows: the zero of Go's clock. */
const NO_TIME = '0001-01-01T00:00:00Z'

/** What of a secret every version has. */
const living = { deletion_time: '', destroyed: false }

/** Answers for the secrets of a server. */
export class Reads {
  readonly #secrets: Secrets
  readonly #lists = new SerialQueue()

  constructor(secrets: Secrets) {
    this.#secrets = secrets
  }

  /** `data/PATH`: the value as fields. Needs `get`. */
  async data(reading: Reading): Promise<Answer> {
    return this.#revealed(
      reading,
      (fields, metadata) => `{"data":${fields},"metadata":${metadata}}`,
    )
  }

  /** `subkeys/PATH`: the names of its fields. Needs `get`, and counts as one. */
  async subkeys(reading: Reading): Promise<Answer> {
    return this.#revealed(reading, (fields, metadata) => {
      const names = Object.keys(JSON.parse(fields) as object)
      const subkeys = names.map((name) => `${JSON.stringify(name)}:null`)
      return `{"metadata":${metadata},"subkeys":{${subkeys.join(',')}}}`
    })
  }

  /** `metadata/PATH`: which versions there are. Needs `info`. */
  async metadata(reading: Reading): Promise<Answer> {
    const { call } = reading
    const name = nameOf(reading)
    const within = narrowed(reading, name)
    const { info } = await this.#secrets.info(within, { Name: name })
    const times = await this.#secrets.putTimes(within, name)
    const timeOf = (version: number): string => times.get(version) ?? NO_TIME
    const [oldest = 1] = info.Versions
    const data = {
      cas_required: false,
      created_time: timeOf(oldest),
      current_metadata_version: 0,
      current_version: info.ActiveVersion,
      custom_metadata: null,
      delete_version_after: '0s',
      max_versions: 0,
      metadata_cas_required: false,
      // An engine that has trimmed nothing says so with 0.
      oldest_version: oldest === 1 ? 0 : oldest,
      updated_time: timeOf(info.Versions.at(-1) ?? oldest),
      versions: Object.fromEntries(
        info.Versions.map((version) => [version, { created_time: timeOf(version), ...living }]),
      ),
    }
    return envelope(call.request, { data })
  }

  /** A list of `metadata/FOLDER`: what the caller has `info` on. */
  async list({ call, mount, path, query, isWithin }: Reading): Promise<Answer> {
    const folder = path === '' ? '' : `${path.replace(/\/$/, '')}/`
    const found = await this.#lists.run(call.caller.principal.ip, () => this.#secrets.list(call))
    const paths = await turns.collect(found, ({ Name }) => {
      if (!Name.startsWith(mount.prefix) || !isWithin(Name)) return undefined
      const rest = Name.slice(mount.prefix.length)
      return isReachable(rest) ? rest : undefined
    })
    const after = query.get('after') ?? ''
    const limit = Number(query.get('limit') ?? 0)
    const keys = keysIn(paths, folder).filter((key) => key > after)
    const shown = limit > 0 ? keys.slice(0, limit) : keys
    if (shown.length === 0) return nothing
    return envelope(call.request, { data: { keys: shown } })
  }

  async #revealed(
    reading: Reading,
    textOf: (fields: string, metadata: string) => string,
  ): Promise<Answer> {
    const { call, query } = reading
    const version = versionIn(query)
    if (version === undefined) return badVersion
    const name = nameOf(reading)
    const within = narrowed(reading, name)
    const request = { Name: name, Version: Math.min(version, MAX_VERSION), UpdateIfChanged: false }
    const found = await this.#secrets.get(within, request)
    if (!found || (version > 0 && found.Version !== version)) return nothing
    const { bytes } = contentOf(found.Value)
    found.Value.fill(0)
    const fields = bytes.toString()
    bytes.fill(0)
    const times = await this.#secrets.putTimes(within, name)
    const created_time = times.get(found.Version) ?? NO_TIME
    const of = { created_time, custom_metadata: null, ...living, version: found.Version }
    return envelope(call.request, { data: textOf(fields, jsonOf(of)) })
  }
}

const badVersion = errorsOf(
  400,
  'bad_request',
  `Field validation failed: error converting input for field "version": '' cannot parse value as 'int': strconv.ParseInt: invalid syntax`,
)

/** The version that the query names, 0 for the active one; undefined where it is not a number. */
function versionIn(query: URLSearchParams): number | undefined {
  const text = query.get('version') ?? '0'
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

/** Throws `bad_request` for a path that a client would have cleaned, and `invalid_name` for no name. */
function nameOf({ mount, path }: Reading): string {
  if (!isReachable(path))
    throw new SottoError('bad_request', 'The path has an empty or dotted part')
  const name = `${mount.prefix}${path}`
  const problem = nameProblem(name)
  if (problem === undefined) return name
  throw new SottoError('invalid_name', `Cannot read a secret of that name: ${problem}`)
}

/** The call, without any right where the name is not within its bounds: the gate refuses and records it. */
function narrowed({ call, isWithin }: Reading, name: string): Call {
  return isWithin(name) ? call : { ...call, caller: { ...call.caller, rules: [] } }
}
