/** setec's server and Sotto side by side, with the same callers, asked the same questions. */
import type { Rule } from '../../../client/api/types.ts'
import type { OpenBao } from '../../support/openbao.ts'
import { startSotto, temporaryDirectory } from '../../support/sotto.ts'
import { allow, keepElsewhere, operatorRule } from '../backends/elsewhere.ts'
import { exchange, type RawAnswer, type RawRequest } from '../raw.ts'
import { startSetecd } from '../setecd.ts'
import { root, writeTailnet } from '../tailnet.ts'
import { usual } from './heads.ts'

/** Sets up the backend. */
const operator = '127.0.0.9'

/** Which of the two. */
export type Side = 'setec' | 'sotto'

/** Both, setec first. */
export const sides: readonly Side[] = ['setec', 'sotto']

/** The answers of both to one request. */
export interface Answers {
  readonly setec: RawAnswer
  readonly sotto: RawAnswer
}

/** Every secret of a server with all its values: name, active version, versions with base64. */
export type Contents = Readonly<Record<string, { active: number; values: Record<number, string> }>>

/** Two running servers. */
export interface Pair {
  /** Sends one request to both. */
  ask(request: RawRequest): Promise<Answers>
  /** Calls a method with a right request as JSON, on one of them. */
  call(side: Side, method: string, request: object, from?: string): Promise<RawAnswer>
  /** Everything that one of them holds. */
  contents(side: Side): Promise<Contents>
  /** What Sotto wrote to its log of faults. */
  faults(): string
  stop(): Promise<void>
}

/**
 * Starts both with empty stores; `more` adds callers, by loopback address. With `bao` the values of Sotto's
 * secrets are there.
 */
export async function startPair(
  more: Readonly<Record<string, readonly Rule[]>> = {},
  bao?: OpenBao,
): Promise<Pair> {
  const directory = temporaryDirectory()
  const callers = { ...more, ...(bao && { [operator]: [operatorRule] }) }
  const tailnet = writeTailnet(directory.path, callers)
  const backend = bao ? await allow(bao, directory.path) : []
  const [setecd, sotto] = await Promise.all([
    startSetecd(directory.path, tailnet),
    startSotto({ args: ['--tailnet', tailnet, ...backend] }),
  ])
  if (bao) await keepElsewhere(bao, sotto.url, operator)
  const ports: Record<Side, number> = { setec: setecd.port, sotto: sotto.port }

  const call: Pair['call'] = (side, method, request, from = root) =>
    exchange(ports[side], {
      from,
      path: `/api/${method}`,
      headers: usual,
      body: Buffer.from(JSON.stringify(request)),
    })

  return {
    ask: async (request) => {
      const [a, b] = await Promise.all([
        exchange(ports.setec, request),
        exchange(ports.sotto, request),
      ])
      return { setec: a, sotto: b }
    },
    call,
    contents: async (side) => {
      const list = JSON.parse((await call(side, 'list', {})).body) as Info[] | null
      const entries = (list ?? []).map(async ({ Name, Versions, ActiveVersion }) => {
        const values = Versions.map(async (Version) => {
          const answer = await call(side, 'get', { Name, Version })
          const { Value } = JSON.parse(answer.body) as { Value: string }
          return [Version, Value] as const
        })
        return [
          Name,
          { active: ActiveVersion, values: Object.fromEntries(await Promise.all(values)) },
        ] as const
      })
      return Object.fromEntries(await Promise.all(entries))
    },
    faults: () => sotto.output().stderr,
    stop: async () => {
      await Promise.all([setecd.stop(), sotto.stop()])
      directory[Symbol.dispose]()
    },
  }
}

interface Info {
  readonly Name: string
  readonly Versions: readonly number[]
  readonly ActiveVersion: number
}

/**
 * An answer in one line: its status, and its text or its JSON in one spelling. Go escapes some
 * characters of JSON that JavaScript does not.
 */
export function brief({ status, headers, body }: RawAnswer): string {
  const type = headers.get('content-type') ?? ''
  if (body === '') return String(status)
  return `${status} ${type === 'application/json' ? JSON.stringify(JSON.parse(body)) : body.trimEnd()}`
}
