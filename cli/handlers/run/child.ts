/** The program as a child of this process, with what it starts itself. */
import { spawn } from 'node:child_process'
import type { Environment } from '../../../client/api/given.ts'
import { reasonOf } from '../../../client/platform/system-error.ts'
import type { Ending } from './ending.ts'
import type { Launch } from './launch.ts'
import { NotStarted } from './program.ts'
import { family, statusOf } from './session.ts'

/** A program that was started. */
export interface Child {
  readonly pid: number
  /** Resolves when it ended, while what it started may go on. */
  readonly ended: Promise<Ending>
  /** Sends a signal to the program alone. */
  signal(signal: NodeJS.Signals): void
  /** Sends on a signal that this process got: one that asks to stop to its whole group, where that is its own. */
  pass(signal: NodeJS.Signals): void
  /** Sends a signal to it and to what it started, which need not be running any more. */
  signalAll(signal: NodeJS.Signals): void
  /** Whether it, or something that it started, still runs. */
  isLeft(): boolean
}

/** How it is started. */
export interface ChildOptions {
  readonly env: Environment
  /** The files after stderr that it inherits. */
  readonly files: readonly number[]
  /** Whether it gets a session, and so a group, of its own: where it has no terminal to lose. */
  readonly apart: boolean
}

/** What asks a program to stop. A manager of services, too, sends it to all that a service started. */
export const stopping: ReadonlySet<NodeJS.Signals> = new Set<NodeJS.Signals>([
  'SIGTERM',
  'SIGINT',
  'SIGQUIT',
])

/** Starts it; its streams are ours. Rejects with NotStarted. `name` is what was typed. */
export async function startChild(
  { file, argv }: Launch,
  name: string,
  { env, files, apart }: ChildOptions,
): Promise<Child> {
  const [argv0, ...args] = argv
  const started = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<Ending>()
  try {
    const child = spawn(file, args, {
      argv0,
      env: { ...env },
      stdio: ['inherit', 'inherit', 'inherit', ...files],
      detached: apart,
    })
    child.once('spawn', () => started.resolve())
    child.once('error', (error) => started.reject(error))
    child.once('exit', (code, signal) => ended.resolve({ code, signal }))
    await started.promise
    return childOf(child.pid as number, ended.promise, apart)
  } catch (error) {
    throw new NotStarted(126, name, reasonOf(error))
  }
}

function childOf(pid: number, ended: Promise<Ending>, apart: boolean): Child {
  let isOver = false
  void ended.then(() => (isOver = true))
  /** Those that were below it when it was last asked: one whose parent ended is below nobody. */
  let known = new Map<number, string>()
  const left = (): number[] => {
    if (!isOver) known = new Map([...known, ...family(pid)])
    return [...known].flatMap(([each, started]) => {
      const status = statusOf(each)
      return status && status.started === started && status.state !== 'Z' ? [each] : []
    })
  }
  // Its number may be that of another once it is over.
  const sendTo = (each: NodeJS.Signals, to = pid): void => void (isOver || send(to, each))
  return {
    pid,
    ended,
    signal: (each) => sendTo(each),
    pass: (each) => sendTo(each, apart && stopping.has(each) ? -pid : pid),
    signalAll: (signal) => {
      const others = left().filter((each) => each !== pid)
      if (apart) send(-pid, signal)
      else if (!isOver) send(pid, signal)
      if (!apart) for (const each of others) send(each, signal)
    },
    isLeft: () => (apart ? send(-pid, 0) && left().length > 0 : !isOver || left().length > 0),
  }
}

/** Whether there was somebody to send it to. */
function send(to: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(to, signal)
    return true
  } catch {
    return false
  }
}
