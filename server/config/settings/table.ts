/** The settings of the server: one table that makes the parser, the help and the docs. */
import type { RawVerb, Setting } from './setting.ts'

/** What setec's server calls a flag, where that is another. */
const setecNames: Readonly<Record<string, string>> = { 'kms-key': 'kms-key-name' }

/** Variables of other programs for the same; ours go before them. */
const othersVariables: Readonly<Record<string, string>> = {
  'state-dir': 'SETEC_STATE_DIR',
  'kms-key': 'SETEC_KMS_KEY_NAME',
  'tailscaled-socket': 'TS_SOCKET',
  'backup-bucket': 'SETEC_BACKUP_BUCKET',
  'backup-bucket-region': 'SETEC_BACKUP_BUCKET_REGION',
  'backup-role': 'SETEC_BACKUP_ROLE',
}

/** Settings of one run, which have no variable. */
const ofOneRun: readonly string[] = ['dev', 'peer', 'output']

/** Settings that no configuration file has, since none is read with --dev. */
const notInFile: readonly string[] = [...ofOneRun, 'tailnet', 'config']

/** Settings with several values. */
const lists: readonly string[] = [
  'service-address',
  'host-name',
  'backend-origin',
  'backend-jwt-role',
  'rotation-target',
  'vault-mount',
  'vault-service-account',
  'vault-shared',
]

/** Every setting, in the order in which help shows them: by its flag as help writes it, and what it is for. */
export const settings: readonly Setting[] = [
  ...settingsOf('Development', ['server'], {
    dev: 'Serve a development tailnet on loopback. Not for production.',
    'tailnet FILE':
      'With --dev: the callers and their rules. Without it 127.0.0.1 and ::1 may do everything.',
  }),
  ...settingsOf('Files', ['server', 'init', 'doctor'], {
    'config FILE':
      'The configuration file. Default: /etc/sotto/config.yaml, if it is there. With --dev none is read.',
    'state-dir DIR':
      'The directory of the store and the audit log. With --dev alone: a temporary directory.',
  }),
  ...settingsOf('Keys of the store', ['server', 'init', 'doctor'], {
    'key-file FILE': 'The local key of the store. Default: local.key in the state directory.',
    'kms-key KEY':
      'The key of AWS KMS for the store: its ARN, its id, or alias/NAME.\n\
      --kms-key-name is the same.',
    'kms-region REGION':
      'Its region. Default: the one in the ARN, then that of the AWS configuration.',
    'kms-endpoint URL': 'An endpoint of your own for KMS. Default: as for the AWS CLI.',
    'kms-profile NAME':
      'Its profile of the AWS configuration, which may name a role. Default: what the AWS SDK\n\
      finds: variables, files, the role of the machine.',
    'transit-key NAME': 'The key of OpenBao Transit for the store.',
    'transit-url URL': 'That OpenBao: https://HOST:PORT.',
    'transit-mount PATH': 'The mount of its Transit engine. Default: transit.',
    'transit-namespace NAME': 'The namespace of engine and login. Default: the root namespace.',
    'transit-ca-file FILE': 'The authority of its certificate, PEM. Default: those of Node.',
    'transit-auth METHOD': 'Login: token, approle, kubernetes, jwt or userpass. Default: token.',
    'transit-auth-mount PATH': 'The mount of that login. Default: the name of the method.',
    'transit-token-file FILE': 'For token: the file with the token.',
    'transit-role NAME': 'For kubernetes and jwt: the name of the role.',
    'transit-role-id ID': 'For approle: the role id.',
    'transit-secret-id-file FILE': 'For approle: the file with the secret id.',
    'transit-jwt-file FILE': 'For kubernetes and jwt: the JWT file. Default: that of the pod.',
    'transit-username NAME': 'For userpass: the user name.',
    'transit-password-file FILE': 'For userpass: the file with the password.',
    'transit-insecure': 'Allow http://: the root key crosses the network in the clear.',
  }),
  ...settingsOf('Keys of the store', ['server', 'doctor'], {
    'recovery-identity FILE':
      'The age identity of a recovery key, if no other key opens the store.',
  }),
  ...settingsOf('Network', ['server', 'doctor'], {
    'listen [HOST]:PORT':
      'Where to listen. Without HOST: on every tailnet address of this node, never on others.\n\
      Default: :443, with --plain-http :80. With --dev: 127.0.0.1:0, where 0 is any free port.',
    'tls-cert FILE':
      'A certificate of your own with its chain, PEM. Default: the one from tailscaled.',
    'tls-key FILE': 'The key of that certificate, PEM. Both files are read again when they change.',
    'plain-http':
      'Serve HTTP without TLS on the tailnet addresses: only the tailnet encrypts then.',
    'serve-socket FILE':
      'Listen only on this unix socket, behind tailscale serve. Its directory must have mode 0700.',
    'tailscaled-socket FILE':
      'The unix socket of tailscaled. Default: the usual one of this system.',
    'capability NAME':
      'The capability with the rules in the tailnet policy. Default: tailscale.com/cap/secrets.',
    'service-address ADDRESS':
      'Listen on this address of a Tailscale Service, too; commas separate several.',
    'stale-after TIME':
      'Refuse everybody when tailscaled has not reached its control server for this time, such as\n\
      10m. Default: never; the last policy stays in force.',
    userspace:
      'Serve on loopback for a tailscaled in userspace mode. Read docs/guides/tailnet.md first.',
    'host-name NAME':
      'Answer by this name, too, such as a CNAME of your own; commas separate several.\n\
      Default: addresses, localhost, and the names of the node and its certificate.',
    'watchers N':
      'How many watches may be open: programs that hear of new versions at once; at most half of the\n\
      connections. Default: 4096.',
    'watchers-per-node N': 'How many of them one node may have. Default: 64.',
  }),
  ...settingsOf("Vault's clients", ['server', 'doctor'], {
    'vault-listen [HOST]:PORT':
      "Where to serve Vault's clients, which read secrets there. Without HOST: on every tailnet\n\
      address of this node. Default: nowhere.",
    'vault-mount NAME=PREFIX':
      'A mount of theirs, and what the names of its secrets begin with, such as\n\
      secret-prod=prod/; commas separate several. Default: secret=, names as they are.',
    'vault-service-account NAMESPACE/NAME=PATTERN':
      'A service account of Kubernetes, and names that it may read if its node may, too;\n\
      commas separate several. Default: none.',
    'vault-shared NODE':
      'A node, by its StableID or a tag, that gets nothing there without a token of such an\n\
      account; commas separate several. Default: none.',
    'vault-issuer URL': 'Who signs those tokens, as they have it.',
    'vault-keys FILE|URL': 'The keys of that issuer, a JSON Web Key Set.',
  }),
  ...settingsOf('Backends', ['server', 'doctor'], {
    'backend-origin URL':
      'Where backends may be: https://HOST:PORT; commas separate several. Default: nowhere.',
    'backend-jwt-file FILE':
      'The JWT that the server logs in to backends with. Default: the token of the pod.',
    'backend-jwt-role URL':
      'The roles that the JWT may be sent to: https://HOST:PORT/v1/[NAMESPACE/]auth/MOUNT/role/NAME;\n\
      commas separate several. Default: none.',
    'backend-ca-file FILE':
      'The authorities of backends that name none, PEM, and the only ones for the JWT.\n\
      Default: those of Node.',
  }),
  ...settingsOf('Rotations', ['server', 'doctor'], {
    'rotation-target URL':
      'Where rotations may change logins: postgres://HOST:PORT or valkey://HOST:PORT;\n\
      commas separate several. Default: nowhere.',
    'rotation-ca-file FILE':
      'The authorities of the certificates there, PEM. Default: those of Node.',
  }),
  ...settingsOf('Backups', ['server', 'doctor'], {
    'backup-to DIR|s3://BUCKET/PREFIX':
      'Where backups go. After a change one is made, at most one per minute; and at least one per day.\n\
      Default: none are made.',
    'backup-bucket BUCKET': 'The same as --backup-to s3://BUCKET.',
    'backup-bucket-region REGION':
      'The region of the bucket. Default: that of the AWS configuration.',
    'backup-role ARN': 'The role to assume for the bucket. Default: none.',
    'backup-profile NAME':
      'The profile of the AWS configuration for it. Default: what the AWS SDK finds.',
    'backup-endpoint URL': 'Where S3 is, if not at AWS. Default: as for the AWS CLI.',
    'backup-insecure': 'Allow http://: names of backups cross the network in the clear.',
    'backup-lock MODE:TIME':
      'Lock each backup there: governance:30d or compliance:4w, for example.',
    'backup-keep KEEP':
      'How many backups to keep: all, or last=N,daily=N,weekly=N,monthly=N.\n\
      Default: last=30,daily=14,weekly=8,monthly=12.',
    'rehearse-every TIME':
      'How often to test the newest backup: restore it to a temporary place and open every value.\n\
      12h, 7d or never, for example. Default: 1d.',
    'rehearse-in DIR': 'The directory for that test. Default: the state directory.',
  }),
  ...settingsOf('Log', ['server', 'doctor'], {
    'log-format text|json': 'The form of the log: words, or JSON. Default: text.',
  }),
  ...settingsOf('Answer', ['doctor'], {
    'peer NODE':
      'Also show who calls from this node, by name or address, and what the policy allows it.',
    'output text|json': 'The form of the answer. Default: text.',
  }),
]

