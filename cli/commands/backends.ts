/** Backends: what the command line offers. */
import type { Command } from '../command.ts'

export const backendCommands: readonly Command[] = [
  {
    name: 'backend list',
    args: [],
    summary: 'List the backends: where secrets are kept.',
    details: 'The backend "default" is the encrypted store of the server; it is always there.',
    load: async () => (await import('../handlers/backends.ts')).backendList,
  },
  {
    name: 'backend describe',
    args: ['NAME'],
    summary: 'Show how a backend is set up.',
    details: 'Credentials, and what says where they are, are masked: the output is safe to paste.',
    load: async () => (await import('../handlers/backends.ts')).backendDescribe,
  },
  {
    name: 'backend create',
    args: ['NAME'],
    summary: 'Set up a backend: a KV v2 mount of an OpenBao or Vault.',
    details: `The server logs in there with a token that it reads from a secret of its own; you need get on that
secret. Other ways to log in are set up from a file: see sotto help backend apply.`,
    flags: {
      type: { value: 'openbao', help: 'The type of the backend.' },
      url: { value: 'URL', help: 'Where it is: https://HOST:PORT, as --backend-origin allows.' },
      'token-secret': { value: 'NAME', help: 'The secret that has the token.' },
      'token-key': { value: 'KEY', help: 'The field of it, where the secret is a JSON object.' },
      mount: { value: 'PATH', help: 'Where KV v2 is mounted. Default: secret.' },
      'path-prefix': { value: 'PATH', help: 'The prefix of all names. Default: sotto.' },
      namespace: { value: 'PATH', help: 'The namespace. Default: the root namespace.' },
      'ca-file': { value: 'FILE', help: 'Certificates of its authority, PEM.' },
      description: { value: 'TEXT', help: 'A description.' },
      default: { help: 'Keep new secrets there.' },
    },
    load: async () => (await import('../handlers/backends.ts')).backendCreate,
  },
  {
    name: 'backend apply',
    args: [],
    summary: 'Make backends as a file describes them.',
    details: `The file is YAML, with one backend in each document:

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

Instead of tokenSecretRef there can be auth with a method: approle (roleId, secretIdSecretRef),
kubernetes (role), jwt (role) or userpass (username, passwordSecretRef), and its mount where that is
another than its name. caCertificate holds certificates in PEM form. Unknown fields are refused.`,
    flags: { file: { short: 'f', value: 'FILE', help: 'The file; - is stdin.' } },
    load: async () => (await import('../handlers/backends.ts')).backendApply,
  },
  {
    name: 'backend delete',
    args: ['NAME'],
    summary: 'Delete a backend that keeps no secret.',
    flags: {
      'leave-values': {
        help: 'Also when values that were deleted here are still there: they stay there.',
      },
    },
    load: async () => (await import('../handlers/backends.ts')).backendDelete,
  },
  {
    name: 'backend test',
    args: ['NAME'],
    summary: 'Check that a backend answers and permits what is needed.',
    details:
      'A value is written there, read back and removed. The exit code is 2 when something is wrong.',
    load: async () => (await import('../handlers/backends.ts')).backendTest,
  },
]
