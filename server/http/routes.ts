/**
 * Finds what answers a request. It is loaded by the first request that it answers: the schemas of the API, and
 * the Hono app, which brings Node's fetch with it, take longer to load than the rest of the server.
 */
import type { AppParts } from './app.ts'
import type { Exchange } from './exchange.ts'
import { type Handler, refuse } from './handle.ts'
import type { Front } from './listener.ts'
import type { Gone } from '../identity/identity.ts'

/** The handlers of a server, by path. */
export class Routes implements Front {
  readonly #parts: AppParts
  #api: ReadonlyMap<string, Handler> | undefined
  #app: Handler | undefined

  constructor(parts: AppParts) {
    this.#parts = parts
  }

  gone(who: Gone): void {
    this.#parts.watching.watchers.gone(who)
  }

  stop(): void {
    this.#parts.watching.watchers.stop()
  }

  /** Has the request answered. Exact paths of the API skip the app, which would serve them the same way. */
  serve(exchange: Exchange): void {
    const handler = this.#api && (this.#api.get(exchange.incoming.url ?? '') ?? this.#app)
    void (handler ? handler(exchange) : this.#load(exchange))
  }

  async #load(exchange: Exchange): Promise<void> {
    try {
      const { apiHandlers } = await import('./app.ts')
      const operations = await this.#parts.operations()
      const api = (this.#api ??= apiHandlers(this.#parts, operations))
      const handler = api.get(exchange.incoming.url ?? '')
      if (handler) return await handler(exchange)
      const { appHandler } = await import('./hono.ts')
      this.#app ??= appHandler(this.#parts, api)
      await this.#app(exchange)
    } catch (error) {
      // A file is gone or was replaced: the program was upgraded and not started again.
      refuse(this.#parts.errorLog, exchange, error)
    }
  }
}
