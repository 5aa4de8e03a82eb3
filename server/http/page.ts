/**
 * `GET /`: the secrets that the caller may know, for a person with a browser. The page has no value and no script, and
 * nothing can be done from it. It is recorded as a list.
 */
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { html, raw } from 'hono/html'
import { SottoError } from '../../client/api/errors.ts'
import type { SecretInfo } from '../../client/api/types.ts'
import { visible } from '../../client/api/visible.ts'
import type { Call } from '../gate/gate.ts'
import { isLoopback } from '../platform/loopback.ts'
import { type Handler, type HandlerParts, identify, refuse } from './handle.ts'

/** Secrets that a page shows; the command line lists more. */
const MAX_SHOWN = 1000

const style = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}
caption{text-align:start;padding-block-end:.5rem}
th,td{text-align:start;padding:.25rem 1rem .25rem 0;border-block-end:1px solid GrayText;overflow-wrap:anywhere}
td:first-child{font-family:ui-monospace,monospace;white-space:pre-wrap}`

const styleHash = createHash('sha256').update(style).digest('base64')

/** Nothing may be loaded or run but the style, no form be sent, and no other page may show or open this one. */
const headers = Object.entries({
  'Content-Security-Policy': `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
}).flat()

/** Makes the handler of the page of what `list` gives, in its turn. Callers without `info` on any name see an empty list. */
export function pageHandler(
  parts: HandlerParts,
  list: (call: Call) => Promise<readonly SecretInfo[]>,
): Handler {
  return async function show(exchange) {
    exchange.subject = 'list'
    try {
      demandPerson(exchange.incoming)
      const caller = await identify(parts, exchange)
      const found = await list({ caller, request: exchange.id })
      const { user, tags = [], hostname } = caller.principal
      const who = [user ?? tags.join(' '), hostname].filter(Boolean).join(' on ')
      const body = (await pageOf(found, who)).toString()
      exchange.answer({ status: 200, code: 'ok', type: 'text/html; charset=utf-8', body, headers })
    } catch (error) {
      refuse(parts.errorLog, exchange, error)
    }
  }
}

/** Throws `no_such_method` for what no browser asks for, and `browser` where another site may see the page, or a stranger. */
export function demandPerson({ method, headers: asked, socket }: IncomingMessage): void {
  if (method !== 'GET' && method !== 'HEAD') {
    throw new SottoError('no_such_method', `The page is for GET, and this is ${method}`)
  }
  const site = asked['sec-fetch-site'] ?? 'none'
  const isOpened = asked['sec-fetch-mode'] === 'navigate' && asked['sec-fetch-dest'] === 'document'
  if (site !== 'none' && site !== 'same-origin' && !isOpened) {
    throw new SottoError('browser', 'Another site asks for the page')
  }
  // A unix socket has no address: what is in front of it ends TLS.
  const { localAddress } = socket
  if ('encrypted' in socket || localAddress === undefined || isLoopback(localAddress)) return
  throw new SottoError('browser', 'The page is for HTTPS, or for loopback', {
    callerHint: 'Use `sotto list`, or have the server serve HTTPS.',
  })
}

function pageOf(secrets: readonly SecretInfo[], who: string) {
  const shown = secrets.slice(0, MAX_SHOWN)
  const rows = shown.map(
    ({ Name, ActiveVersion, Versions }) =>
      html`<tr><td>${visible(Name)}</td><td>${ActiveVersion}</td><td>${Versions.join(', ')}</td></tr>`,
  )
  const more = secrets.length - shown.length
  return html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sotto</title><style>${raw(style)}</style></head>
<body>
<h1>Sotto</h1>
<p>You are ${visible(who)}. Read a value with <code>sotto get NAME</code>.</p>
${
  shown.length === 0
    ? html`<p>There are no secrets that you may know about: that takes a rule with <code>info</code>.</p>`
    : html`<table><caption>Secrets that you may know about</caption>
<thead><tr><th scope="col">Name</th><th scope="col">Active version</th><th scope="col">Versions</th></tr></thead>
<tbody>${rows}</tbody></table>`
}
${more > 0 ? html`<p>And ${more} more: <code>sotto list</code> shows all.</p>` : ''}
</body>
</html>
`
}
