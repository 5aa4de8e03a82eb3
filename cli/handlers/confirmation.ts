/** Dangerous commands want a token that they printed a moment before, or a person at a terminal who types what it is about. */
import { SottoError } from '../../client/api/errors.ts'
import { visible } from '../../client/api/visible.ts'
import type { Invocation } from '../invocation.ts'

/** Milliseconds that a token is good for. */
const TOKEN_LIFE_MS = 60_000

/** What a person is asked. */
interface Prompt {
  /** Half a sentence; the answer follows it. */
  readonly question: string
  readonly answer: string
}

/** As `confirm`; a person at a terminal who gave no token is asked instead. Rejects with `local` where the answer is another. */
export async function confirmed(
  invocation: Invocation,
  act: string,
  token: string | undefined,
  { question, answer }: Prompt,
): Promise<void> {
  const { io, json } = invocation
  const isPerson = io.stdin.isTTY && io.stderr.isTTY && !json && token === undefined
  if (!isPerson || invocation.on('yes')) return confirm(invocation, act, token)
  await io.stderr.write(`${visible(question)}: `)
  if ((await firstLine(io.stdin.chunks())) !== answer) {
    throw new SottoError('local', 'Nothing was changed: that is not what was asked for')
  }
}

async function firstLine(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  for await (const chunk of chunks) {
    text += Buffer.from(chunk).toString('utf8')
    if (text.includes('\n')) break
  }
  return text.replace(/\r?\n[^]*$/, '')
}

/**
 * Throws `local` with a fresh token unless `token` is one for this act on this server, or --yes was
 * given. A token is the end of its life in hexadecimal seconds, a dot, and a digest; it is not secret.
 */
export function confirm(invocation: Invocation, act: string, token: string | undefined): void {
  if (invocation.on('yes')) return
  const server = invocation.named ?? invocation.operatorsWay?.name ?? invocation.server
  // Few commands need it, and it takes a tenth of the time in which any of them is done.
  const { createHash } = process.getBuiltinModule('node:crypto')
  const digest = createHash('sha256').update(`${server}\n${act}`).digest('hex').slice(0, 16)
  const now = invocation.io.now()
  if (token !== undefined && isGood(token, digest, now)) return
  const fresh = `${Math.ceil((now + TOKEN_LIFE_MS) / 1000).toString(16)}.${digest}`
  const fault = token === undefined ? 'confirmation required' : 'incorrect confirmation'
  const hint = 'Run the same command with the token at its end, within a minute.'
  throw new SottoError(
    'local',
    `${fault} for ${JSON.stringify(act)}, use token ${JSON.stringify(fresh)}`,
    { hint },
  )
}

function isGood(token: string, digest: string, now: number): boolean {
  const [end = '', given] = token.split('.')
  const left = Number.parseInt(end, 16) * 1000 - now
  return given === digest && left > 0 && left <= TOKEN_LIFE_MS + 1000
}
