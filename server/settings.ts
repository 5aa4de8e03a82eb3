/** The settings of the server: one table that makes the parser, the help and the docs. */

/** The commands that read settings. */
export type RawVerb = 'server' | 'init' | 'doctor'

/** One setting. A flag on the command line goes before the environment. */
export interface Setting {
  /** The flag, without its dashes. */
  readonly flag: string
  /** The name that setec's server has for it, where that is another. */
  readonly setec?: string
  /** Environment variables, the first one set counts. None for settings of one run. */
  readonly env: readonly string[]
  /** What a value looks like, for help; undefined for a switch. */
  readonly value: string | undefined
  readonly verbs: readonly RawVerb[]
  readonly help: string
}

/** Gives the value of a setting by its flag, undefined where it is not set; `on` for switches. */
export interface SettingValues {
  readonly value: (flag: string) => string | undefined
  readonly on: (flag: string) => boolean
}

/** Every setting, in the order in which help shows them. */
export const settings: readonly Setting[] = [
  {
    flag: 'dev',
    env: [],
    value: undefined,
    verbs: ['server'],
    help: 'Serve a development tailnet on loopback. Not for production.',
  },
  {
    flag: 'tailnet',
    env: ['SOTTO_TAILNET'],
    value: 'FILE',
    verbs: ['server'],
    help: 'With --dev: the callers and their rules. Without it 127.0.0.1 may do everything.',
  },
  {
    flag: 'state-dir',
    env: ['SOTTO_STATE_DIR', 'SETEC_STATE_DIR'],
    value: 'DIR',
    verbs: ['server', 'init', 'doctor'],
    help: 'Where the store and the audit log are. With --dev alone: a temporary directory.',
  },
  {
    flag: 'key-file',
    env: ['SOTTO_KEY_FILE'],
    value: 'FILE',
    verbs: ['server', 'init', 'doctor'],
    help: 'The local key that the store is sealed under. Default: local.key in the state directory.',
  },
  {
    flag: 'kms-key',
    setec: 'kms-key-name',
    env: ['SOTTO_KMS_KEY', 'SETEC_KMS_KEY_NAME'],
    value: 'KEY',
    verbs: ['server', 'init', 'doctor'],
    help: 'The key of AWS KMS that the store is sealed under: its ARN, its id, or alias/NAME.\n\
      --kms-key-name is the same.',
  },
  {
    flag: 'kms-region',
    env: ['SOTTO_KMS_REGION'],
    value: 'REGION',
    verbs: ['server', 'init', 'doctor'],
    help: 'The region of that key. Default: the one in its ARN, then that of the AWS configuration.',
  },
  {
    flag: 'kms-endpoint',
    env: ['SOTTO_KMS_ENDPOINT'],
    value: 'URL',
    verbs: ['server', 'init', 'doctor'],
    help: 'Where KMS is reached, for an endpoint of your own. Default: that of the region.',
  },
  {
    flag: 'kms-profile',
    env: ['SOTTO_KMS_PROFILE'],
    value: 'NAME',
    verbs: ['server', 'init', 'doctor'],
    help: 'The profile of the AWS configuration to use; it may name a role. Default: what the AWS SDK\n\
      finds: variables, files, the role of the machine.',
  },
  {
    flag: 'transit-key',
    env: ['SOTTO_TRANSIT_KEY'],
    value: 'NAME',
    verbs: ['server', 'init', 'doctor'],
    help: 'The key of OpenBao Transit that the store is sealed under.',
  },
  {
    flag: 'transit-url',
    env: ['SOTTO_TRANSIT_URL'],
    value: 'URL',
    verbs: ['server', 'init', 'doctor'],
    help: 'Where that OpenBao is: https://HOST:PORT.',
  },
  {
    flag: 'transit-mount',
    env: ['SOTTO_TRANSIT_MOUNT'],
    value: 'PATH',
    verbs: ['server', 'init', 'doctor'],
    help: 'Where its Transit engine is mounted. Default: transit.',
  },
  {
    flag: 'transit-namespace',
    env: ['SOTTO_TRANSIT_NAMESPACE'],
    value: 'NAME',
    verbs: ['server', 'init', 'doctor'],
    help: 'The namespace of engine and login. Default: the root namespace.',
  },
  {
    flag: 'transit-ca-file',
    env: ['SOTTO_TRANSIT_CA_FILE'],
    value: 'FILE',
    verbs: ['server', 'init', 'doctor'],
    help: 'The authority of its certificate, PEM. Default: those of Node.',
  },
  {
    flag: 'transit-auth',
    env: ['SOTTO_TRANSIT_AUTH'],
    value: 'METHOD',
    verbs: ['server', 'init', 'doctor'],
    help: 'Login: token, approle, kubernetes, jwt or userpass. Default: token.',
  },
  {
    flag: 'transit-auth-mount',
    env: ['SOTTO_TRANSIT_AUTH_MOUNT'],
    value: 'PATH',
    verbs: ['server', 'init', 'doctor'],
    help: 'Where that login is mounted. Default: the name of the method.',
  },
  {
    flag: 'transit-token-file',
    env: ['SOTTO_TRANSIT_TOKEN_FILE'],
    value: 'FILE',
    verbs: ['server', 'init', 'doctor'],
    help: 'For token: the file of the token.',
  },
  {
    flag: 'transit-role',
    env: ['SOTTO_TRANSIT_ROLE'],
    value: 'NAME',
    verbs: ['server', 'init', 'doctor'],
    help: 'For kubernetes and jwt: the name of the role.',
  },
  {
    flag: 'transit-role-id',
    env: ['SOTTO_TRANSIT_ROLE_ID'],
    value: 'ID',
    verbs: ['server', 'init', 'doctor'],
    help: 'For approle: the role id.',
  },
  {
    flag: 'transit-secret-id-file',
    env: ['SOTTO_TRANSIT_SECRET_ID_FILE'],
    value: 'FILE',
    verbs: ['server', 'init', 'doctor'],
    help: 'For approle: the file of the secret id.',
  },
  {
    flag: 'transit-jwt-file',
    env: ['SOTTO_TRANSIT_JWT_FILE'],
    value: 'FILE',
    verbs: ['server', 'init', 'doctor'],
    help: 'For kubernetes and jwt: the JWT file. Default: that of the pod.',
  },
  {
    flag: 'transit-username',
    env: ['SOTTO_TRANSIT_USERNAME'],
    value: 'NAME',
    verbs: ['server', 'init', 'doctor'],
    help: 'For userpass: the user name.',
  },
  {
    flag: 'transit-password-file',
    env: ['SOTTO_TRANSIT_PASSWORD_FILE'],
    value: 'FILE',
    verbs: ['server', 'init', 'doctor'],
    help: 'For userpass: the file of the password.',
  },
  {
    flag: 'transit-insecure',
    env: ['SOTTO_TRANSIT_INSECURE'],
    value: undefined,
    verbs: ['server', 'init', 'doctor'],
    help: 'Allow http://: the root key crosses the network in the clear.',
  },
  {
    flag: 'recovery-identity',
    env: ['SOTTO_RECOVERY_IDENTITY'],
    value: 'FILE',
    verbs: ['server', 'doctor'],
    help: 'The age identity of the recovery key, for when no other key opens the store.',
  },
  {
    flag: 'listen',
    env: ['SOTTO_LISTEN'],
    value: '[HOST]:PORT',
    verbs: ['server', 'doctor'],
    help: 'Where to listen. Without HOST: on every tailnet address of this node, never on others.\n\
      Default: :443, with --plain-http :80. With --dev: 127.0.0.1:0, port 0 being any free one.',
  },
  {
    flag: 'tls-cert',
    env: ['SOTTO_TLS_CERT'],
    value: 'FILE',
    verbs: ['server', 'doctor'],
    help: 'A certificate of your own with its chain, PEM. Default: the one that tailscaled gets.',
  },
  {
    flag: 'tls-key',
    env: ['SOTTO_TLS_KEY'],
    value: 'FILE',
    verbs: ['server', 'doctor'],
    help: 'The key of that certificate, PEM. Both files are read again when they change.',
  },
  {
    flag: 'plain-http',
    env: ['SOTTO_PLAIN_HTTP'],
    value: undefined,
    verbs: ['server', 'doctor'],
    help: 'Serve HTTP without TLS on the tailnet addresses; the tailnet alone encrypts then.',
  },
  {
    flag: 'serve-socket',
    env: ['SOTTO_SERVE_SOCKET'],
    value: 'FILE',
    verbs: ['server', 'doctor'],
    help: 'Listen on this unix socket alone, behind tailscale serve, in a directory of mode 0700.',
  },
  {
    flag: 'tailscaled-socket',
    env: ['SOTTO_TAILSCALED_SOCKET', 'TS_SOCKET'],
    value: 'FILE',
    verbs: ['server', 'doctor'],
    help: 'The unix socket of tailscaled. Default: where it is on this system.',
  },
  {
    flag: 'capability',
    env: ['SOTTO_CAPABILITY'],
    value: 'NAME',
    verbs: ['server', 'doctor'],
    help: 'The capability of the tailnet policy that holds rules. Default: tailscale.com/cap/secrets.',
  },
  {
    flag: 'service-address',
    env: ['SOTTO_SERVICE_ADDRESS'],
    value: 'ADDRESS',
    verbs: ['server', 'doctor'],
    help: 'Listen on this address of a Tailscale Service too; several are parted by commas.',
  },
  {
    flag: 'stale-after',
    env: ['SOTTO_STALE_AFTER'],
    value: 'TIME',
    verbs: ['server', 'doctor'],
    help: 'Refuse everybody when tailscaled has not reached its control server for so long: 90s, 10m\n\
      or 24h. Default: never; the policy that tailscaled heard last counts.',
  },
  {
    flag: 'userspace',
    env: ['SOTTO_USERSPACE'],
    value: undefined,
    verbs: ['server', 'doctor'],
    help: 'Serve beside a tailscaled in userspace mode, on loopback. Read docs/tailnet.md first.',
  },
  {
    flag: 'backend-origin',
    env: ['SOTTO_BACKEND_ORIGIN'],
    value: 'URL',
    verbs: ['server'],
    help: 'Where backends may be: https://HOST:PORT; several are parted by commas. Default: nowhere.',
  },
  {
    flag: 'backend-jwt-file',
    env: ['SOTTO_BACKEND_JWT_FILE'],
    value: 'FILE',
    verbs: ['server'],
    help: 'The JWT that proves to a backend who the server is. Default: the token of the pod.',
  },
  {
    flag: 'backup-to',
    env: ['SOTTO_BACKUP_TO'],
    value: 'DIR|s3://BUCKET/PREFIX',
    verbs: ['server', 'doctor'],
    help: 'Where backups go: at most one a minute when something changed, and one a day at least.\n\
      Default: none are made.',
  },
  {
    flag: 'backup-bucket',
    env: ['SOTTO_BACKUP_BUCKET', 'SETEC_BACKUP_BUCKET'],
    value: 'BUCKET',
    verbs: ['server', 'doctor'],
    help: 'The same as --backup-to s3://BUCKET.',
  },
  {
    flag: 'backup-bucket-region',
    env: ['SOTTO_BACKUP_BUCKET_REGION', 'SETEC_BACKUP_BUCKET_REGION'],
    value: 'REGION',
    verbs: ['server', 'doctor'],
    help: 'The region of the bucket. Default: that of the AWS configuration.',
  },
  {
    flag: 'backup-role',
    env: ['SOTTO_BACKUP_ROLE', 'SETEC_BACKUP_ROLE'],
    value: 'ARN',
    verbs: ['server', 'doctor'],
    help: 'The role to assume for the bucket. Default: none.',
  },
  {
    flag: 'backup-profile',
    env: ['SOTTO_BACKUP_PROFILE'],
    value: 'NAME',
    verbs: ['server', 'doctor'],
    help: 'The profile of AWS to use for it. Default: what the AWS SDK finds.',
  },
  {
    flag: 'backup-endpoint',
    env: ['SOTTO_BACKUP_ENDPOINT'],
    value: 'URL',
    verbs: ['server', 'doctor'],
    help: 'Where the bucket is reached, for a service other than that of AWS.',
  },
  {
    flag: 'backup-insecure',
    env: ['SOTTO_BACKUP_INSECURE'],
    value: undefined,
    verbs: ['server', 'doctor'],
    help: 'Allow http://: names of backups cross the network in the clear.',
  },
  {
    flag: 'backup-lock',
    env: ['SOTTO_BACKUP_LOCK'],
    value: 'MODE:DAYSd',
    verbs: ['server', 'doctor'],
    help: 'Lock each backup there, as governance:30d or compliance:30d do.',
  },
  {
    flag: 'backup-keep',
    env: ['SOTTO_BACKUP_KEEP'],
    value: 'KEEP',
    verbs: ['server', 'doctor'],
    help: 'How many backups to keep: all, or last=N,daily=N,weekly=N,monthly=N.\n\
      Default: last=30,daily=14,weekly=8,monthly=12.',
  },
  {
    flag: 'rehearse-every',
    env: ['SOTTO_REHEARSE_EVERY'],
    value: 'TIME',
    verbs: ['server', 'doctor'],
    help: 'How often the newest backup is fetched, restored to a temporary place, opened whole, and\n\
      destroyed there: a time such as 12h or 7d, or never. Default: 1d.',
  },
  {
    flag: 'rehearse-in',
    env: ['SOTTO_REHEARSE_IN'],
    value: 'DIR',
    verbs: ['server', 'doctor'],
    help: 'The directory for that. Default: the state directory.',
  },
  {
    flag: 'peer',
    env: [],
    value: 'ADDRESS',
    verbs: ['doctor'],
    help: 'Also show who calls from this tailnet address, and what the policy allows it.',
  },
  {
    flag: 'output',
    env: [],
    value: 'text|json',
    verbs: ['doctor'],
    help: 'How to print what was found. Default: text.',
  },
]

/** Flags of setec's server that nothing here stands for, and what does instead. */
export const setecFlags: Readonly<Record<string, string>> = {
  hostname: 'The name is the one of the node: set it with `tailscale set --hostname`.',
  'login-server': 'The node is joined by tailscaled: `tailscale up --login-server URL`.',
}
