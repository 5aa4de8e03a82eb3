/** Flags that several commands on a store share, and what help says about them. */
import { settings } from '../../server/config/settings/table.ts'
import type { Flags } from '../arguments.ts'

/** Which store, and the keys that are available. */
export const keyFlags: Flags = {
  'state-dir': { value: 'DIR', help: 'Where the store is. Default: $SOTTO_STATE_DIR.' },
  'key-file': {
    value: 'FILE',
    help: 'The local key. Default: $SOTTO_KEY_FILE, then local.key in DIR.',
  },
  'kms-key': { value: 'KEY', help: 'The key of AWS KMS. Default: $SOTTO_KMS_KEY.' },
  'kms-region': { value: 'REGION', help: 'Its region. Default: $SOTTO_KMS_REGION, then its ARN.' },
  'kms-endpoint': { value: 'URL', help: 'Where KMS is. Default: $SOTTO_KMS_ENDPOINT.' },
  'kms-profile': {
    value: 'NAME',
    help: 'The profile of the AWS configuration. Default: $SOTTO_KMS_PROFILE.',
  },
  ...flagsOf((flag) => flag.startsWith('transit-')),
  'recovery-identity': { value: 'FILE', help: 'The age identity of the recovery key.' },
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

/** For a command that works on a server or on files. */
export const placeDetails = `It asks the server that -s names, or works on the files in --state-dir while no server runs on them.
Without either flag, the environment decides.`

/** For a command that only works on files. */
export const keyDetails = `It works on the files of the store. No server may be running on them.
Flags for the keys have the variables that \`sotto help server\` lists.`
