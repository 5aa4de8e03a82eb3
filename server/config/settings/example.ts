/** A configuration file to begin with: every setting that a file may have, commented out, with what it is for. */
import { CONFIG_FILE } from './file.ts'
import { settings } from './table.ts'

/** What each could be, as YAML. */
const values: Readonly<Record<string, string>> = {
  'state-dir': '/var/lib/sotto',
  'key-file': '/etc/sotto/local.key',
  'kms-key': 'arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab',
  'kms-region': 'eu-central-1',
  'kms-endpoint': 'https://vpce-1234.kms.eu-central-1.vpce.amazonaws.com',
  'kms-profile': 'sotto',
  'transit-key': 'sotto',
  'transit-url': 'https://bao.example.com:8200',
  'transit-mount': 'transit',
  'transit-namespace': 'team',
  'transit-ca-file': '/etc/sotto/bao-ca.pem',
  'transit-auth': 'approle',
  'transit-auth-mount': 'approle',
  'transit-token-file': '/etc/sotto/bao-token',
  'transit-role': 'sotto',
  'transit-role-id': '59d6d1ca-47bb-4e7e-a40b-8be3bc5a0ba8',
  'transit-secret-id-file': '/etc/sotto/bao-secret-id',
  'transit-jwt-file': '/etc/sotto/bao-jwt',
  'transit-username': 'sotto',
  'transit-password-file': '/etc/sotto/bao-password',
  'transit-insecure': 'false',
  'recovery-identity': '/dev/shm/recovery.txt',
  listen: '":443"',
  'tls-cert': '/etc/sotto/tls.crt',
  'tls-key': '/etc/sotto/tls.key',
  'plain-http': 'false',
  'serve-socket': '/run/sotto/sotto.sock',
  'tailscaled-socket': '/run/tailscale/tailscaled.sock',
  capability: 'tailscale.com/cap/secrets',
  'service-address': '[100.100.0.1, "fd7a:115c:a1e0::9"]',
  'stale-after': '10m',
  userspace: 'false',
  'host-name': '[secrets.example.com]',
  watchers: '4096',
  'watchers-per-node': '64',
  'vault-listen': '":8200"',
  'vault-mount': '[secret-prod=prod/]',
  'vault-service-account': '[shop/external-secrets=prod/shop/*]',
  'vault-shared': '[tag:external-secrets]',
  'vault-issuer': 'https://kubernetes.default.svc.cluster.local',
  'vault-keys': '/etc/sotto/cluster-keys.json',
  'backend-origin': '["https://bao.example.com:8200"]',
  'backend-jwt-file': '/etc/sotto/backend-jwt',
  'backend-jwt-role': '["https://bao.example.com:8200/v1/auth/jwt/role/sotto"]',
  'backend-ca-file': '/etc/sotto/backend-ca.pem',
  'rotation-target': '["postgres://db.example.com:5432"]',
  'rotation-ca-file': '/etc/sotto/databases-ca.pem',
  'backup-to': 's3://my-backups/sotto',
  'backup-bucket': 'my-backups',
  'backup-bucket-region': 'eu-central-1',
  'backup-role': 'arn:aws:iam::123456789012:role/sotto-backup',
  'backup-profile': 'sotto-backup',
  'backup-endpoint': 'https://s3.example.com',
  'backup-insecure': 'false',
  'backup-lock': 'governance:30d',
  'backup-keep': 'last=30,daily=14,weekly=8,monthly=12',
  'rehearse-every': '1d',
  'rehearse-in': '/var/tmp',
  'log-format': 'json',
}

/** The text of the file. */
export function exampleFile(): string {
  const inFile = settings.filter((each) => each.inFile)
  const parts = new Map<string, string[]>()
  for (const [title, rows] of Map.groupBy(inFile, ({ section }) => section)) {
    const lines = rows.map(({ flag, help, many }) => {
      const words = help.replaceAll(/commas separate several/g, 'several make a list')
      const comment = (many ? words : help).split('\n').map((line) => `# ${line.trim()}\n`)
      return `${comment.join('')}#${flag}: ${values[flag] ?? ''}\n`
    })
    parts.set(title, lines)
  }
  return `# The configuration of Sotto: ${CONFIG_FILE}, or the file of --config or $SOTTO_CONFIG.
# Flags and variables replace what it has.
#
# It may hold no secret, only names of files that do. Nobody but root and the user of Sotto may be
# able to write it, or the folders above it.
# \`sotto config check\` checks it; \`sotto config show\` prints what is in effect.
${[...parts].map(([title, lines]) => `\n## ${title}\n\n${lines.join('\n')}`).join('')}`
}
