/** The commands for secrets: what people type all day. They load nothing else. */
import type { Flags } from '../arguments.ts'
import type { Command } from '../command.ts'

const valueFlags: Flags = {
  'from-file': { value: 'FILE', help: 'Read the value from this file.' },
  'empty-ok': { help: 'Allow an empty value.' },
  verbatim: { help: 'Keep white space around a text.' },
  'trim-space': { help: 'Remove white space around a text.' },
}

const valueDetails = `The value comes from --from-file, else from stdin when that is not a terminal, else from two prompts
that show nothing. It is never an argument: those can be seen in the list of processes.

A text with white space around it is refused until --verbatim or --trim-space says what to do; a
key or certificate in PEM form wants --verbatim. Bytes that are not UTF-8 are taken as they are.`

const confirmFlags: Flags = { yes: { short: 'y', help: 'Delete without a token; for scripts.' } }

const confirmDetails = `The first call prints a token; the same command with the token at its end, within a minute, deletes.
The token only guards against accidents.`

export const secretCommands: readonly Command[] = [
  {
    name: 'list',
    args: [],
    summary: 'List the secrets that you may know about.',
    flags: { 'only-names': { help: 'Print names alone, one a line.' } },
    load: async () => (await import('../handlers/secrets.ts')).list,
  },
  {
    name: 'info',
    args: ['NAME'],
    summary: 'Show the versions of a secret.',
    load: async () => (await import('../handlers/secrets.ts')).info,
  },
  {
    name: 'get',
    args: ['NAME'],
    summary: 'Print the active value of a secret.',
    details: `The bytes are printed as they are; on a terminal a newline follows. With -o json the value is in
base64, along with its version. Exit code 5 means that nothing changed.`,
    flags: {
      version: { value: 'N', help: 'Print this version. Default: the active one.' },
      'if-changed': { help: 'Print the active version only if it is not --version.' },
    },
    load: async () => (await import('../handlers/secrets.ts')).get,
  },
  {
    name: 'put',
    args: ['NAME'],
    summary: 'Add a version; the first of a secret becomes active, later ones when you say so.',
    details: valueDetails,
    flags: valueFlags,
    takesValue: true,
    load: async () => (await import('../handlers/secrets.ts')).put,
  },
  {
    name: 'create-version',
    args: ['NAME', 'VERSION'],
    summary: 'Add a version under a number of your choice and activate it.',
    details: valueDetails,
    flags: valueFlags,
    takesValue: true,
    load: async () => (await import('../handlers/secrets.ts')).createVersion,
  },
  {
    name: 'activate',
    args: ['NAME', 'VERSION'],
    summary: 'Make a version the active one.',
    load: async () => (await import('../handlers/secrets.ts')).activate,
  },
  {
    name: 'delete-version',
    args: ['NAME', 'VERSION', '[TOKEN]'],
    summary: 'Delete a version that is not active.',
    details: confirmDetails,
    flags: confirmFlags,
    load: async () => (await import('../handlers/secrets.ts')).deleteVersion,
  },
  {
    name: 'delete',
    args: ['NAME', '[TOKEN]'],
    summary: 'Delete a secret with all its versions, the active one too.',
    details: confirmDetails,
    flags: confirmFlags,
    load: async () => (await import('../handlers/secrets.ts')).deleteSecret,
  },
  {
    name: 'whoami',
    args: ['[NAME]'],
    summary: 'Show who the server takes you for, and what you may do.',
    details:
      'With NAME also which actions you may do on that secret and by which rule, whether it exists or not.',
    load: async () => (await import('../handlers/whoami.ts')).whoami,
  },
]
