/** Import from another kind of server, and from files: what the command line offers. */
import type { Flags } from '../arguments.ts'
import type { Command } from '../command.ts'

const valuesFlags: Flags = {
  prefix: { value: 'PREFIX', help: 'What the names of the secrets begin with, such as prod/app/.' },
  'dry-run': { help: 'Compare with what is there, and write nothing. Needs get to compare.' },
  activate: {
    help: 'Activate new versions of secrets that were there. Needs the action activate.',
  },
  'empty-ok': { help: 'Take empty values.' },
}

const valuesDetails = `What is there with the same value is not written again: after an interruption, run the same command
again. A secret that is there with another value gets a new version, which is not active without --activate. No value is
printed. You need info and put on the secrets. The exit code is 0 when every one of them is there.`

/** A command that imports from a file. */
function fromFile(kind: string, what: string, details: string, example: string): Command {
  return {
    name: `import ${kind}`,
    args: ['FILE'],
    summary: `Save the values of ${what} as secrets.`,
    details: `  ${example}\n\n${details}\n\n${valuesDetails}`,
    flags: valuesFlags,
    load: async () => (await import('../handlers/import/values.ts')).importFrom(kind),
  }
}

export const importCommands: readonly Command[] = [
  {
    name: 'import setec',
    args: [],
    summary: 'Copy all secrets from a setec server to a Sotto server.',
    details: `Both servers must be running. Versions keep their numbers, and the same one is active. What the
destination already has is not written again: after an interruption, or a change at the source, run
the command again. Differences are reported and left as they are. At the end all values are compared.

You need info and get at the source, and info, get, create-version and activate at the destination.
The source records each read. The exit code is 0 when every secret of the source, except those of
--except, is at the destination with equal values.`,
    flags: {
      from: { value: 'URL', help: 'The setec server. Default: $SETEC_SERVER.' },
      'from-local-address': {
        value: 'ADDRESS',
        help: 'Call the setec server from this address.',
      },
      only: { value: 'GLOB', help: 'Names to copy; * matches anything. Default: all.' },
      except: { value: 'GLOB', many: true, help: 'Names to leave out of those.' },
      'dry-run': { help: 'Show what would be copied. Values are not read or compared.' },
    },
    load: async () => (await import('../handlers/import/command.ts')).importSetec,
  },
  fromFile(
    'dotenv',
    'a .env file',
    `Readers of such files differ: a line that they would take for different values is refused, with its number, as is a
name that is there twice.`,
    'sotto import dotenv .env --prefix prod/app/ --dry-run',
  ),
  fromFile(
    'json',
    'a JSON object',
    'Names within names are joined by /. Lists and null are refused. A number is saved as it is written.',
    'sotto import json secrets.json --prefix prod/app/',
  ),
  fromFile(
    'yaml',
    'a YAML mapping',
    `Names within names are joined by /. Lists and empty values are refused. Aliases and merge keys are followed. What has
no quotes is saved as it is written: no, 0x1f, 1e3.`,
    'sotto import yaml secrets.yaml --prefix prod/app/',
  ),
  fromFile(
    'k8s',
    'Secrets of Kubernetes',
    'Each key of each Secret becomes the secret SECRET/KEY. Other kinds in the manifests are passed over.',
    'sotto import k8s secrets.yaml --prefix prod/',
  ),
  fromFile(
    'sops',
    'a file that SOPS encrypted',
    'It runs `sops decrypt`, which must be installed and have its keys. What is decrypted is taken as by import json.',
    'sotto import sops secrets.enc.yaml --prefix prod/app/',
  ),
  {
    name: 'import openbao',
    args: ['KV-PATH'],
    summary: 'Save the values of a KV engine of OpenBao as secrets.',
    details: `  BAO_ADDR=https://bao:8200 sotto import openbao kv/app --prefix prod/app/

KV-PATH is a mount, or a path in one, of version 1 or 2. Each field of each secret below it becomes the secret
PATH/FIELD. Of version 2 it takes the current values, and leaves out what is deleted. The token comes from $BAO_TOKEN,
$VAULT_TOKEN or --token-file; it needs read and list.

${valuesDetails}`,
    flags: {
      address: { value: 'URL', help: 'OpenBao. Default: $BAO_ADDR, then $VAULT_ADDR.' },
      'token-file': { value: 'FILE', help: 'Read the token from this file.' },
      namespace: {
        value: 'NAME',
        help: 'The namespace. Default: $BAO_NAMESPACE, then $VAULT_NAMESPACE.',
      },
      'ca-file': {
        value: 'FILE',
        help: 'Authorities that its certificate may come from. Default: $BAO_CACERT, then $VAULT_CACERT.',
      },
      ...valuesFlags,
    },
    load: async () => (await import('../handlers/import/values.ts')).importFrom('openbao'),
  },
]
