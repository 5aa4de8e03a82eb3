/** The settings of where callers come in, and of who they are. */
import type { Setting } from './setting.ts'

export const networkSettings: readonly Setting[] = [
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
    help: 'Serve next to a tailscaled in userspace mode, on loopback. Read docs/tailnet.md first.',
  },
]
