/**
 * Reads what docs/internals/format.md describes, written from that page alone: nothing of the server is in
 * it, and its cryptography is WebCrypto's and, for files of age, that of its library. What it and the server agree on, the page says.
 */
import { Decrypter } from 'age-encryption'
import type {
  BackendVector,
  KeyFileVector,
  KmsWrapVector,
  Part,
  Reason,
  RecoveryWrapVector,
  ReferenceVector,
  RootKeyVector,
  RootVector,
  StateVector,
  TransitWrapVector,
  Vector,
  VersionVector,
} from '../vectors/crypto/crypto-vector.ts'

/** Why something was not read. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly of: Part
  readonly because: Reason

  constructor(of: Part, because: Reason) {
    super(`${of}: ${because}`)
    this.of = of
    this.because = because
  }
}

/** What a vector gives, in the words of its own result fields. Rejects with a Refusal. */
export function read(vector: Vector): Promise<Record<string, unknown>> {
  if (vector.structure === 'version') return readVersion(vector)
  if (vector.structure === 'state') return readState(vector)
  if (vector.structure === 'reference') return readReference(vector)
  if (vector.structure === 'backend') return readBackend(vector)
  if (vector.structure === 'root') return readRoot(vector)
  if (vector.structure === 'root-key') return readRootKey(vector)
  if (vector.structure === 'recovery-wrap') return readRecoveryWrap(vector)
  if (vector.structure === 'kms-wrap') return readKmsWrap(vector)
  if (vector.structure === 'transit-wrap') return readTransitWrap(vector)
  return readKeyFile(vector)
}

type Bytes = Uint8Array<ArrayBuffer>
type Field = string | number

const subtle = globalThis.crypto.subtle

async function readVersion(vector: VersionVector): Promise<{ value: string }> {
  const { storeId, place } = vector
  const { name, incarnation, version } = place
  const associated = fields('value', 1, storeId, name, incarnation, version)
  const dataKey = await dataKeyOf(vector)
  return { value: hex(await open('value', dataKey, associated, bytes(vector.sealed))) }
}

async function readReference(vector: ReferenceVector): Promise<Record<string, unknown>> {
  const { storeId, place } = vector
  const { name, incarnation, version } = place
  const associated = fields('reference', 1, storeId, name, incarnation, version)
  const dataKey = await dataKeyOf(vector)
  const held = await open('reference', dataKey, associated, bytes(vector.sealed))
  if (held.length !== 36 && held.length !== 40) throw new Refusal('reference', 'length')
  const view = new DataView(held.buffer)
  const number = held.length === 36 ? 1 : view.getUint32(36)
  // The number 1 is never written.
  if (held.length === 40 && number < 2) throw new Refusal('reference', 'length')
  const before = fields('value-fingerprint', 1, storeId, name, incarnation, version)
  const { rootKey, rootNumber = 1, lasting = [] } = vector
  const keys = await lastingKeys({ storeId, rootKey, rootNumber, lasting }, 'value-fingerprint')
  const key = keys.find((each) => each.number === number)?.key
  if (key === undefined) throw new Refusal('reference', 'unknown-key')
  const given = Uint8Array.from([...before, ...bytes(vector.value)])
  if (!(await authenticates(bytes(key), given, held.slice(4, 36)))) {
    throw new Refusal('reference', 'fingerprint')
  }
  const written = number === 1 ? {} : { number }
  return { backend: view.getUint32(0), ...written, fingerprint: hex(held.slice(4, 36)) }
}

async function readRoot(vector: RootVector): Promise<Record<string, unknown>> {
  const { storeId, rootNumber, previous } = vector
  const root = bytes(vector.rootKey)
  const found: Record<string, unknown> = {
    fingerprint: hex(await derive(root, storeId, 'root-fingerprint', 16)),
    keys: {
      'value-fingerprint': await lastingKeys(vector, 'value-fingerprint'),
      mirror: await lastingKeys(vector, 'mirror'),
      audit: await lastingKeys(vector, 'audit'),
    },
  }
  if (previous === undefined) return found
  const key = await derive(root, storeId, 'previous-state')
  const associated = fields('previous-state', 1, storeId, rootNumber)
  return {
    ...found,
    previousKey: hex(await openKey('previous-state', key, associated, bytes(previous))),
  }
}

/** The keys for a purpose, the newest first, in hex. */
async function lastingKeys(
  {
    storeId,
    rootKey,
    rootNumber,
    lasting,
  }: Pick<RootVector, 'storeId' | 'rootKey' | 'rootNumber' | 'lasting'>,
  purpose: 'value-fingerprint' | 'mirror' | 'audit',
): Promise<{ number: number; key: string }[]> {
  const opening = await derive(bytes(rootKey), storeId, 'lasting-key')
  const found: { number: number; key: string }[] = []
  for (const { number, sealed } of lasting.filter((each) => each.purpose === purpose)) {
    const associated = fields('lasting-key', 1, storeId, purpose, number)
    found.push({
      number,
      key: hex(await openKey('lasting-key', opening, associated, bytes(sealed))),
    })
  }
  found.sort((one, other) => other.number - one.number)
  if (found[0]?.number === rootNumber) return found
  const use = purpose === 'mirror' ? 'state' : purpose
  return [{ number: rootNumber, key: hex(await derive(bytes(rootKey), storeId, use)) }, ...found]
}

