/** Worker threads: where their scripts are, how errors leave them, and those that answer one question. */
import { parentPort, Worker, workerData } from 'node:worker_threads'
import { asSottoError, type ErrorCode, SottoError } from '../../client/api/errors.ts'

/** Sources run as they are; the published program is a bundle, and this is in its folder dist/chunks/. */
const fromSource = import.meta.url.endsWith('.ts')

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

/** What a thread says that answers one question. */
export type ThreadAnswer<T> = { readonly value: T } | { readonly error: PlainError }

/**
 * Has a thread of its own answer `question`. Resolves and rejects as the thread does, or rejects with the
 * reason of `signal`, and then the thread is terminated. `env` is what the thread sees of the environment.
 */
export async function askThread<T>(
  script: URL,
  question: unknown,
  { name, env = {}, signal }: { name: string; env?: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<T> {
  signal.throwIfAborted()
  const thread = new Worker(script, { workerData: question, env, name })
  const end = Promise.withResolvers<ThreadAnswer<T>>()
  thread.once('message', end.resolve)
  thread.once('error', end.reject)
  thread.once('exit', () => end.reject(new Error(`The thread ${name} ended without an answer`)))
  const stopped = (): void => end.reject(signal.reason)
  signal.addEventListener('abort', stopped)
  try {
    const answer = await end.promise
    if ('value' in answer) return answer.value
    throw fromPlain(answer.error)
  } finally {
    signal.removeEventListener('abort', stopped)
    await thread.terminate()
  }
}

/** In the thread: answers the question that it was started with. */
export async function answerQuestion<T>(answer: (question: never) => Promise<T>): Promise<void> {
  if (!parentPort) throw new Error('This script runs as a worker thread')
  let said: ThreadAnswer<T>
  try {
    said = { value: await answer(workerData as never) }
  } catch (error) {
    said = { error: toPlain(asSottoError(error)) }
  }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin
  parentPort.postMessage(said)
}
