/** Check files: what the command line offers. */
import type { Command } from '../command.ts'

export const lintCommands: readonly Command[] = [
  {
    name: 'lint',
    args: ['PATH', '[PATH …]'],
    summary: 'Find values of secrets, and wrong references to them, in files.',
    details: `  sotto lint deploy k8s compose.yaml

It reads manifests, compose files, files of variables, sources, and blocks in Markdown. Nothing is asked of a server, and
no value is printed.

  literal          a password, secret, token or API key with its value
  fallback         \${NAME:-value}; right is \${NAME:?why}
  env-file         .env in deploy/, k8s/ or docker/, or where git commits it
  kv-call          a program that reads a KV engine itself
  environment      a secret of prod in a file of dev, and the like
  sensitive-name   an address of mail, or a value, in the name of a secret
  naming, field-name, deprecated-path: by .sotto-lint.yaml

A comment allows a finding on its line or the next: # sotto-lint allow literal: why. A fallback that is safe:
# safe-default: why. Not read are node_modules, .git and their like, links, what is not text in UTF-8, files
of more than 1 MiB, and lines of more than 4000 characters. The exit code is 9 where something was found.`,
    flags: {
      format: {
        value: 'table|sarif',
        help: 'The form: a table, or SARIF 2.1.0 for services of code review.',
      },
      config: {
        value: 'FILE',
        help: 'The file of profiles and paths. Default: .sotto-lint.yaml in the first PATH that has it, or here.',
      },
    },
    load: async () => (await import('../handlers/lint.ts')).lint,
  },
]
