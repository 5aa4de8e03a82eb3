/** The shape of the vector files: one case each, every key known, bytes in hex. */
import { z } from 'zod'

const hex = z.string().regex(/^([0-9a-f]{2})*$/)

/** The part of a store that is found wrong. */
const part = z.enum([
  'value',
  'reference',
  'data-key',
  'keyring-entry',
  'keyring',
  'state',
  'backend',
  'lasting-key',
  'previous-state',
  'root-key',
  'recovery-wrap',
  'kms-wrap',
  'transit-wrap',
  'key-file',
])

/** What is wrong with it. */
const reason = z.enum([
  'format',
  'length',
  'authentication',
  'unknown-entry',
  'unknown-key',
  'active-entries',
  'same-id',
  'malformed',
  'fingerprint',
  'store',
])

/** What reading must give: the result that the vector holds, or exactly this refusal. */
const expected = z.union([z.literal('ok'), z.strictObject({ of: part, because: reason })])

const entry = z.strictObject({
  id: z.number(),
  createdAt: z.string(),
  state: z.enum(['active', 'retiring']),
  sealed: hex,
})

/** A key that outlives root keys. */
const lasting = z.strictObject({
  purpose: z.string(),
  number: z.number(),
  createdAt: z.string(),
  sealed: hex,
})

const lastingKeys = z.array(z.strictObject({ number: z.number(), key: hex }))

/** A version of a secret, to be opened from the root key down. */
const version = z.strictObject({
  comment: z.string(),
  structure: z.literal('version'),
  expect: expected,
  storeId: z.string(),
  rootKey: hex,
  /** Absent: 1. */
  rootNumber: z.number().optional(),
  keyring: z.array(entry),
  place: z.strictObject({ name: z.string(), incarnation: z.number(), version: z.number() }),
  keyId: z.number(),
  wrappedKey: hex,
  sealed: hex,
  /** What the version holds; absent where it must not open. */
  value: hex.optional(),
})

/** A version whose value is in a backend: what the store keeps of it, and what the backend gives. */
const reference = version.omit({ structure: true, value: true }).extend({
  structure: z.literal('reference'),
  value: hex,
  /** Absent: none. */
  lasting: z.array(lasting).optional(),
  /** What the reference holds; absent where it must be refused. */
  backend: z.number().optional(),
  /** Of the key of the fingerprint; absent: 1. */
  number: z.number().optional(),
  fingerprint: hex.optional(),
})

/** What a store says of a backend, with the MAC over it. */
const backend = z.strictObject({
  comment: z.string(),
  structure: z.literal('backend'),
  expect: expected,
  storeId: z.string(),
  rootKey: hex,
  backend: z.strictObject({
    id: z.number(),
    name: z.string(),
    type: z.string(),
    description: z.string(),
    isDefault: z.boolean(),
    config: z.string(),
    createdAt: z.string(),
  }),
  mac: hex,
})

/** What a store says of a secret, with the MAC over it. */
const state = z.strictObject({
  comment: z.string(),
  structure: z.literal('state'),
  expect: expected,
  storeId: z.string(),
  rootKey: hex,
  state: z.strictObject({
    name: z.string(),
    incarnation: z.number(),
    active: z.number(),
    highest: z.number(),
    versions: z.array(z.number()),
    removed: z.array(z.number()),
    /** Absent: none. */
    settings: hex.optional(),
  }),
  mac: hex,
})

/** A root key: its name, and the keys that it seals for the time after it. */
const root = z.strictObject({
  comment: z.string(),
  structure: z.literal('root'),
  expect: expected,
  storeId: z.string(),
  rootKey: hex,
  rootNumber: z.number(),
  lasting: z.array(lasting),
  /** Absent once all MACs were made again. */
  previous: hex.optional(),
  /** What is found; absent where something does not open. */
  fingerprint: z.string().optional(),
  keys: z
    .strictObject({ 'value-fingerprint': lastingKeys, mirror: lastingKeys, audit: lastingKeys })
    .optional(),
  previousKey: hex.optional(),
})

/** A root key wrapped under a local key. */
const rootKey = z.strictObject({
  comment: z.string(),
  structure: z.literal('root-key'),
  expect: expected,
  storeId: z.string(),
  localKey: hex,
  wrapped: hex,
  /** What was wrapped; absent where it must not open. */
  rootKey: hex.optional(),
})

/** A root key wrapped to a recovery key. */
const recoveryWrap = z.strictObject({
  comment: z.string(),
  structure: z.literal('recovery-wrap'),
  expect: expected,
  storeId: z.string(),
  /** The age identity, as its file has it. */
  identity: z.string(),
  wrapped: hex,
  /** What was wrapped; absent where it must not open. */
  rootKey: hex.optional(),
})

/** A root key wrapped by AWS KMS. */
const kmsWrap = z.strictObject({
  comment: z.string(),
  structure: z.literal('kms-wrap'),
  expect: expected,
  storeId: z.string(),
  keyArn: z.string(),
  wrapped: hex,
  /** What KMS is asked to open, and with which encryption context; absent where it must not be asked. */
  blob: hex.optional(),
  context: z.record(z.string(), z.string()).optional(),
  fingerprint: z.string().optional(),
})

/** A root key wrapped by OpenBao Transit. */
const transitWrap = z.strictObject({
  comment: z.string(),
  structure: z.literal('transit-wrap'),
  expect: expected,
  storeId: z.string(),
  namespace: z.string().optional(),
  mount: z.string(),
  key: z.string(),
  wrapped: hex,
  /** What Transit is asked to open, and with which context; absent where it must not be asked. */
  ciphertext: z.string().optional(),
  context: z.string().optional(),
  fingerprint: z.string().optional(),
})

/** A key file. */
const keyFile = z.strictObject({
  comment: z.string(),
  structure: z.literal('key-file'),
  expect: expected,
  text: z.string(),
  /** What the file holds; both absent where it must be refused. */
  localKey: hex.optional(),
  fingerprint: z.string().optional(),
})

/** Any vector file. */
export const vectorSchema = z.discriminatedUnion('structure', [
  version,
  reference,
  backend,
  state,
  root,
  rootKey,
  recoveryWrap,
  kmsWrap,
  transitWrap,
  keyFile,
])

export type Part = z.infer<typeof part>
export type Reason = z.infer<typeof reason>
export type Expected = z.infer<typeof expected>
export type VectorEntry = z.infer<typeof entry>
export type VersionVector = z.infer<typeof version>
export type ReferenceVector = z.infer<typeof reference>
export type BackendVector = z.infer<typeof backend>
export type StateVector = z.infer<typeof state>
export type RootVector = z.infer<typeof root>
export type RootKeyVector = z.infer<typeof rootKey>
export type RecoveryWrapVector = z.infer<typeof recoveryWrap>
export type KmsWrapVector = z.infer<typeof kmsWrap>
export type TransitWrapVector = z.infer<typeof transitWrap>
export type KeyFileVector = z.infer<typeof keyFile>
export type Vector = z.infer<typeof vectorSchema>
