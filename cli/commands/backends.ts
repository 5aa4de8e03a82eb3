/** Backends: what the command line offers. */
import type { Command } from '../command.ts'

export const backendCommands: readonly Command[] = [
  {
    name: 'backend list',
    args: [],
    summary: 'List the backends, where secrets are kept.',
    details: 'The backend "default" is the encrypted store of the server. It always exists.',
    load: async () => (await import('../handlers/backends.ts')).backendList,
  },
  {
    name: 'backend describe',
    args: ['NAME'],
    summary: 'Show how a backend is set up, and the state of its login.',
    details: `Credentials, and where they are, are masked: the output is safe to paste. The last failed login is
shown even if a later one succeeded.`,
    load: async () => (await import('../handlers/backends.ts')).backendDescribe,
  },
  {
    name: 'backend create',
    args: ['NAME'],
    summary: 'Add a backend: a KV v2 mount of OpenBao.',
    details: `The server logs in with a token that it reads from a secret; you need get on that secret. For other
logins use a file: \`sotto help backend apply\`.`,
    flags: {
      type: { value: 'openbao', help: 'The type of the backend.' },
      url: { value: 'URL', help: 'https://HOST:PORT, which --backend-origin must allow.' },
      'token-secret': { value: 'NAME', help: 'The secret with the token.' },
      'token-key': {
        value: 'KEY',
        help: 'The field with the token, if the secret is a JSON object.',
      },
      mount: { value: 'PATH', help: 'Where KV v2 is mounted. Default: secret.' },
      'path-prefix': { value: 'PATH', help: 'The prefix of all names. Default: sotto.' },
      namespace: { value: 'PATH', help: 'The namespace. Default: the root namespace.' },
      'ca-file': { value: 'FILE', help: 'The certificates of its authority, PEM.' },
      description: { value: 'TEXT', help: 'A description.' },
      default: { help: 'Keep new secrets there.' },
    },
    load: async () => (await import('../handlers/backends.ts')).backendCreate,
  },
  {
    name: 'backend apply',
    args: [],
    summary: 'Create or change backends as a file describes them.',
    details: `The file is YAML, with one document per backend:

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

In place of tokenSecretRef, auth can have a method: approle (roleId, secretIdSecretRef), kubernetes
(role), jwt (role) or userpass (username, passwordSecretRef); and mount, if that is not the name of
the method. With inline: true each call logs in by itself, and no token is kept (OpenBao 2.4 or
newer). caCertificate has certificates in PEM form. Unknown fields are refused.`,
    flags: { file: { short: 'f', value: 'FILE', help: 'The file; - is stdin.' } },
    load: async () => (await import('../handlers/backends.ts')).backendApply,
  },
  {
    name: 'backend delete',
    args: ['NAME'],
    summary: 'Delete a backend that keeps no secrets.',
    flags: {
      'leave-values': {
        help: 'Delete it even if values of deleted secrets are still there; they stay.',
      },
    },
    load: async () => (await import('../handlers/backends.ts')).backendDelete,
  },
  {
    name: 'backend test',
    args: ['NAME'],
    summary: 'Check that a backend answers and allows what Sotto needs.',
    details:
      'It writes a value, reads it back and removes it. The exit code is 2 when something is wrong.',
    load: async () => (await import('../handlers/backends.ts')).backendTest,
  },
]
