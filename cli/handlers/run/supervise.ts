/** Runs the program as a child of this process: signals, files and new values are passed to it. */
import { makeSecretFiles } from './files.ts'
import { startChild } from './child.ts'
import { endAlike, type Ending } from './ending.ts'
import type { Followed } from './follow.ts'
import { holdingTimers } from '../../../client/platform/timers.ts'
import { launchOf } from './launch.ts'
import { environmentFor, refuseTooLong, type Run } from './environment.ts'
import { hasTerminal } from './session.ts'
import { passOn } from './signals.ts'
import { type Manner, Supervisor } from './supervisor.ts'
import { heldVersions, isSame, type Values } from './values.ts'

/**
 * Runs it until it ended for good, and resolves with the exit code; dies itself of the signal that the program died of. `followed`
 * gives new values; undefined where they stay. Rejects where the program is not started.
 */
export async function supervise(
  about: Run,
  manner: Manner,
  values: Values,
  followed: Followed | undefined,
): Promise<number> {
  return endAlike(await supervised(about, manner, values, followed))
}

async function supervised(
  about: Run,
  manner: Manner,
  values: Values,
  followed: Followed | undefined,
): Promise<Ending> {
  const { invocation, program, say } = about
  const apart = !hasTerminal()
  let supervisor: Supervisor<Values> | undefined
  // Before anything is left behind that a signal would leave there.
  using _ = passOn({
    apart,
    pid: () => supervisor?.pid,
    tell: (signal, isKnown) => supervisor?.tell(signal, isKnown),
  })
  using files =
    about.wanted.files.length === 0
      ? undefined
      : makeSecretFiles(invocation.env, invocation.on('on-disk'))
  let isFirst = true
  supervisor = new Supervisor(
    {
      ...manner,
      timers: holdingTimers,
      random: Math.random,
      isSame,
      say,
      place: (each) => files?.place(each.files),
      start: async (each) => {
        const secrets = environmentFor(about, each, isFirst)
        const env = { ...secrets, ...(files && { SOTTO_SECRETS_DIR: files.folder }) }
        isFirst = false
        refuseTooLong(program, env)
        const launch = launchOf(program, env, invocation.env['PATH'], about.inherited)
        return startChild(launch, invocation.words[0] ?? '', {
          env,
          files: about.inherited.files,
          apart,
        })
      },
      onKept: (started, placed = started) => {
        followed?.keep(started && placed && heldVersions(about.wanted, started, placed))
      },
    },
    values,
  )
  followed?.onChange((each) => supervisor?.want(each))
  return await supervisor.run()
}
