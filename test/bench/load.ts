/** Load: many connections by wrk, one after another by Node's own client. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { run } from '../support/process.ts'

const headers = {
  'Content-Type': 'application/json',
  'Sec-X-Tailscale-No-Browsers': 'setec',
}

/** Whether wrk is on this machine. */
export function hasWrk(): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v wrk'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** A body that is posted again and again. */
export interface Shot {
  readonly path: string
  readonly body: string
  /** The status that every answer must have. */
  readonly status: number
}

/** How a load is made. */
export interface LoadOptions {
  readonly connections: number
  readonly seconds: number
  /** A folder for the script of wrk. */
  readonly scratch: string
}

/** What a server did under load. */
export interface Served {
  readonly answers: number
  readonly seconds: number
}

/**
 * Sends the shot over all connections, as often as answers come. Throws when any answer was not what it
 * should be: a server that refuses is quick.
 */
export async function serve(
  url: string,
  shot: Shot,
  { connections, seconds, scratch }: LoadOptions,
): Promise<Served> {
  const script = join(scratch, 'shot.lua')
  writeFileSync(script, luaFor(shot))
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '30s', '-s', script, url]
  const { stdout } = await run('wrk', args)
  return servedIn(stdout, url)
}

/** Requests a second under a load. Throws as `serve` does. */
export async function requestsPerSecond(
  url: string,
  shot: Shot,
  options: LoadOptions,
): Promise<number> {
  return rateOf(await serve(url, shot, options))
}

/** Requests a second that wrk reports. Throws when any answer was not what it should be. */
export function rateIn(output: string, url: string): number {
  return rateOf(servedIn(output, url))
}

/** Requests a second. */
export function rateOf({ answers, seconds }: Served): number {
  return answers / seconds
}

function servedIn(output: string, url: string): Served {
  const [answers, wrong] = /^result (\d+) (\d+)$/m.exec(output)?.slice(1).map(Number) ?? []
  const errors = /Socket errors/.test(output)
  if (!answers || wrong !== 0 || errors) throw new Error(`Load on ${url} went wrong:\n${output}`)
  return { answers, seconds: Number(/^micros (\d+)$/m.exec(output)?.[1]) / 1e6 }
}

/** What wrk is told: to send the shot, and to count the answers that are not as they should be. */
export function luaFor({ path, body, status }: Shot): string {
  return `
wrk.method = "POST"
wrk.path = ${JSON.stringify(path)}
wrk.body = [==[${body}]==]
${Object.entries(headers)
  .map(([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`)
  .join('\n')}
wrong = 0
local threads = {}
function setup(thread) table.insert(threads, thread) end
function response(status) if status ~= ${status} then wrong = wrong + 1 end end
function done(summary)
  local sum = 0
  for _, thread in ipairs(threads) do sum = sum + thread:get("wrong") end
  print(string.format("result %d %d", summary.requests, sum))
  print(string.format("micros %d", summary.duration))
end
`
}

/** A client with connections that are kept open. */
export class Poster {
  readonly #url: URL
  readonly #agent: Agent

  constructor(url: string, connections = 1) {
    this.#url = new URL(url)
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections })
  }

  /** Posts `body` as JSON; rejects unless the answer is 200. */
  async post(path: string, body: unknown): Promise<string> {
    const { hostname, port } = this.#url
    return new Promise((resolve, reject) => {
      const asked = request(
        { agent: this.#agent, hostname, port, path, method: 'POST', headers },
        (answer) => {
          let text = ''
          answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
          answer.on('end', () => {
            if (answer.statusCode === 200) resolve(text)
            else reject(new Error(`${path}: ${answer.statusCode} ${text}`))
          })
        },
      )
      asked.on('error', reject)
      asked.end(JSON.stringify(body))
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** Milliseconds that `task` takes. */
export async function timed(task: () => Promise<unknown>): Promise<number> {
  const before = performance.now()
  await task()
  return performance.now() - before
}

/** The middle of `numbers`. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] as number
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] as number)) / 2
}
