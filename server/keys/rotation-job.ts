/** The job that continues a rotation of the keyring until it is done. */
import type { Gate } from '../gate/gate.ts'
import type { Rotation } from './rotation.ts'
import type { Job } from '../jobs/scheduler.ts'

/** Continues a rotation that was begun: soon after the start of the server, and when it is woken. */
export function rotationJob(rotation: Rotation, gate: Gate): Job {
  return {
    name: 'rotation',
    action: 'keys',
    rules: [{ action: ['keys'], secret: ['*'] }],
    everyMs: 10 * 60_000,
    firstMs: 500,
    retryMs: 5000,
    maxMs: 12 * 60 * 60_000,
    async run({ call, signal }) {
      const moved = await rotation.run(await gate.operate(call, 'keys', 'key-rotate'), signal)
      return moved === undefined ? 'no rotation was under way' : `moved ${moved} data keys`
    },
  }
}
