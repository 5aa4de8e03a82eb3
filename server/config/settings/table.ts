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

/** Every setting, in the order in which help shows them: by its flag as help writes it, and what it is for. */
export const settings: readonly Setting[] = [
  ...settingsOf(['server'], {
    dev: 'Serve a development tailnet on loopback. Not for production.',
    'tailnet FILE':
      'With --dev: the callers and their rules. Without it 127.0.0.1 may do everything.',
  }),
  ...settingsOf(['server', 'init', 'doctor'], {
    'state-dir DIR':
      'Where the store and the audit log are. With --dev alone: a temporary directory.',
    // The keys that a store is sealed under.
    'key-file FILE':
      'The local key that the store is sealed under. Default: local.key in the state directory.',
    'kms-key KEY':
      'The key of AWS KMS that the store is sealed under: its ARN, its id, or alias/NAME.\n\
      --kms-key-name is the same.',
    'kms-region REGION':
      'The region of that key. Default: the one in its ARN, then that of the AWS configuration.',
    'kms-endpoint URL':
      'Where KMS is reached, for an endpoint of your own. Default: that of the region.',
    'kms-profile NAME':
      'The profile of the AWS configuration to use; it may name a role. Default: what the AWS SDK\n\
      finds: variables, files, the role of the machine.',
    'transit-key NAME': 'The key of OpenBao Transit that the store is sealed under.',
    'transit-url URL': 'Where that OpenBao is: https://HOST:PORT.',
    'transit-mount PATH': 'Where its Transit engine is mounted. Default: transit.',
    'transit-namespace NAME': 'The namespace of engine and login. Default: the root namespace.',
    'transit-ca-file FILE': 'The authority of its certificate, PEM. Default: those of Node.',
    'transit-auth METHOD': 'Login: token, approle, kubernetes, jwt or userpass. Default: token.',
    'transit-auth-mount PATH': 'Where that login is mounted. Default: the name of the method.',
    'transit-token-file FILE': 'For token: the file of the token.',
    'transit-role NAME': 'For kubernetes and jwt: the name of the role.',
    'transit-role-id ID': 'For approle: the role id.',
    'transit-secret-id-file FILE': 'For approle: the file of the secret id.',
    'transit-jwt-file FILE': 'For kubernetes and jwt: the JWT file. Default: that of the pod.',
    'transit-username NAME': 'For userpass: the user name.',
    'transit-password-file FILE': 'For userpass: the file of the password.',
    'transit-insecure': 'Allow http://: the root key crosses the network in the clear.',
  }),
  ...settingsOf(['server', 'doctor'], {
    'recovery-identity FILE':
      'The age identity of the recovery key, for when no other key opens the store.',
    // Where callers come in, and who they are.
    'listen [HOST]:PORT':
      'Where to listen. Without HOST: on every tailnet address of this node, never on others.\n\
      Default: :443, with --plain-http :80. With --dev: 127.0.0.1:0, port 0 being any free one.',
    'tls-cert FILE':
      'A certificate of your own with its chain, PEM. Default: the one that tailscaled gets.',
    'tls-key FILE': 'The key of that certificate, PEM. Both files are read again when they change.',
    'plain-http':
      'Serve HTTP without TLS on the tailnet addresses; the tailnet alone encrypts then.',
    'serve-socket FILE':
      'Listen on this unix socket alone, behind tailscale serve, in a directory of mode 0700.',
    'tailscaled-socket FILE': 'The unix socket of tailscaled. Default: where it is on this system.',
    'capability NAME':
      'The capability of the tailnet policy that holds rules. Default: tailscale.com/cap/secrets.',
    'service-address ADDRESS':
      'Listen on this address of a Tailscale Service too; several are parted by commas.',
    'stale-after TIME':
      'Refuse everybody when tailscaled has not reached its control server for so long: 90s, 10m\n\
      or 24h. Default: never; the policy that tailscaled heard last counts.',
    userspace:
      'Serve next to a tailscaled in userspace mode, on loopback. Read docs/tailnet.md first.',
  }),
  ...settingsOf(['server'], {
    'backend-origin URL':
      'Where backends may be: https://HOST:PORT; several are parted by commas. Default: nowhere.',
    'backend-jwt-file FILE':
      'The JWT that proves to a backend who the server is. Default: the token of the pod.',
  }),
  ...settingsOf(['server', 'doctor'], {
    'backup-to DIR|s3://BUCKET/PREFIX':
      'Where backups go: at most one a minute when something changed, and one a day at least.\n\
      Default: none are made.',
    'backup-bucket BUCKET': 'The same as --backup-to s3://BUCKET.',
    'backup-bucket-region REGION':
      'The region of the bucket. Default: that of the AWS configuration.',
    'backup-role ARN': 'The role to assume for the bucket. Default: none.',
    'backup-profile NAME': 'The profile of AWS to use for it. Default: what the AWS SDK finds.',
    'backup-endpoint URL': 'Where the bucket is reached, for a service other than that of AWS.',
    'backup-insecure': 'Allow http://: names of backups cross the network in the clear.',
    'backup-lock MODE:DAYSd': 'Lock each backup there, as governance:30d or compliance:30d do.',
    'backup-keep KEEP':
      'How many backups to keep: all, or last=N,daily=N,weekly=N,monthly=N.\n\
      Default: last=30,daily=14,weekly=8,monthly=12.',
    'rehearse-every TIME':
      'How often the newest backup is fetched, restored to a temporary place, opened whole, and\n\
      destroyed there: a time such as 12h or 7d, or never. Default: 1d.',
    'rehearse-in DIR': 'The directory for that. Default: the state directory.',
  }),
  ...settingsOf(['doctor'], {
    'peer ADDRESS': 'Also show who calls from this tailnet address, and what the policy allows it.',
    'output text|json': 'How to print what was found. Default: text.',
  }),
]

/** Flags of setec's server that Sotto does not have, and what to do instead. */
export const setecFlags: Readonly<Record<string, string>> = {
  hostname: 'The name is the one of the node: set it with `tailscale set --hostname`.',
  'login-server': 'The node is joined by tailscaled: `tailscale up --login-server URL`.',
}

/** The settings of `verb`, as lines for help. */
export function settingsHelp(verb: RawVerb): string {
  return settings
    .filter(({ verbs }) => verbs.includes(verb))
    .map(({ flag, env, value, help }) => {
      const names = [`--${flag}${value ? ` ${value}` : ''}`, ...env.map((name) => `$${name}`)]
      return `  ${names.join(', ')}\n      ${help}\n`
    })
    .join('')
}

/** The settings that `verbs` read; what has no value after its flag is a switch. */
function settingsOf(verbs: readonly RawVerb[], helps: Readonly<Record<string, string>>): Setting[] {
  return Object.entries(helps).map(([usage, help]) => {
    const [flag = '', value] = usage.split(' ')
    const setec = setecNames[flag]
    const names = [`SOTTO_${flag.replaceAll('-', '_').toUpperCase()}`, othersVariables[flag] ?? []]
    const env = ofOneRun.includes(flag) ? [] : names.flat()
    return { flag, ...(setec !== undefined && { setec }), env, value, verbs, help }
  })
}
