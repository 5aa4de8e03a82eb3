/** What the package gives to programs: the client, and the store that holds their secrets. */
export { errorTable, type ErrorCode, SottoError } from './api/errors.ts'
export type { Rule, SecretInfo, SecretValue } from './api/types.ts'
export {
  type Added,
  type CallOptions,
  Client,
  type ClientOptions,
  type Described,
  type Got,
  type Held,
  type Identity,
  ServerError,
  type Wanted,
  type WatchOnceOptions,
  type WatchOptions,
} from './client.ts'
export type { Change, WatchEvent } from './watch.ts'
export { type Cache, type CacheContent, type CachedSecret, memoryCache } from './store/cache.ts'
export { bytes, type Field, type Fields, fields, json, type Shape, text } from './store/fields.ts'
export { fileCache, sealedCache } from './store/file-cache.ts'
export { fileSource } from './store/file-source.ts'
export { fixedFile, fixedSecret } from './store/fixed.ts'
export { type Keyring, openKeyring } from './store/keyring.ts'
export type { Health, StoreEvent, StoreOptions } from './store/options.ts'
export type { Timers } from './platform/timers.ts'
export type { Secret } from './store/secret.ts'
export type { Source } from './store/source.ts'
export { openStore, type Store } from './store/store.ts'
export type { VersionedSecret } from './store/versioned.ts'
export { fixedUpdater, type Updater, updater, type UpdaterOptions } from './store/updater.ts'
