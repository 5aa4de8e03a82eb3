/** The table of commands. Parsing, help, shell completion and docs/cli.md are all made from it. */
import type { Flags } from './arguments.ts'
import type { Invocation } from './invocation.ts'
import type { Environment } from './invocation.ts'
import type { Io } from './io.ts'
import { settings } from '../server/settings.ts'

/** One command. */
export interface Command {
  /** One word or two. */
  readonly name: string
  /** Names of its arguments, in order; those that may be left out are in brackets and come last. */
  readonly args: readonly string[]
  /** One sentence. */
  readonly summary: string
  /** What else there is to know; paragraphs. */
  readonly details?: string
  readonly flags: Flags
  /** Whether it takes a secret value, which people may type where it does not belong. */
  readonly takesValue?: boolean
  /** Resolves with what it does, loaded only now, and with the exit code where that is not 0. */
  readonly load: () => Promise<(invocation: Invocation) => Promise<number | void>>
}

/** A command that reads its own arguments. */
export interface RawCommand {
  readonly name: string
  readonly summary: string
  readonly load: () => Promise<
    (args: readonly string[], env: Environment, io: Io) => Promise<number>
  >
}

/** The commands of the server's own machine. */
export const rawCommands: readonly RawCommand[] = [
  {
    name: 'server',
    summary: 'Run the server.',
    load: async () => (await import('./serve.ts')).serve,
  },
  {
    name: 'init',
    summary: 'Make a new store.',
    load: async () => (await import('./serve.ts')).init,
  },
  {
    name: 'doctor',
    summary: 'Check what a server on a tailnet needs, and say what to do.',
    load: async () => (await import('./doctor.ts')).doctor,
  },
]

/** Flags that every command of the table knows. They may also stand before the command. */
export const globalFlags: Flags = {
  server: {
    short: 's',
    value: 'URL',
    help: 'The server. Default: $SOTTO_SERVER, then $SETEC_SERVER.',
  },
  output: {
    short: 'o',
    value: 'text|json',
    help: 'How to print answers and errors. Default: text.',
  },
  timeout: { value: 'SECONDS', help: 'How long to wait for the server. Default: 30.' },
  'local-address': {
    value: 'ADDRESS',
    help: 'Call from this address; a development tailnet tells callers apart by it.',
  },
  help: { short: 'h', help: 'Show help.' },
}

const valueFlags: Flags = {
  'from-file': { value: 'FILE', help: 'Read the value from this file.' },
  'empty-ok': { help: 'Allow an empty value.' },
  verbatim: { help: 'Keep white space around a text.' },
  'trim-space': { help: 'Remove white space around a text.' },
}

const valueDetails = `The value comes from --from-file, else from stdin when that is not a terminal, else from two prompts
that show nothing. It is never an argument: those can be seen in the list of processes.

A text with white space around it is refused until --verbatim or --trim-space says what to do; a
key or certificate in PEM form wants --verbatim. Bytes that are not UTF-8 are taken as they are.`

const confirmFlags: Flags = {
  yes: { short: 'y', help: 'Delete without a token; for scripts.' },
}

const confirmDetails = `The first call prints a token; the same command with the token at its end, within a minute, deletes.
The token only guards against accidents.`

const pathDetails = `PATH is the folder audit in the state directory, or one of the segments in it. It is read from its
files, also beside a running server. With -o json each record is printed as it stands on the log.`

const askDetails = `Without PATH the server is asked, which needs the action audit and is on its audit log too: a record
for every page of up to 1000 records.`