/** Flags of setec's server that Sotto does not have, and what to do instead. */
export const setecFlags: Readonly<Record<string, string>> = {
  hostname: 'The name is the one of the node: set it with `tailscale set --hostname`.',
  'login-server': 'The node is joined by tailscaled: `tailscale up --login-server URL`.',
}

/** What a setting is where nothing gives it, in the words of its help; `-` for none. */
export function defaultOf({ help, value }: Setting): string {
  if (value === undefined) return 'false'
  return /Default: ([^]*?)[.;](?:\s|$)/.exec(help)?.[1]?.replaceAll(/\n\s*/g, ' ') ?? '-'
}

/** What help shows of the settings of `verb`: of each its section, its flag with the variables for it, and what it is for. */
export function settingsHelp(
  verb: RawVerb,
): { readonly section: string; readonly names: string; readonly help: string }[] {
  return settings
    .filter(({ verbs }) => verbs.includes(verb))
    .map(({ section, flag, env, value, help }) => {
      const names = [`--${flag}${value ? ` ${value}` : ''}`, ...env.map((name) => `$${name}`)]
      return { section, names: names.join(', '), help }
    })
}

/** The settings of a section that `verbs` read; what has no value after its flag is a switch. */
function settingsOf(
  section: string,
  verbs: readonly RawVerb[],
  helps: Readonly<Record<string, string>>,
): Setting[] {
  return Object.entries(helps).map(([usage, help]) => {
    const [flag = '', value] = usage.split(' ')
    const setec = setecNames[flag]
    const names = [`SOTTO_${flag.replaceAll('-', '_').toUpperCase()}`, othersVariables[flag] ?? []]
    const env = ofOneRun.includes(flag) ? [] : names.flat()
    return {
      section,
      flag,
      ...(setec !== undefined && { setec }),
      env,
      value,
      verbs,
      help,
      ...(lists.includes(flag) && { many: true as const }),
      ...(!notInFile.includes(flag) && { inFile: true as const }),
    }
  })
}
