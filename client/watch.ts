/** What a server tells of secrets that a program holds: their versions, as they change, and never a value. */
import type { IncomingMessage } from 'node:http'
import { SottoError } from './api/errors.ts'
import { isObject, isVersion, parseText } from './answer.ts'
import { EventStream, type StreamEvent } from './event-stream.ts'
import { processTimers, type Timers } from './platform/timers.ts'

/** Which version of a secret is active, where that is not the one that was held. */
export type Change =
  | {
      readonly Name: string
      /** 0: there is none, as the secret is missing or deleted. */
      readonly Version: number
      /** The store had every change up to this one. */
      readonly Revision: number
      readonly Denied?: never
    }
  /** The caller may not know, the same whether there is such a secret or not. */
  | {
      readonly Name: string
      readonly Denied: true
      readonly Revision: number
      readonly Version?: never
    }

/** What a watch tells. `at` is the branch of the store, a dot and the revision; undefined where the server does not say. */
export type WatchEvent =
  | { readonly event: 'change'; readonly change: Change; readonly at: string | undefined }
  /** Everything up to here was told. */
  | { readonly event: 'synced'; readonly revision: number; readonly at: string | undefined }
  /** The server ends the watch: `age`, `stopping`, `lag`, or another word. It is the last event. */
  | { readonly event: 'bye'; readonly reason: string }

/** How long a server that is well says nothing, at most, in milliseconds. */
export const SILENCE_MS = 40_000

/** What a stream is read with. */
export interface StreamParts {
  readonly signal: AbortSignal | undefined
  readonly timers: Timers | undefined
  /** The error for a stream that ended, or was silent for too long: `why` is the end of a sentence. */
  readonly lost: (why: string) => SottoError
}

/**
 * The events of `response`, which ends with them. Throws what `lost` makes where the stream breaks off or is silent
 * for 40 seconds, `bad_answer` for what is not an event of a watch, and the signal's reason.
 */
export async function* eventsOf(
  response: IncomingMessage,
  { signal, timers = processTimers, lost }: StreamParts,
): AsyncGenerator<WatchEvent, void, undefined> {
  const stream = new EventStream()
  const abort = (): void => void response.destroy()
  signal?.addEventListener('abort', abort)
  if (signal?.aborted) abort()
  let silent = false
  try {
    const pieces = response[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>
    for (;;) {
      // Only while it is waited for: a program may take its time with what it was told.
      const stop = timers.after(SILENCE_MS, () => {
        silent = true
        response.destroy()
      })
      const piece = await pieces.next().finally(stop)
      if (piece.done === true) break
      for (const raw of stream.push(piece.value)) {
        const event = watchEventOf(raw)
        if (!event) continue
        yield event
        if (event.event === 'bye') return
      }
    }
  } catch (error) {
    if (error instanceof SottoError) throw error
  } finally {
    signal?.removeEventListener('abort', abort)
    response.destroy()
  }
  signal?.throwIfAborted()
  throw lost(silent ? `it said nothing for ${SILENCE_MS / 1000} s` : 'the connection broke off')
}

/** The answer of a blocking query; undefined for anything else. */
export function readChanges(body: unknown): Change[] | undefined {
  if (!Array.isArray(body)) return undefined
  const changes = body.map(changeOf)
  return changes.every((each) => each !== undefined) ? changes : undefined
}

/** What an event of the stream says; undefined for one of a kind that is not known. Throws `bad_answer`. */
function watchEventOf({ event, id: at, data }: StreamEvent): WatchEvent | undefined {
  if (event !== 'change' && event !== 'synced' && event !== 'bye') return undefined
  const body = parseText(data)
  if (isObject(body)) {
    const { Revision: revision, Reason: reason } = body
    const change = changeOf(body)
    if (event === 'change' && change) return { event, change, at }
    if (event === 'synced' && isRevision(revision)) return { event, revision, at }
    if (event === 'bye' && typeof reason === 'string') return { event, reason }
  }
  throw new SottoError(
    'bad_answer',
    `Cannot read the stream: an event ${event} is not as it must be`,
  )
}

function changeOf(body: unknown): Change | undefined {
  if (!isObject(body)) return undefined
  const { Name, Version, Revision, Denied } = body
  if (typeof Name !== 'string' || !isRevision(Revision)) return undefined
  if (Denied === true) return { Name, Denied, Revision }
  return isVersion(Version) ? { Name, Version, Revision } : undefined
}

function isRevision(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
