/** Keys: those that open a store, and its keyring. */
import type { Command } from '../command.ts'
import { hereDetails, keyFlags, placeDetails } from './store-flags.ts'

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
    summary: 'Rotate the keyring, and with --root the root key, too.',
    details: `${placeDetails}

The server keeps serving. On a terminal the command shows the progress and waits for the end. The
server finishes without it, even after a restart. If a rotation is running, the command joins it.

Use --root when a key, or a copy of the store, may be in wrong hands: what is written later cannot
be opened with them. Every key of the store must be available; of a recovery key the recipient is
enough.`,
    flags: {
      ...keyFlags,
      root: { help: 'Replace the root key, too.' },
      recipient: {
        value: 'AGE1…',
        help: 'With --root: the recipients of recovery keys, separated by commas.',
      },
      'recipient-file': {
        value: 'FILE',
        help: 'With --root: a file with the recipients, one per line.',
      },
      wait: { help: 'Wait for the end even without a terminal.' },
    },
    load: async () => (await import('../handlers/key-rotation.ts')).keyRotate,
  },
  {
    name: 'key rewrap',
    args: ['[KEY]'],
    summary: 'Re-wrap the root key after its key was rotated in KMS or Transit.',
    details: `KEY is a fingerprint, or a provider that has only one key. Default: every key that is given.

${placeDetails}
The key must be available. The old wrap stays until the new one has been opened.`,
    flags: keyFlags,
    load: async () => (await import('../handlers/key-rotation.ts')).keyRewrap,
  },
  {
    name: 'key check',
    args: [],
    summary: 'Try each key that opens a store.',
    details: `${hereDetails}
The server tries the keys of its settings; a key that you give by a flag is tried here. A key that
is not available is listed and skipped. The exit code is 1 when a key failed, or none was tried.`,
    flags: keyFlags,
    load: async () => (await import('../handlers/keys.ts')).keyCheck,
  },
  {
    name: 'key add',
    args: ['recovery|local|aws-kms|openbao-transit'],
    summary: 'Add a key that opens a store.',
    details: `${hereDetails}
A key that already opens the store must be available. The new one is tried at once; a recovery key
only if you give its identity, too.

  recovery         an age key that you keep offline: make it with age-keygen
  local            a key in a file, which is made if it does not exist
  aws-kms          a key of AWS KMS
  openbao-transit  a key of OpenBao Transit, which must be derived`,
    flags: {
      ...keyFlags,
      recipient: { value: 'AGE1…', help: 'For recovery: its recipient.' },
      'recipient-file': { value: 'FILE', help: 'For recovery: a file with its recipient.' },
      'new-key-file': { value: 'FILE', help: 'For local: its file.' },
      'new-kms-key': {
        value: 'KEY',
        help: 'For aws-kms: its ARN, its id or alias/NAME. Default: --kms-key.',
      },
      'new-transit-key': {
        value: 'NAME',
        help: 'For openbao-transit: its name. Default: --transit-key.',
      },
    },
    load: async () => (await import('../handlers/keys.ts')).keyAdd,
  },
  {
    name: 'key remove',
    args: ['KEY'],
    summary: 'Remove a key from a store.',
    details: `KEY is a fingerprint, or a provider that has only one key.

${hereDetails}
Another key that opens the store must be available. Older copies and backups still open with the
removed key, and have the root key in them. If it may be in wrong hands, run key rotate --root next.`,
    flags: {
      ...keyFlags,
      'leave-recovery-alone': { help: 'Allow this even if only recovery keys remain.' },
    },
    load: async () => (await import('../handlers/keys.ts')).keyRemove,
  },
]
