/** The commands for secrets: what people type all day. They load nothing else. */
import type { Flags } from '../arguments.ts'
import type { Command } from '../command.ts'

const valueFlags: Flags = {
  'from-file': { value: 'FILE', help: 'Read the value from this file; - is stdin.' },
  'empty-ok': { help: 'Allow an empty value.' },
  verbatim: { help: 'Keep white space at the ends of a text.' },
  'trim-space': { help: 'Remove white space at the ends of a text.' },
}

const valueDetails = `The value comes from --from-file, or from stdin, or from a prompt that does not show it. It is never an
argument: others could see it in the list of processes.

Text with white space at its ends is refused, unless --verbatim or --trim-space says what to do. A
key or certificate in PEM form needs --verbatim. Other bytes are saved as they are.`

const confirmFlags: Flags = { yes: { short: 'y', help: 'Delete without asking; for scripts.' } }

const confirmDetails = `On a terminal it asks first. Elsewhere it prints a token: run the same command with the token at its
end, within a minute. Both only guard against accidents.`

export const secretCommands: readonly Command[] = [
  {
    name: 'list',
    args: ['[PREFIX …]'],
    summary: 'List secrets.',
    details: `It shows those that your rules let you see. With PREFIX it shows only names that begin with it; several may
be given. VERSIONS are the numbers that there are.`,
    flags: {
      long: { help: 'Show when each was changed, and to who may see backends where it lives.' },
      'only-names': { help: 'Print only the names, one per line.' },
      backend: { value: 'NAME', help: 'Only secrets in this backend. Needs backends:view.' },
    },
    load: async () => (await import('../handlers/secrets.ts')).list,
  },
  {
    name: 'info',
    args: ['NAME'],
    summary: 'Show the versions of a secret.',
    details: 'With the action backends:view it also shows the backend that keeps the secret.',
    load: async () => (await import('../handlers/secrets.ts')).info,
  },
  {
    name: 'get',
    args: ['NAME'],
    summary: 'Print the active value of a secret.',
    details: `It prints exactly the bytes of the value. On a terminal it adds a newline, and shows control
characters as \\uXXXX, since a terminal would act on them. With -o json the value is in base64. The
exit code is 5 when nothing changed.`,
    flags: {
      version: { value: 'N', help: 'Print this version. 0 or absent: the active one.' },
      field: {
        value: 'FIELD',
        help: 'Print one field of a JSON object: a string as it is, others as JSON.',
      },
      'if-changed': { help: 'Print the active version only if it is not --version.' },
      raw: { help: 'Send control characters to the terminal, too.' },
    },
    load: async () => (await import('../handlers/secrets.ts')).get,
  },
  {
    name: 'put',
    args: ['NAME'],
    summary: 'Save a new version; the first is active at once, later ones after activate.',
    details: valueDetails,
    flags: {
      ...valueFlags,
      activate: { help: 'Activate the version, too. Needs the action activate.' },
      expect: {
        value: 'VERSION',
        help: 'Only if this is the latest version; 0: only if there is none.',
      },
    },
    takesValue: true,
    load: async () => (await import('../handlers/secrets.ts')).put,
  },
  {
    name: 'edit',
    args: ['NAME'],
    summary: 'Edit the active value in an editor, and save it as a new version.',
    details: `The editor is $VISUAL, or else $EDITOR: a program and its arguments, no shell. The file is in a private
directory in memory, which is gone at the end, whatever that is. You are shown what changed, without
values, and asked. Nothing is saved where somebody else saved a version meanwhile. A value that is JSON
stays JSON, and a newline that the editor adds at the end is dropped. The exit code is 5 when nothing
changed.

  sotto edit prod/web/config`,
    flags: {
      activate: { help: 'Activate the version, too. Needs the action activate.' },
      yes: { short: 'y', help: 'Save without asking; for scripts.' },
      'on-disk': { help: 'Use the directory for temporary files if there is none in memory.' },
    },
    load: async () => (await import('../handlers/edit.ts')).edit,
  },
  {
    name: 'create-version',
    args: ['NAME', 'VERSION'],
    summary: 'Save a version under a number of your choice and activate it.',
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
    name: 'rollback',
    args: ['NAME'],
    summary: 'Activate the version that was active before.',
    details: `That is the one that was active before by the history, whatever its number: a second rollback goes
forward again. Where somebody activates another one at the same moment, nothing changes. It does not
ask. A version that is deleted is refused. It needs the action activate alone.

  sotto rollback prod/web/key
  sotto rollback prod/web/key --to 3 --expect 5`,
    flags: {
      to: { value: 'VERSION', help: 'Activate this version instead.' },
      expect: { value: 'VERSION', help: 'Only if this version is active; for scripts.' },
    },
    load: async () => (await import('../handlers/history.ts')).rollback,
  },
  {
    name: 'history',
    args: ['NAME'],
    summary: 'Show when each version was put, active and deleted.',
    details: `It needs the action info. Who did it is shown to those with the action audit. A version is active,
staged (it has a value, and another one is active), deleted, or unused (its value never arrived).

  sotto history prod/web/key`,
    load: async () => (await import('../handlers/history.ts')).history,
  },
  {
    name: 'diff',
    args: ['NAME', '[VERSION]', '[VERSION]'],
    summary: 'Compare two versions, a secret with a file, or the secrets below two prefixes.',
    details: `Without versions it compares the active one with the latest; with one, that with the active one. Two
names that end in a slash are prefixes: then the active values below them are compared.

It says whether values are equal and, of JSON objects, which fields were added, removed or changed. It
never shows a value without --reveal. Each value that is read leaves a record, and needs the action
get. The exit code is 0 for equal, and 7 for a difference.

  sotto diff prod/web/key 1 2
  sotto diff prod/web/config --file config.json
  sotto diff staging/ prod/`,
    flags: {
      file: { value: 'FILE', help: 'Compare with this file.' },
      reveal: { help: 'Show what differs, with the values; only on a terminal.' },
    },
    load: async () => (await import('../handlers/diff.ts')).diff,
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
    summary: 'Delete a secret with all its versions.',
    details: confirmDetails,
    flags: confirmFlags,
    load: async () => (await import('../handlers/secrets.ts')).deleteSecret,
  },
  {
    name: 'whoami',
    args: ['[NAME]'],
    summary: 'Show who you are to the server, and what you may do.',
    details:
      'With NAME it also shows what you may do with that secret, and which rule allows it. The secret need not exist.',
    load: async () => (await import('../handlers/whoami.ts')).whoami,
  },
]
