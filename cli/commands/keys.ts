/** The commands of the keys that open a store, and of its keyring. */
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

A server goes on serving meanwhile. On a terminal the command shows how far it is and ends when it
is done; a server goes on also without it, and after a restart. Where a rotation is under way, it is
joined.`,
    flags: {
      ...keyFlags,
      wait: { help: 'Wait for the end also where there is no terminal.' },
    },
    load: async () => (await import('../handlers/key-rotation.ts')).keyRotate,
  },
  {
    name: 'key rewrap',
    args: ['[KEY]'],
    summary: 'Wrap the root key anew, after a key was rotated where it is kept.',
    details: `KEY is a fingerprint, or a provider that has one key alone. Default: every key that is at hand.

${placeDetails}
The key must be at hand. What it wrapped before is replaced once the new wrap was opened with it.`,
    flags: keyFlags,
    load: async () => (await import('../handlers/key-rotation.ts')).keyRewrap,
  },
  {
    name: 'key check',
    args: [],
    summary: 'Open a store with each of its keys that is at hand.',
    details: `${keyDetails}
A key that is not at hand is not tried, and that is said. The exit code is 1 when a key that was
tried did not open the store, or none was tried.`,
    flags: keyFlags,
    load: async () => (await import('../handlers/keys.ts')).keyCheck,
  },
  {
    name: 'key add',
    args: ['recovery|local|aws-kms|openbao-transit'],
    summary: 'Let another key open a store.',
    details: `${keyDetails}
A key that opens the store already must be at hand.

recovery is an age key that is kept offline: make one with age-keygen, and give its recipient.
Where its identity is at hand too, it is proven at once.

local is a key in a file, which is made where there is none.

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
    summary: 'Let a key no longer open a store.',
    details: `KEY is a fingerprint, or a provider that has one key alone.

${keyDetails}
A key that stays must be at hand, and open the store. Copies of the store from before still open
with the key that was removed.`,
    flags: {
      ...keyFlags,
      'leave-recovery-alone': { help: 'Allow that only recovery keys are left.' },
    },
    load: async () => (await import('../handlers/keys.ts')).keyRemove,
  },
]
