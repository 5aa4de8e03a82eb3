/** What commands that work on a store have in common: flags and words about them. */
import { settings } from '../../server/config/settings/table.ts'
import type { Flags } from '../arguments.ts'

/** Which store, and the keys that are at hand. */
export const keyFlags: Flags = {
  'state-dir': { value: 'DIR', help: 'Where the store is. Default: $SOTTO_STATE_DIR.' },
  'key-file': {
    value: 'FILE',
    help: 'The local key. Default: $SOTTO_KEY_FILE, then local.key in DIR.',
  },
  'kms-key': { value: 'KEY', help: 'The key of AWS KMS at hand. Default: $SOTTO_KMS_KEY.' },
  'kms-region': { value: 'REGION', help: 'Its region. Default: $SOTTO_KMS_REGION, then its ARN.' },
  'kms-endpoint': { value: 'URL', help: 'Where KMS is. Default: $SOTTO_KMS_ENDPOINT.' },
  'kms-profile': {
    value: 'NAME',
    help: 'The profile of the AWS configuration. Default: $SOTTO_KMS_PROFILE.',
  },
  ...flagsOf((flag) => flag.startsWith('transit-')),
  'recovery-identity': {
    value: 'FILE',
    help: 'The age identity of the recovery key, where it is at hand.',
  },
}

/** How a bucket is reached. */
export const bucketFlags: Flags = flagsOf((flag) =>
  /^backup-(?:bucket-region|role|profile|endpoint|insecure)$/.test(flag),
)

/** The settings of the server whose flags are `wanted`, as flags of a command. */
export function flagsOf(wanted: (flag: string) => boolean): Flags {
  return Object.fromEntries(
    settings
      .filter(({ flag }) => wanted(flag))
      .map(({ flag, value, help }) => [flag, { ...(value !== undefined && { value }), help }]),
  )
}

/** Of a command that a server may be asked for. */
export const placeDetails = `It asks the server that -s names, or works on the files in --state-dir, which no server may be using
meanwhile. Without either flag, the environment says which.`

/** Of a command that works on files alone. */
export const keyDetails = `It works on the files of the store, which no server may be using meanwhile.
Flags for the keys at hand have the variables that \`sotto help server\` tells.`
