/**
 * `GET /metrics`, for callers who may `metrics`. A page holds no value and no name of a secret, and
 * scrapers come several times a minute: as with a 304, a page leaves no audit record. Refusals do.
 */
import { SottoError } from '../../client/api/errors.ts'
import type { Registry } from '../metrics/registry.ts'
import { PAGE_TYPE } from '../metrics/text.ts'
import { shared } from '../platform/turns.ts'
import { type Handler, type HandlerParts, identify, refuse } from './handle.ts'

/** Makes the handler of the page that `registry` makes. */
export function scrapeHandler(parts: HandlerParts, registry: Registry): Handler {
  const page = shared(() => registry.page())
  return async function scrape(exchange) {
    exchange.subject = 'metrics'
    try {
      const { method, headers } = exchange.incoming
      if (method !== 'GET' && method !== 'HEAD') {
        throw new SottoError('no_such_method', `The metrics are for GET, and this is ${method}`)
      }
      // Browsers say so when a page asks and not a person; a page of another site must not.
      if ((headers['sec-fetch-site'] ?? 'none') !== 'none') {
        throw new SottoError('browser', 'Another site asks for the metrics')
      }
      const caller = await identify(parts, exchange)
      await parts.gate.operate({ caller, request: exchange.id }, 'metrics', 'metrics')
      exchange.answer({ status: 200, code: 'ok', type: PAGE_TYPE, body: await page() })
    } catch (error) {
      refuse(parts.errorLog, exchange, error)
    }
  }
}
