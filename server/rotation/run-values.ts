/** The values that a run reads: each through the gate, when it is asked for, and zeroed when the run is done with it. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { SecretCache } from '../catalog/cache.ts'
import type { Call, Gate } from '../gate/gate.ts'
import type { RunValues } from './kinds/contract.ts'
import type { RotationRecord } from './registry.ts'

/** What they are read from. */
export interface ValuesParts {
  readonly gate: Gate
  readonly cache: Pick<SecretCache, 'row' | 'read'>
}

/** Runs `act` on the values of the run of `record`. */
export async function withValues<T>(
  { gate, cache }: ValuesParts,
  call: Call,
  { config, state }: Pick<RotationRecord, 'config' | 'state'>,
  act: (values: RunValues) => Promise<T>,
): Promise<T> {
  const revealed: Buffer[] = []
  /**
   * Recorded as any other that is read. Not by `Secrets.get`, which would make the server a holder that the run then
   * waits for.
   */
  const read = async (name: string, version: number): Promise<Buffer> => {
    const pass = await gate.enter(call, 'get', name)
    const found = await cache.read(name, version)
    const sealed = found?.versions.get(version)
    if (!found || !sealed) {
      await pass.record('not-found', version)
      const message = `Version ${version} of ${quote(name)} is not there any more`
      throw new SottoError('conflict', message)
    }
    const value = await pass.reveal(found.row, sealed)
    revealed.push(value)
    return value
  }
  const secret = async (name: string): Promise<Buffer> => {
    const active = (await cache.row(name))?.active ?? 0
    if (active > 0) return read(name, active)
    const message = `There is no secret ${quote(name)}`
    throw new SottoError('not_found', message, { hint: 'Put its value: `sotto put`.' })
  }
  try {
    return await act({
      candidate: () => read(config.secret, state.candidate ?? 0),
      previous: () => read(config.secret, state.from?.active ?? 0),
      secret,
    })
  } finally {
    for (const value of revealed) value.fill(0)
  }
}
