/** Rotations of secrets: what the command line offers. */
import type { Command } from '../command.ts'

export const rotationCommands: readonly Command[] = [
  {
    name: 'rotation list',
    args: [],
    summary: 'List the rotations: what makes new versions of secrets.',
    load: async () => (await import('../handlers/rotations.ts')).rotationList,
  },
  {
    name: 'rotation describe',
    args: ['NAME'],
    summary: 'Show how a rotation is set up.',
    load: async () => (await import('../handlers/rotations.ts')).rotationDescribe,
  },
  {
    name: 'rotation create',
    args: ['NAME'],
    summary: 'Set up a rotation of a secret that Sotto generates.',
    details: `You need get, put and activate on the secret. For other settings and for values that a person makes
use a file: \`sotto help rotation apply\`. Example:

  sotto rotation create key --secret prod/key --schedule '0 3 * * 1'`,
    flags: {
      secret: { value: 'NAME', help: 'The secret that is rotated.' },
      schedule: {
        value: 'CRON',
        help: 'When: five fields as in a crontab, in UTC. Default: when told.',
      },
    },
    load: async () => (await import('../handlers/rotations.ts')).rotationCreate,
  },
  {
    name: 'rotation apply',
    args: [],
    summary: 'Create or change rotations as a file describes them.',
    details: `The file is YAML, with one document per rotation:

  kind: secretrotation
  name: session-key
  config:
    kind: generated
    secret: prod/session-key
    schedule: 0 3 * * 1
    window: 2h
    template: {shape: text, bytes: 32, alphabet: base64url}
    converge: all
    deleteOld: true
    grace: 1d

The shape is text, json (field, fields) or verifier: an object with current and previous. converge is
all, manual or {allOrAfter: 7d}. With kind: manual a person makes the value: owner, runbook, and due
or a schedule say who, how and when. With kind: postgres-pair, postgres-single or valkey-acl logins of
a server are rotated: docs/guides/rotation-postgres.md and rotation-valkey.md. Unknown fields are refused. Example:

  sotto rotation apply -f rotations.yaml`,
    flags: { file: { short: 'f', value: 'FILE', help: 'The file; - is stdin.' } },
    load: async () => (await import('../handlers/rotations.ts')).rotationApply,
  },
  {
    name: 'rotation delete',
    args: ['NAME'],
    summary: 'Delete a rotation, and leave its secret as it is.',
    load: async () => (await import('../handlers/rotations.ts')).rotationDelete,
  },
  {
    name: 'rotation plan',
    args: ['NAME'],
    summary: 'Show what a run would do now, and change nothing.',
    details: 'The exit code is 2 when something is in the way of a run.',
    load: async () => (await import('../handlers/rotations.ts')).rotationPlan,
  },
  {
    name: 'rotation run',
    args: ['NAME'],
    summary: 'Begin a run now.',
    load: async () => (await import('../handlers/rotations.ts')).rotationRun,
  },
  {
    name: 'rotation status',
    args: ['[NAME]'],
    summary: 'Show how far rotations are, and what holds them up.',
    details: `Those that wait for a person come first. Example:

  sotto rotation status session-key`,
    load: async () => (await import('../handlers/rotations.ts')).rotationStatus,
  },
  {
    name: 'rotation done',
    args: ['NAME'],
    summary: 'Say which version a person made for a manual rotation.',
    details: `You need activate on the secret. Example:

  sotto put prod/partner-token < token
  sotto rotation done partner-token --version 7`,
    flags: { version: { value: 'VERSION', help: 'The number of the version that was put.' } },
    load: async () => (await import('../handlers/rotations.ts')).rotationDone,
  },
  {
    name: 'rotation abort',
    args: ['NAME'],
    summary: 'End a run; the version before is active again.',
    load: async () => (await import('../handlers/rotations.ts')).rotationAbort,
  },
  {
    name: 'rotation retire',
    args: ['NAME'],
    summary: 'Retire the old version now, even if programs still hold it.',
    details: 'See first who does: `sotto rollout SECRET`.',
    load: async () => (await import('../handlers/rotations.ts')).rotationRetire,
  },
  {
    name: 'rotation reconcile',
    args: ['NAME'],
    summary: 'Have a held run continue from what there is, or end.',
    details: `What someone else did to the secret stays. After a restore, look first whether the active version is the
right one.`,
    load: async () => (await import('../handlers/rotations.ts')).rotationReconcile,
  },
]
