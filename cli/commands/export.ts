/** Secrets for other programs: what the command line offers. */
import type { Command } from '../command.ts'
import { mappingDetails, mappingFlags } from '../mapping/flags.ts'

export const exportCommands: readonly Command[] = [
  {
    name: 'export',
    args: [],
    summary: 'Write secrets in the form that another program reads.',
    details: `  eval "$(sotto export --format sh -e DB_URL=prod/app/db-url)"
  sotto export --format systemd --prefix prod/app/ --to /run/app/env

A format is for one reader, and that reader gives each value back as it is. What it cannot carry is refused, with
the name of the secret, and nothing is written.

  sh           eval and . in dash, bash and zsh
  docker-env   docker run --env-file
  compose      .env and env_file of Docker Compose
  dotenv       .env files; --dialect says of which reader
  systemd      EnvironmentFile= of systemd
  credentials  LoadCredential= of systemd: a directory with a file for each
  json, yaml   one mapping
  k8s          a Secret for kubectl
  github       adds to $GITHUB_ENV, and prints the commands that mask values

${mappingDetails}`,
    flags: {
      format: {
        value: 'FORMAT',
        help: 'The form: sh, docker-env, compose and so on.',
        choices: async () => Object.keys((await import('../formats/table.ts')).formats),
      },
      ...mappingFlags,
      to: {
        value: 'FILE|DIR',
        help: 'Write to this file, open to its owner alone. Default: stdout.',
      },
      dialect: { value: 'node|npm|python', help: 'For dotenv: the reader of the file.' },
      name: { value: 'NAME', help: 'For k8s: the name of the Secret.' },
      base64: { help: 'For json and yaml: encode all values in base64.' },
    },
    load: async () => (await import('../handlers/export.ts')).exportSecrets,
  },
]
