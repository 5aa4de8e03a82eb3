/** Worker threads: where their scripts are, how errors leave them, and those that answer one question. */
import { getPriority, setPriority } from 'node:os'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { type ErrorCode, SottoError } from '../../client/api/errors.ts'
import { described } from '../../client/platform/system-error.ts'

/** Sources run as they are; the published program is a bundle, and this is in its folder dist/chunks/. */
const fromSource = import.meta.url.endsWith('.ts')

/** How much nicer a thread is that yields: of a processor that is short it gets a tenth of what others get. */
const NICER = 10

/** How often a thread says how far it is, in milliseconds. */
const PROGRESS_MS = 100

/** The script of a thread; `path` is that of its source from the top of the project, without the ending. */
export function threadScript(path: string): URL {
  return new URL(fromSource ? `../../${path}.ts` : `../${path}.js`, import.meta.url)
}

/** A SottoError as it passes between threads, which would make a bare Error of it. */
export interface PlainError {
  readonly code: ErrorCode
  readonly message: string
  readonly hint: string | undefined
}

/** What of `error` passes between threads: its cause does not. */
export function toPlain({ code, message, hint }: SottoError): PlainError {
  return { code, message, hint }
}

/** The error that `toPlain` was given. */
export function fromPlain({ code, message, hint }: PlainError): SottoError {
  return new SottoError(code, message, hint === undefined ? {} : { hint })
}

/** The answer of a thread. */
export type ThreadAnswer<T> = { readonly value: T } | { readonly error: PlainError }

/** What a thread says that answers one question: its answer, how far it is, or what it asks in turn. */
type FromThread<T> =
  | ThreadAnswer<T>
  | { readonly done: number; readonly total: number }
  | { readonly asked: unknown }

/** How a thread is asked. */
export interface AskOptions {
  readonly name: string
  /** What the thread sees of the environment. Default: nothing. */
  readonly env?: NodeJS.ProcessEnv
  readonly signal: AbortSignal
  /** How long the thread may clean up once it is aborted, in milliseconds. Default: 0. */
  readonly graceMs?: number
  readonly progress?: (done: number, total: number) => void
  /** Answers what the thread asks; the whole question is rejected when it rejects. */
  readonly reply?: (asked: never) => Promise<unknown>
}

/**
 * Has a thread of its own answer `question`. Resolves and rejects as the thread does, or rejects with the
 * reason of `signal`, and then the thread is terminated when it has cleaned up, or has taken too long to.
 */
export async function askThread<T>(
  script: URL,
  question: unknown,
  { name, env = {}, signal, graceMs = 0, progress, reply }: AskOptions,
): Promise<T> {
  signal.throwIfAborted()
  const thread = new Worker(script, { workerData: question, env, name })
  const end = Promise.withResolvers<T>()
  thread.on('message', (said: FromThread<T>) => {
    if ('value' in said) end.resolve(said.value)
    else if ('error' in said) end.reject(fromPlain(said.error))
    else if ('done' in said) progress?.(said.done, said.total)
    else reply?.(said.asked as never).then((answer) => post(thread, { answer }), end.reject)
  })
  thread.once('error', end.reject)
  thread.once('exit', () => end.reject(new Error(`The thread ${name} ended without an answer`)))
  let timer: NodeJS.Timeout | undefined
  const stop = (): void => {
    timer = setTimeout(() => end.reject(signal.reason), graceMs)
    post(thread, 'stop')
  }
  signal.addEventListener('abort', stop)
  try {
    return await end.promise
  } catch (error) {
    throw signal.aborted ? signal.reason : error
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
    await thread.terminate()
  }
}

/** Who asked, as the thread sees them. */
export interface Asker {
  /** Aborted when the answer is not wanted any more. */
  readonly signal: AbortSignal
  progress(done: number, total: number): void
  /** Resolves with the answer of `reply`. The next question waits for it. */
  ask(question: unknown): Promise<unknown>
}

/** In the thread: answers the question that it was started with. */
export async function answerQuestion<T>(
  answer: (question: never, asker: Asker) => Promise<T>,
): Promise<void> {
  if (!parentPort) throw new Error('This script runs as a worker thread')
  const port = parentPort
  const stop = new AbortController()
  let replied: ((answer: unknown) => void) | undefined
  port.on('message', (message: 'stop' | { readonly answer: unknown }) => {
    if (message === 'stop') stop.abort()
    else replied?.(message.answer)
  })
  let shown = Number.NEGATIVE_INFINITY
  const asker: Asker = {
    signal: stop.signal,
    progress(done, total) {
      if (done < total && performance.now() - shown < PROGRESS_MS) return
      shown = performance.now()
      post(port, { done, total })
    },
    ask: (asked) =>
      new Promise((resolve) => {
        replied = resolve
        post(port, { asked })
      }),
  }
  try {
    post(port, { value: await answer(workerData as never, asker) })
  } catch (error) {
    post(port, { error: toPlain(described(error)) })
  }
}

/**
 * In a thread: lets the other threads of this machine go first where the processor is short. Linux alone
 * has priorities of threads; elsewhere this would slow the whole process, so it does nothing.
 */
export function yieldToOthers(): void {
  if (process.platform !== 'linux' || isMainThread) return
  setPriority(0, Math.min(getPriority(0) + NICER, 19))
}

function post(port: { postMessage(message: unknown): void }, message: unknown): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin
  port.postMessage(message)
}
