/** Keys: those that open a store, and its keyring. */
import type { Command } from '../command.ts'
import { keyDetails, keyFlags, placeDetails } from './store-flags.ts'

export const keyCommands: readonly Command[] = [
  {
    name: 'key status',
    args: [],
    summary: 'List the keys that open a store, and the entries of its keyring.',
    details: placeDetails,
    flags: keyFlags,
    load: async () => (await import('../handlers/key-rotation.ts')).keyStatus,
  },
  {
    name: 'key rotate',
    args: [],
    summary: 'Rotate the keyring: a new entry wraps the data keys of all versions.',
    details: `${placeDetails}

A server keeps serving meanwhile. On a terminal the command shows the progress and ends when the
rotation is done; the server finishes it also without the command, and after a restart. A rotation
that is under way is joined.`,
    flags: {
      ...keyFlags,
      wait: { help: 'Wait for the end also without a terminal.' },
    },
    load: async () => (await import('../handlers/key-rotation.ts')).keyRotate,
  },
  {
    name: 'key rewrap',
    args: ['[KEY]'],
    summary: 'Re-wrap the root key after its key was rotated in KMS or Transit.',
    details: `KEY is a fingerprint, or a provider that has only one key. Default: every key that is given.

${placeDetails}
The key must be available. The old wrap is replaced once the new one was opened with the key.`,
    flags: keyFlags,
    load: async () => (await import('../handlers/key-rotation.ts')).keyRewrap,
  },
  {
    name: 'key check',
    args: [],
    summary: 'Open a store with each of its keys that is available.',
    details: `${keyDetails}
Unavailable keys are listed and skipped. The exit code is 1 when a key that was tried did not open
the store, or none was tried.`,
    flags: keyFlags,
    load: async () => (await import('../handlers/keys.ts')).keyCheck,
  },
  {
    name: 'key add',
    args: ['recovery|local|aws-kms|openbao-transit'],
    summary: 'Let another key open a store.',
    details: `${keyDetails}
A key that already opens the store must be available.

recovery is an age key that is kept offline: make one with age-keygen, and give its recipient.
Where its identity is given too, it is proven at once.

local is a key in a file, which is made if it does not exist.

aws-kms is a key of AWS KMS, by its ARN, its id or alias/NAME; it is proven at once.

openbao-transit is a key of OpenBao's Transit engine, which must be derived; it is proven at once.`,
    flags: {
      ...keyFlags,
      recipient: { value: 'AGE1…', help: 'For recovery: the recipient.' },
      'recipient-file': { value: 'FILE', help: 'For recovery: a file that has the recipient.' },
      'new-key-file': { value: 'FILE', help: 'For local: the key to add.' },
      'new-kms-key': { value: 'KEY', help: 'For aws-kms: the key to add. Default: --kms-key.' },
      'new-transit-key': {
        value: 'NAME',
        help: 'For openbao-transit: the key to add. Default: --transit-key.',
      },
    },
    load: async () => (await import('../handlers/keys.ts')).keyAdd,
  },
  {
    name: 'key remove',
    args: ['KEY'],
    summary: 'Remove a key from a store.',
    details: `KEY is a fingerprint, or a provider that has only one key.

${keyDetails}
A key that stays must be available and open the store. Copies of the store made before this still
open with the key that was removed.`,
    flags: {
      ...keyFlags,
      'leave-recovery-alone': { help: 'Allow that only recovery keys are left.' },
    },
    load: async () => (await import('../handlers/keys.ts')).keyRemove,
  },
]
