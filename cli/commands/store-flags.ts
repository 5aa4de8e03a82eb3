/** Flags that several commands on a store share, and what help says about them. */
import { settings } from '../../server/config/settings/table.ts'
import type { Flags } from '../arguments.ts'
import type { SharedFlags } from '../command.ts'
import { configFlag } from './config.ts'

/** The keys of a store. */
const openingFlags: Flags = {
  'key-file': {
    value: 'FILE',
    help: 'The local key. Default: $SOTTO_KEY_FILE, then local.key in the state directory.',
  },
  'kms-key': { value: 'KEY', help: 'The key of AWS KMS. Default: $SOTTO_KMS_KEY.' },
  'kms-region': { value: 'REGION', help: 'Its region. Default: $SOTTO_KMS_REGION, then its ARN.' },
  'kms-endpoint': { value: 'URL', help: 'Where KMS is. Default: $SOTTO_KMS_ENDPOINT.' },
  'kms-profile': {
    value: 'NAME',
    help: 'Its profile of AWS. Default: $SOTTO_KMS_PROFILE.',
  },
  ...flagsOf((flag) => flag.startsWith('transit-')),
  'recovery-identity': { value: 'FILE', help: 'The age identity of a recovery key.' },
}

/** Which store, and its keys. */
export const keyFlags: Flags = {
  ...configFlag,
  'state-dir': {
    value: 'DIR',
    help: 'The state directory. Default: $SOTTO_STATE_DIR, then the configuration file.',
  },
  ...openingFlags,
}

/** How a bucket is reached. */
const reachFlags: Flags = flagsOf((flag) =>
  /^backup-(?:bucket-region|role|profile|endpoint|insecure)$/.test(flag),
)

/** How a bucket is reached, and where settings for it are. */
export const bucketFlags: Flags = { ...configFlag, ...reachFlags }

const details =
  'Each can also be a variable, or be in the configuration file: see `sotto help server`.'

/** Flags that many commands share: help shows them once, under `sotto help NAME`. */
export const sharedFlags: SharedFlags = {
  'key-flags': { summary: 'Flags for keys.', details, flags: openingFlags },
  'bucket-flags': { summary: 'Flags for the bucket of backups.', details, flags: reachFlags },
}

/** The settings of the server whose flags are `wanted`, as flags of a command. */
export function flagsOf(wanted: (flag: string) => boolean): Flags {
  return Object.fromEntries(
    settings
      .filter(({ flag }) => wanted(flag))
      .map(({ flag, value, help }) => [flag, { ...(value !== undefined && { value }), help }]),
  )
}

/** For a command that works on a server or on files. */
export const placeDetails = `It asks the server of -s, or works on the files of --state-dir while no server runs on them. Without
these flags it goes by the environment, then by the configuration file.`

/** For a command that works on the store of this host. */
export const hereDetails = `It works on the files of the store, or asks the server that runs on them. Run it as root, or as the
user of the server.`
