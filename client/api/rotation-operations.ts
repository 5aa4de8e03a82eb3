/** What operators ask of rotations: every operation with the schemas of its request and its answer. */
import { z } from 'zod'
import {
  heldReasons,
  rotationKinds,
  rotationName,
  rotationSpec,
  rotationSteps,
} from './rotations.ts'
import { MAX_VERSION } from './types.ts'

const step = z.enum(rotationSteps)

const rotation = z
  .object({
    Name: z.string(),
    Kind: z.enum(rotationKinds),
    Secret: z.string().optional().meta({
      description: 'Absent, as versions and settings are, where the caller lacks `info` on it.',
    }),
    CreatedAt: z.string(),
    Config: z
      .record(z.string(), z.unknown())
      .optional()
      .meta({ description: 'When one rotation is described.' }),
    Run: z.int().min(0).meta({ description: 'The number of the newest run; 0: none yet.' }),
    Step: step.meta({ description: 'How far that run is.' }),
    Since: z.string(),
    Version: z.int().optional().meta({ description: 'The version that the run made.' }),
    Previous: z.int().optional().meta({ description: 'The version that was active before.' }),
    Due: z.string().optional().meta({ description: 'When the next run is due.' }),
    Overdue: z.boolean(),
    Missed: z.int().min(0).meta({ description: 'Windows that passed without a run.' }),
    Attempts: z.int().min(0).meta({ description: 'Failures of this step in a row.' }),
    Error: z.string().optional().meta({ description: 'The code of the last of them.' }),
    Held: z
      .object({ Reason: z.enum(heldReasons), At: step })
      .optional()
      .meta({ description: 'Why the run waits for a person, and at which step.' }),
    Done: z
      .object({ Run: z.int(), At: z.string(), Version: z.int().optional() })
      .optional()
      .meta({ description: 'The last run that came to its end.' }),
    Waits: z
      .object({
        Current: z.int().min(0),
        Behind: z.int().min(0),
        Unknown: z.int().min(0),
        Doubts: z.array(z.string()),
        Sessions: z
          .int()
          .min(0)
          .meta({ description: 'Sessions of the old version, as the target has them.' }),
      })
      .optional()
      .meta({ description: 'While it converges: holders of the secret, as `rollout` tells them.' }),
    Next: z.string().meta({ description: 'What works now, and what is to be done, in words.' }),
  })
  .meta({ id: 'Rotation', description: 'A rotation, and how far its newest run is.' })

const named = z.strictObject({ Name: rotationName })

/** The operations. */
export const rotationOperations = {
  'rotation-list': {
    summary: 'Returns the rotations of secrets.',
    action: 'rotation:view',
    request: z.strictObject({}),
    response: z.array(rotation),
  },
  'rotation-describe': {
    summary: 'Returns how a rotation is set up.',
    action: 'rotation:view',
    request: named,
    response: rotation,
  },
  'rotation-status': {
    summary: 'Returns how far rotations are, and what holds them up.',
    action: 'rotation:view',
    request: z.strictObject({ Name: rotationName.optional() }),
    response: z.array(rotation),
  },
  'rotation-create': {
    summary:
      'Sets up a rotation; `get`, `put` and `activate` on its secret are needed too, `delete` where it deletes, and `get` on what logs in to its target.',
    action: 'rotation:edit',
    request: rotationSpec,
    response: rotation,
  },
  'rotation-apply': {
    summary: 'Makes a rotation as it is described; the same is needed as to set it up.',
    action: 'rotation:edit',
    request: rotationSpec,
    response: z.object({ Result: z.enum(['created', 'changed', 'unchanged']), Rotation: rotation }),
  },
  'rotation-delete': {
    summary: 'Deletes a rotation, and leaves its secret as it is.',
    action: 'rotation:edit',
    request: named,
    response: z.object({}),
  },
  'rotation-plan': {
    summary: 'Returns what a run would do now, and what is in its way; changes nothing.',
    action: 'rotation:view',
    request: named,
    response: z.object({
      Steps: z.array(z.string()).meta({ description: 'What it would do, in order.' }),
      Problems: z.array(z.string()).meta({ description: 'What is in the way; empty: nothing.' }),
      Dates: z.array(z.string()).meta({ description: 'When the next runs are due, at most five.' }),
    }),
  },
  'rotation-run': {
    summary: 'Begins a run now.',
    action: 'rotation:run',
    request: named,
    response: rotation,
  },
  'rotation-done': {
    summary: 'Says which version a person made; `activate` on the secret is needed too.',
    action: 'rotation:run',
    request: z.strictObject({ Name: rotationName, Version: z.int().min(1).max(MAX_VERSION) }),
    response: rotation,
  },
  'rotation-abort': {
    summary: 'Ends a run, and makes the version before active again where it was changed.',
    action: 'rotation:run',
    request: named,
    response: rotation,
  },
  'rotation-retire': {
    summary: 'Retires the old version now, even if programs still hold it.',
    action: 'rotation:run',
    request: named,
    response: rotation,
  },
  'rotation-reconcile': {
    summary: 'Finds out how far a held run is, and lets it continue or ends it.',
    action: 'rotation:run',
    request: named,
    response: rotation,
  },
} as const