async function readBackend(vector: BackendVector): Promise<Record<string, never>> {
  const { id, name, type, description, isDefault, config, createdAt } = vector.backend
  const said = [id, name, type, description, isDefault ? 1 : 0, config, createdAt]
  const key = await derive(bytes(vector.rootKey), vector.storeId, 'state')
  const fits = await authenticates(
    key,
    fields('backend', 1, vector.storeId, ...said),
    bytes(vector.mac),
  )
  if (!fits) throw new Refusal('backend', 'authentication')
  return {}
}

/** Whether `mac` is the HMAC-SHA256 of `input` under `key`. */
async function authenticates(key: Bytes, input: Bytes, mac: Bytes): Promise<boolean> {
  const hmac = { name: 'HMAC', hash: 'SHA-256' }
  return subtle.verify(
    hmac,
    await subtle.importKey('raw', key, hmac, false, ['verify']),
    mac,
    input,
  )
}

async function dataKeyOf(vector: VersionVector | ReferenceVector): Promise<Bytes> {
  const { storeId, place, keyring, keyId, rootNumber = 1 } = vector
  const opening = await derive(bytes(vector.rootKey), storeId, 'keyring-entry')
  const keys = new Map<number, Bytes>()
  for (const { id, createdAt, state, sealed } of keyring) {
    const number = rootNumber === 1 ? [] : [rootNumber]
    const associated = fields('keyring-entry', 1, storeId, id, createdAt, state, ...number)
    const key = await openKey('keyring-entry', opening, associated, bytes(sealed))
    if (keys.has(id)) throw new Refusal('keyring', 'same-id')
    keys.set(id, key)
  }
  if (keyring.filter(({ state }) => state === 'active').length !== 1) {
    throw new Refusal('keyring', 'active-entries')
  }
  const entry = keys.get(keyId)
  if (!entry) throw new Refusal('data-key', 'unknown-entry')
  const { name, incarnation, version } = place
  return openKey(
    'data-key',
    await derive(entry, storeId, 'data-key'),
    fields('data-key', 1, storeId, name, incarnation, version),
    bytes(vector.wrappedKey),
  )
}

async function readState(vector: StateVector): Promise<Record<string, never>> {
  const key = await derive(bytes(vector.rootKey), vector.storeId, 'state')
  const fits = await authenticates(key, stateFields(vector), bytes(vector.mac))
  if (!fits) throw new Refusal('state', 'authentication')
  return {}
}

async function readRootKey(vector: RootKeyVector): Promise<{ rootKey: string }> {
  const key = await derive(bytes(vector.localKey), vector.storeId, 'root-key')
  const associated = fields('root-key', 1, vector.storeId)
  return { rootKey: hex(await openKey('root-key', key, associated, bytes(vector.wrapped))) }
}

async function readRecoveryWrap(vector: RecoveryWrapVector): Promise<{ rootKey: string }> {
  const decrypter = new Decrypter()
  decrypter.addIdentity(vector.identity)
  const plain = await decrypter.decrypt(bytes(vector.wrapped)).catch(() => {
    throw new Refusal('recovery-wrap', 'authentication')
  })
  const before = hex(fields('root-key', 1, vector.storeId))
  const text = hex(plain)
  if (!text.startsWith(before) || text.length !== before.length + 64) {
    throw new Refusal('recovery-wrap', 'store')
  }
  return { rootKey: text.slice(before.length) }
}

async function readKmsWrap(vector: KmsWrapVector): Promise<Record<string, unknown>> {
  const { storeId: store, keyArn } = vector
  return {
    blob: afterFields('kms-wrap', vector),
    context: { application: 'sotto', purpose: 'root-key', format: '1', store },
    fingerprint: await named(keyArn),
  }
}

async function readTransitWrap(vector: TransitWrapVector): Promise<Record<string, unknown>> {
  const { storeId: store, namespace, mount, key } = vector
  const text = Buffer.from(afterFields('transit-wrap', vector), 'hex').toString('latin1')
  if (!/^vault:v[1-9][0-9]*:[A-Za-z0-9+/]+=*$/.test(text)) {
    throw new Refusal('transit-wrap', 'malformed')
  }
  const context = `{"application":"sotto","purpose":"root-key","format":"1","store":"${store}"}`
  const path = `${namespace === undefined ? '' : `${namespace}/`}${mount}/${key}`
  return { ciphertext: text, context: btoa(context), fingerprint: await named(path) }
}

