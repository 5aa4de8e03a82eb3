/** Rotations for tests: a server with one, and what became of it. */
import { expect } from 'vitest'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import type { Service } from '../support/service.ts'

export type Shown = OperationResponse<'rotation-describe'>
export type Spec = OperationRequest<'rotation-create'>

/** How long a run may take on a machine that is busy. */
export const LONG = { timeout: 100_000 }

/** A rotation of `secret` that generates its values. */
export function generated(Name: string, secret: string, more: object = {}): Spec {
  const shape = { shape: 'text', bytes: 32, alphabet: 'base64url' }
  const config = { kind: 'generated', secret, converge: 'all', grace: '0s', deleteOld: false }
  return { Name, Config: { ...config, template: shape, ...more } as Spec['Config'] }
}

/** A rotation of `secret` whose values a person makes. */
export function manual(Name: string, secret: string, more: object = {}): Spec {
  const config = { kind: 'manual', secret, converge: 'all', ...more }
  return { Name, Config: config as Spec['Config'] }
}

/** How far the rotation `Name` is. */
export async function statusOf({ client }: Pick<Service, 'client'>, Name: string): Promise<Shown> {
  const [found] = await client().operate('rotation-status', { Name })
  return found as Shown
}

/** Its step. */
export async function stepOf(service: Pick<Service, 'client'>, name: string): Promise<string> {
  return (await statusOf(service, name)).Step
}

/** Has the job run to its end, from now on: what is joined first may have begun before. */
export async function round({ client }: Pick<Service, 'client'>): Promise<void> {
  for (const _ of [1, 2]) await client().operate('job-run', { Name: 'rotations' })
}

/** Has the job run until the rotation `name` is at `step`, of the run `at` where that is given. */
export async function reaches(
  service: Pick<Service, 'client'>,
  name: string,
  step: string,
  at?: number,
): Promise<void> {
  const found = async (): Promise<unknown[]> => {
    await round(service)
    const { Step, Run } = await statusOf(service, name)
    return at === undefined ? [Step] : [Step, Run]
  }
  await expect.poll(found, LONG).toEqual(at === undefined ? [step] : [step, at])
}

/** The steps that the log has of the rotation `name`, in order, with versions and results. */
export function stepsOf(service: Pick<Service, 'records'>, name: string): string[] {
  return service
    .records()
    .filter(
      ({ kind, verb, rotation }) => kind === 'rotation' && verb === 'step' && rotation === name,
    )
    .map(({ run, step, secretVersion = '-', result }) =>
      [run, step, secretVersion, result].map(String).join(' '),
    )
}
