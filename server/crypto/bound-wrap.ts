/** A wrap that a key service made, after fields that say whose it is before the service is asked. */
import { SottoError } from '../../client/api/errors.ts'
import { FORMAT, rootKeyBinding } from './binding.ts'

/** What the service binds a wrap to: policies of AWS can demand it, and its trail shows it. */
export function contextOf(store: string): Record<string, string> {
  return { application: 'sotto', purpose: 'root-key', format: String(FORMAT), store }
}

/** What is stored of `blob`, which wraps the root key of the store `storeId`. */
export function bindWrap(storeId: string, blob: Uint8Array): Uint8Array {
  return Buffer.concat([rootKeyBinding(storeId).bytes, blob])
}

/**
 * The blob in a stored wrap. Throws `key_wrong` when it is that of another store, or none at all;
 * `about` begins the message.
 */
export function unbindWrap(wrapped: Uint8Array, storeId: string, about: string): Uint8Array {
  const due = rootKeyBinding(storeId).bytes
  const head = Buffer.from(wrapped.subarray(0, due.length))
  if (head.equals(due) && wrapped.length > due.length) return wrapped.subarray(due.length)
  const store = head.subarray(-storeId.length).toString('latin1')
  if (/^[0-9a-f]{32}$/.test(store) && store !== storeId) {
    if (head.equals(rootKeyBinding(store).bytes)) {
      throw new SottoError('key_wrong', `${about}: it was wrapped for another store, ${store}`, {
        hint: 'The wrap was copied from that store: open this one with another of its keys, or restore it from a backup.',
      })
    }
  }
  throw damagedWrap(about)
}

/** The error for a wrap of which a part is wrong. */
export function damagedWrap(about: string): SottoError {
  return new SottoError('key_wrong', `${about}: it was altered or cut short`, {
    hint: 'The wrap is damaged: open the store with another of its keys, or restore it from a backup.',
  })
}
