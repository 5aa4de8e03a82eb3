/** Bare requests to a unix socket that speaks HTTP: the LocalAPI of a tailscaled, the settings of ctl. */
import { request } from 'node:http'

/** An answer as it came. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/** Asks the LocalAPI of the tailscaled at `socketPath`; `path` follows `/localapi/v0/`. */
export function askLocalApi(socketPath: string, path: string, method = 'GET'): Promise<Answer> {
  return ask(socketPath, method, `/localapi/v0/${path}`)
}

/** Sends one request. Rejects when there is no answer within `withinMs`. */
export function ask(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
  withinMs = 60_000,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        socketPath,
        method,
        path,
        agent: false,
        headers: { Host: 'local-tailscaled.sock' },
        signal: AbortSignal.timeout(withinMs),
      },
      (answer) => {
        let text = ''
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        answer.on('error', reject)
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: text }),
        )
      },
    )
    asked.on('error', reject)
    asked.end(body === undefined ? undefined : JSON.stringify(body))
  })
}
