/** The settings of the server: one table that makes the parser, the help and the docs. */
import { backendSettings } from './backends.ts'
import { backupSettings } from './backups.ts'
import { keySettings } from './keys.ts'
import { networkSettings } from './network.ts'
import type { RawVerb, Setting } from './setting.ts'

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
  ...keySettings,
  ...networkSettings,
  ...backendSettings,
  ...backupSettings,
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