/** What follows the fields of the root key, at least a byte of it, in hex. */
function afterFields(
  of: Part,
  { storeId: store, wrapped }: KmsWrapVector | TransitWrapVector,
): string {
  const before = hex(fields('root-key', 1, store))
  const found = wrapped.slice(0, before.length)
  if (found === before && wrapped.length > before.length) return wrapped.slice(before.length)
  const other = Buffer.from(found.slice(-64), 'hex').toString()
  const foreign = /^[0-9a-f]{32}$/.test(other) && other !== store
  const whole = found === hex(fields('root-key', 1, other))
  throw new Refusal(of, foreign && whole ? 'store' : 'malformed')
}

/** The fingerprint of what has a name alone. */
async function named(text: string): Promise<string> {
  const digest = await subtle.digest('SHA-256', new TextEncoder().encode(text))
  return hex(new Uint8Array(digest)).slice(0, 16)
}

async function readKeyFile(
  vector: KeyFileVector,
): Promise<{ localKey: string; fingerprint: string }> {
  const lines = vector.text.split('\n')
  if (lines.length === 4 && lines[3] === '') lines.pop()
  const [first, second = '', third = '', ...more] = lines
  const fingerprint = /^fingerprint ([0-9a-f]{16})$/.exec(second)?.[1]
  const text = /^key (.*)$/.exec(third)?.[1] ?? ''
  const key = Uint8Array.from(Buffer.from(text, 'base64'))
  if (first !== 'sotto local key 1' || !fingerprint || more.length > 0 || key.length !== 32) {
    throw new Refusal('key-file', 'malformed')
  }
  if (btoa(String.fromCharCode(...key)) !== text) throw new Refusal('key-file', 'malformed')
  if (hex(await derive(key, '', 'fingerprint', 8)) !== fingerprint) {
    throw new Refusal('key-file', 'fingerprint')
  }
  return { localKey: hex(key), fingerprint }
}

/** The input of a state's MAC. */
export function stateFields({ storeId, state }: StateVector): Bytes {
  const { name, incarnation, active, highest, versions, removed, settings = '' } = state
  const lists = [...list(versions), ...list(removed)]
  const before = fields('state', 1, storeId, name, incarnation, active, highest, ...lists)
  const set = bytes(settings)
  return set.length === 0 ? before : Uint8Array.from([...before, ...u32(set.length), ...set])
}

function list(numbers: readonly number[]): number[] {
  const runs: [first: number, size: number][] = []
  for (const number of numbers) {
    const last = runs.at(-1)
    if (last && last[0] + last[1] === number) last[1]++
    else runs.push([number, 1])
  }
  return [runs.length, ...runs.flat()]
}

/** Fields as bytes. */
export function fields(...all: Field[]): Bytes {
  return Uint8Array.from(
    all.flatMap((field) => {
      if (typeof field === 'number') return [...u32(field)]
      const text = new TextEncoder().encode(field)
      return [...u32(text.length), ...text]
    }),
  )
}

function u32(value: number): Bytes {
  const view = new DataView(new ArrayBuffer(4))
  view.setUint32(0, value)
  return new Uint8Array(view.buffer)
}

/** A derived key. */
async function derive(key: Bytes, salt: string, use: string, length = 32): Promise<Bytes> {
  const info = new TextEncoder().encode(`sotto/1/${use}`)
  const material = await subtle.importKey('raw', key, 'HKDF', false, ['deriveBits'])
  const hkdf = { name: 'HKDF', hash: 'SHA-256', salt: new TextEncoder().encode(salt), info }
  return new Uint8Array(await subtle.deriveBits(hkdf, material, 8 * length))
}

async function openKey(of: Part, key: Bytes, associated: Bytes, sealed: Bytes): Promise<Bytes> {
  if (sealed[0] === 1 && sealed.length !== 61) throw new Refusal(of, 'length')
  return open(of, key, associated, sealed)
}

async function open(of: Part, key: Bytes, associated: Bytes, sealed: Bytes): Promise<Bytes> {
  if (sealed.length > 0 && sealed[0] !== 1) throw new Refusal(of, 'format')
  if (sealed.length < 29) throw new Refusal(of, 'length')
  const usable = await subtle.importKey('raw', key, 'AES-GCM', false, ['decrypt'])
  const gcm = { name: 'AES-GCM', iv: sealed.slice(1, 13), additionalData: associated }
  try {
    // WebCrypto takes the ciphertext and the tag as one.
    return new Uint8Array(await subtle.decrypt(gcm, usable, sealed.slice(13)))
  } catch {
    throw new Refusal(of, 'authentication')
  }
}

function bytes(text: string): Bytes {
  return Uint8Array.from(Buffer.from(text, 'hex'))
}

function hex(data: Uint8Array): string {
  return Buffer.from(data).toString('hex')
}