/** Which store, and the keys that are at hand. */
const keyFlags: Flags = {
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

/** As the server has them. */
function flagsOf(wanted: (flag: string) => boolean): Flags {
  return Object.fromEntries(
    settings
      .filter(({ flag }) => wanted(flag))
      .map(({ flag, value, help }) => [flag, { ...(value !== undefined && { value }), help }]),
  )
}

/** How a bucket is reached. */
const bucketFlags: Flags = flagsOf((flag) =>
  /^backup-(?:bucket-region|role|profile|endpoint|insecure)$/.test(flag),
)

const placeDetails = `It asks the server that -s names, or works on the files in --state-dir, which no server may be using
meanwhile. Without either flag, the environment says which.`

const keyDetails = `It works on the files of the store, which no server may be using meanwhile.
Flags for the keys at hand have the variables that \`sotto help server\` tells.`

/** Every command that is read by the table. */
export const commands: readonly Command[] = [
  {
    name: 'list',
    args: [],
    summary: 'List the secrets that you may know about.',
    flags: { 'only-names': { help: 'Print names alone, one a line.' } },
    load: async () => (await import('./secrets.ts')).list,
  },
  {
    name: 'info',
    args: ['NAME'],
    summary: 'Show the versions of a secret.',
    flags: {},
    load: async () => (await import('./secrets.ts')).info,
  },
  {
    name: 'get',
    args: ['NAME'],
    summary: 'Print the active value of a secret.',
    details: `The bytes are printed as they are; on a terminal a newline follows. With -o json the value is in
base64, beside its version. Exit code 5 tells that nothing changed.`,
    flags: {
      version: { value: 'N', help: 'Print this version. Default: the active one.' },
      'if-changed': { help: 'Print the active version only if it is not --version.' },
    },
    load: async () => (await import('./secrets.ts')).get,
  },
  {
    name: 'put',
    args: ['NAME'],
    summary: 'Add a version; the first of a secret becomes active, later ones when you say so.',
    details: valueDetails,
    flags: valueFlags,
    takesValue: true,
    load: async () => (await import('./secrets.ts')).put,
  },
  {
    name: 'create-version',
    args: ['NAME', 'VERSION'],
    summary: 'Add a version under a number of your choice and activate it.',
    details: valueDetails,
    flags: valueFlags,
    takesValue: true,
    load: async () => (await import('./secrets.ts')).createVersion,
  },
  {
    name: 'activate',
    args: ['NAME', 'VERSION'],
    summary: 'Make a version the active one.',
    flags: {},
    load: async () => (await import('./secrets.ts')).activate,
  },
  {
    name: 'delete-version',
    args: ['NAME', 'VERSION', '[TOKEN]'],
    summary: 'Delete a version that is not active.',
    details: confirmDetails,
    flags: confirmFlags,
    load: async () => (await import('./remove.ts')).deleteVersion,
  },
  {
    name: 'delete',
    args: ['NAME', '[TOKEN]'],
    summary: 'Delete a secret with all its versions, the active one too.',
    details: confirmDetails,
    flags: confirmFlags,
    load: async () => (await import('./remove.ts')).deleteSecret,
  },
  {
    name: 'whoami',
    args: ['[NAME]'],
    summary: 'Show who the server takes you for, and what you may do.',
    details:
      'With NAME also which actions you may do on that secret and by which rule, whether it exists or not.',
    flags: {},
    load: async () => (await import('./whoami.ts')).whoami,
  },
  {
    name: 'import setec',
    args: [],
    summary: 'Bring the secrets of a setec server over to a Sotto server, both running.',
    details: `Every secret that the source lists comes over with its versions, their numbers and the active one.
What the destination has already is not written again, so after an interruption, or when the source
has changed, the same command goes on. A version that has another value at the destination, and
what the destination has beside, is told and left as it is. At the end all values are compared.

The source must allow info and get, the destination info, get, create-version and activate. Each
read of a value is on the audit log of the source. Exit code 0 tells that everything which was
listed is at the destination and was found equal.`,
    flags: {
      from: { value: 'URL', help: 'The setec server. Default: $SETEC_SERVER.' },
      'from-local-address': {
        value: 'ADDRESS',
        help: 'Call the setec server from this address.',
      },
      only: { value: 'GLOB', help: 'Names to bring over; * stands for anything. Default: all.' },
      'dry-run': { help: 'Tell what would be written. No value is read, so none is compared.' },
    },
    load: async () => (await import('./import/command.ts')).importSetec,
  },
  {
    name: 'audit verify',
    args: ['PATH'],
    summary: 'Check that an audit log is whole, from its first record to its last.',
    details: `${pathDetails}

The exit code is 1 when the log does not verify. That its end was cut off, or all of it written
anew, shows only against a record that is known from before: keep what is printed as Last, and
give it as --head the next time.`,
    flags: {
      head: { value: 'ID:HASH', help: 'A record that is known to have been on the log.' },
      after: {
        value: 'ID:HASH',
        help: 'The record that the log begins behind, where an older part was moved away.',
      },
    },
    load: async () => (await import('./audit.ts')).auditVerify,
  },
  {
    name: 'audit tail',
    args: ['[PATH]'],
    summary: 'Print the last records of an audit log.',
    details: `${pathDetails}

${askDetails}

Damage among the last records is passed over; audit verify tells it. --follow ends at damage.`,
    flags: {
      follow: { short: 'f', help: 'Go on with what is added; needs PATH.' },
      lines: { short: 'n', value: 'N', help: 'How many records. Default: 10.' },
    },
    load: async () => (await import('./audit.ts')).auditTail,
  },
  {
    name: 'audit query',
    args: ['[PATH]'],
    summary: 'Print the records of an audit log that match all of the flags.',
    details: `${pathDetails}

${askDetails}`,
    flags: {
      secret: { value: 'GLOB', help: 'The name of the secret; * stands for anything.' },
      principal: {
        value: 'P',
        help: 'A login name, a tag, the name of a node, an address, or an operator.',
      },
      action: { value: 'A', help: 'An action of the rules, such as get.' },
      result: {
        value: 'R',
        help: 'How a call ended: ok, denied, not-found, unchanged, refused or failed.',
      },
      since: { value: 'T', help: 'From this moment on: a date, a date and time, or 30m, 24h, 7d.' },
      until: { value: 'T', help: 'Before this moment.' },
      limit: { value: 'N', help: 'At most the newest N.' },
      lenient: { help: 'Pass over damage; print every record that can be read.' },
    },
    load: async () => (await import('./audit.ts')).auditQuery,
  },
  {
    name: 'key status',
    args: [],
    summary: 'List the keys that open a store, and the entries of its keyring.',
    details: placeDetails,
    flags: keyFlags,
    load: async () => (await import('./rotate.ts')).keyStatus,
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
    load: async () => (await import('./rotate.ts')).keyRotate,
  },
  {
    name: 'key rewrap',
    args: ['[KEY]'],
    summary: 'Wrap the root key anew, after a key was rotated where it is kept.',
    details: `KEY is a fingerprint, or a provider that has one key alone. Default: every key that is at hand.

${placeDetails}
The key must be at hand. What it wrapped before is replaced once the new wrap was opened with it.`,
    flags: keyFlags,
    load: async () => (await import('./rotate.ts')).keyRewrap,
  },
  {
    name: 'key check',
    args: [],
    summary: 'Open a store with each of its keys that is at hand.',
    details: `${keyDetails}
A key that is not at hand is not tried, and that is said. The exit code is 1 when a key that was
tried did not open the store, or none was tried.`,
    flags: keyFlags,
    load: async () => (await import('./key.ts')).keyCheck,
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
    load: async () => (await import('./key.ts')).keyAdd,
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
    load: async () => (await import('./key.ts')).keyRemove,
  },
  {
    name: 'job status',
    args: [],
    summary: 'Show what the jobs of the server did last, and when they run next.',
    details: 'It shows the jobs that you may run.',
    flags: {},
    load: async () => (await import('./job.ts')).jobStatus,
  },
  {
    name: 'job run',
    args: ['JOB'],
    summary: 'Run a job of the server now, and wait for its end.',
    details: `A run that is under way is joined. The exit code is 2 when the job fails.`,
    flags: {},
    load: async () => (await import('./job.ts')).jobRun,
  },
  {
    name: 'backup create',
    args: [],
    summary: 'Make a backup: of a store on its files, or have the server make one.',
    details: `Without --to the server is asked, which makes it where --backup-to of its settings says.

With --to it works on the files. DIR must be there: a directory for backups is never made, so that
none is made where a volume is not mounted. The backup is one file, sealed under the keys of the
store, and is there whole or not at all. It has what no earlier backup in DIR has of the audit log;
--whole-log takes all of it.

${keyDetails}
A key that opens the store must be at hand.`,
    flags: {
      ...keyFlags,
      to: { value: 'DIR|s3://…', help: 'The directory or bucket that keeps the backup.' },
      'whole-log': { help: 'Take all of the audit log.' },
      ...bucketFlags,
      ...flagsOf((flag) => flag === 'backup-lock'),
    },
    load: async () => (await import('./backup.ts')).backupCreate,
  },
  {
    name: 'backup status',
    args: [],
    summary: 'Show how old the backups of the server are, and whether they were proven.',
    details: 'The exit code is 2 when the last backup or the last rehearsal failed.',
    flags: {},
    load: async () => (await import('./backup-status.ts')).backupStatus,
  },
  {
    name: 'backup list',
    args: ['DIR|s3://BUCKET/PREFIX'],
    summary: 'List the backups in a directory or bucket, and whether each is there whole.',
    details: `Needs no key. What is in a backup only backup verify can tell.
Flags for the bucket have the variables that \`sotto help server\` tells.`,
    flags: bucketFlags,
    load: async () => (await import('./backup.ts')).backupList,
  },
  {
    name: 'backup verify',
    args: ['FILE|s3://BUCKET/PREFIX/NAME'],
    summary: 'Prove a backup: open every value that is in it.',
    details: `Any of the keys that opened the store when the backup was made will do. It is unpacked for as long
as that takes, in $TMPDIR or the directory for temporary files, and values are never written. No
server is needed.`,
    flags: { ...keyFlags, ...bucketFlags },
    load: async () => (await import('./backup.ts')).backupVerify,
  },
  {
    name: 'restore',
    args: ['FILE|s3://BUCKET/PREFIX/NAME'],
    summary: 'Make a store out of a backup, in an empty directory.',
    details: `The backup is proven first, as backup verify does, with a key that is at hand; a local key is not
in it. Until all of it is in place, there is no store in DIR.

No version number is given twice. --audit names the audit log of the lost store, where that
survives: numbers go on after the highest that it tells, and it goes on itself. Without it the next
number of every name passes over 1,000.

--dry-run makes nothing and tells what would come back; with --live also what a live store has that
the backup does not. A server may run on that one.

FILE may also be a copy of a store alone, as Litestream makes it: see docs/litestream.md.`,
    flags: {
      to: { value: 'DIR', help: 'The state directory to be: absent or empty.' },
      audit: { value: 'LOG', help: 'The folder of the audit log of the lost store.' },
      'whole-log': { help: 'Bring back the audit log from the earlier backups beside FILE, too.' },
      'dry-run': { help: 'Tell what would come back, and make nothing.' },
      live: {
        value: 'DIR',
        help: 'With --dry-run: compare with the store in this state directory.',
      },
      ...keyFlags,
      ...bucketFlags,
    },
    load: async () => (await import('./restore.ts')).restore,
  },
  {
    name: 'backend list',
    args: [],
    summary: 'List the backends: where secrets are kept.',
    details: 'The backend "default" is the encrypted store of the server; it is always there.',
    flags: {},
    load: async () => (await import('./backend.ts')).backendList,
  },
  {
    name: 'backend describe',
    args: ['NAME'],
    summary: 'Show how a backend is set up.',
    details: 'Credentials, and what says where they are, are masked: the output is safe to paste.',
    flags: {},
    load: async () => (await import('./backend.ts')).backendDescribe,
  },
  {
    name: 'backend create',
    args: ['NAME'],
    summary: 'Set up a backend: a KV v2 mount of an OpenBao or Vault.',
    details: `The server logs in there with a token that it reads from a secret of its own; you need get on that
secret. Other ways to log in are set up from a file: see sotto help backend apply.`,
    flags: {
      type: { value: 'openbao', help: 'The type of the backend.' },
      url: { value: 'URL', help: 'Where it is: https://HOST:PORT, as --backend-origin allows.' },
      'token-secret': { value: 'NAME', help: 'The secret that has the token.' },
      'token-key': { value: 'KEY', help: 'The field of it, where the secret is a JSON object.' },
      mount: { value: 'PATH', help: 'Where KV v2 is mounted. Default: secret.' },
      'path-prefix': { value: 'PATH', help: 'What is before all names. Default: sotto.' },
      namespace: { value: 'PATH', help: 'The namespace. Default: the root namespace.' },
      'ca-file': { value: 'FILE', help: 'Certificates of its authority, PEM.' },
      description: { value: 'TEXT', help: 'Words for people.' },
      default: { help: 'Keep new secrets there.' },
    },
    load: async () => (await import('./backend.ts')).backendCreate,
  },
  {
    name: 'backend apply',
    args: [],
    summary: 'Make backends as a file describes them.',
    details: `The file is YAML, with one backend in each document:

  kind: secretbackend
  name: vault
  type: openbao
  description: The team's OpenBao
  isDefault: false
  config:
    url: https://bao.example.com:8200
    mount: secret
    pathPrefix: sotto
    namespace: team
    tokenSecretRef: {name: backends/vault, key: token}

In the place of tokenSecretRef there can be auth with a method: approle (roleId, secretIdSecretRef),
kubernetes (role), jwt (role) or userpass (username, passwordSecretRef), and its mount where that is
another than its name. caCertificate holds certificates in PEM form. Unknown fields are refused.`,
    flags: { file: { short: 'f', value: 'FILE', help: 'The file; - is stdin.' } },
    load: async () => (await import('./backend.ts')).backendApply,
  },
  {
    name: 'backend delete',
    args: ['NAME'],
    summary: 'Delete a backend that keeps no secret.',
    flags: {
      'leave-values': {
        help: 'Also while values that were deleted here wait to be removed there: they stay.',
      },
    },
    load: async () => (await import('./backend.ts')).backendDelete,
  },
  {
    name: 'backend test',
    args: ['NAME'],
    summary: 'Check that a backend is reached and permits what is needed.',
    details:
      'A value is written there, read back and removed. The exit code is 2 when something is wrong.',
    flags: {},
    load: async () => (await import('./backend.ts')).backendTest,
  },
  {
    name: 'migrate secrets',
    args: [],
    summary: 'Move secrets from one backend to another, with all their versions.',
    details: `You need migrate, and get on each of the secrets. Of each, every version is read, written, read back
and compared; then the secret is flipped, and removed at the source. It can be broken off at any
moment, and the same command again does the rest: a secret is where it was or where it is to be.

The exit code is 2 when a secret failed, or is there that you may not get. What cannot be removed
at the source is told, and removed later.`,
    flags: {
      from: { value: 'BACKEND', help: 'Where they are.' },
      to: { value: 'BACKEND', help: 'Where they are to be.' },
      names: {
        value: 'GLOB,…',
        help: 'Only those that match one of these. Default: every secret.',
      },
      'keep-source': { help: 'Leave the values at the source, too, where that is not the store.' },
      'dry-run': { help: 'Show what would be moved.' },
    },
    load: async () => (await import('./migrate.ts')).migrateSecrets,
  },
  {
    name: 'mirror status',
    args: ['[BACKEND]'],
    summary: 'Show how mirrors are doing, and what someone else changed there.',
    flags: {},
    load: async () => (await import('./mirror.ts')).mirrorStatus,
  },
  {
    name: 'mirror sync',
    args: ['[BACKEND]'],
    summary: 'Compare mirrors with their backends, and bring them up.',
    details: `What someone else changed there is reported and left as it is, unless the mirror is set up
otherwise or --on-drift says so for this time: overwrite writes it again, and adopt also takes over
what someone else made under the same name.`,
    flags: {
      'dry-run': { help: 'Only show what would be done; needs BACKEND.' },
      secret: { value: 'NAME', help: 'Only this secret; needs BACKEND.' },
      'on-drift': { value: 'overwrite|adopt', help: 'What to do about what someone else changed.' },
      'accept-mount': {
        help: 'The mount was made again, and that is as it should be; needs BACKEND.',
      },
    },
    load: async () => (await import('./mirror.ts')).mirrorSync,
  },
  {
    name: 'version',
    args: [],
    summary: 'Show the release of this program.',
    flags: {},
    load: async () => (await import('./version.ts')).showVersion,
  },
  {
    name: 'help',
    args: ['[COMMAND]', '[COMMAND]'],
    summary: 'Show how a command is used.',
    flags: {},
    load: async () => (await import('./help.ts')).help,
  },
  {
    name: 'completion',
    args: ['bash|zsh|fish'],
    summary: 'Print a script that completes commands, flags and names in your shell.',
    details: `Names are asked from the server, when SOTTO_SERVER or SETEC_SERVER is set; each time is a list on
its audit log.

  bash: source <(sotto completion bash)
  zsh:  source <(sotto completion zsh)
  fish: sotto completion fish | source`,
    flags: {},
    load: async () => (await import('./completion.ts')).completion,
  },
]

/** The command of that name, of either kind. */
export function commandNamed(name: string): Command | RawCommand | undefined {
  return (
    commands.find((each) => each.name === name) ?? rawCommands.find((each) => each.name === name)
  )
}

/** The names of all commands, in the order of help. */
export function commandNames(): string[] {
  return [...rawCommands, ...commands].map(({ name }) => name)
}
