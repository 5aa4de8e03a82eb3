/** A store whose server says nothing on the open stream, though no connection breaks off. */
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Client } from '../../../client/client.ts'
import type { StoreEvent } from '../../../client/store/options.ts'
import { openStore } from '../../../client/store/store.ts'
import { SILENCE_MS } from '../../../client/watch.ts'
import { ManualTimers } from '../../audit/fixtures.ts'
import { type Running, startSotto } from '../../support/sotto.ts'
import { startWire, type Wire } from '../../support/wire.ts'

const NAME = 'prod/web/key'

/** What happens, and how it ends. */
const silences: readonly (readonly [
  what: string,
  begin: (server: Running, wire: Wire) => void,
  end: (server: Running) => void,
])[] = [
  [
    'the server is paused',
    ({ process }) => process.kill('SIGSTOP'),
    ({ process }) => process.kill('SIGCONT'),
  ],
  [
    'its connections are lost, and neither end hears of it',
    (_, wire) => void wire.lose(),
    () => {},
  ],
]

test.each(silences)(
  '%s: it is stale after 40 s, and live with the active version once it can be',
  async (_, begin, end) => {
    await using server = await startSotto().then(killedAtEnd)
    await using wire = await startWire(server.port)
    const direct = new Client({ server: server.url })
    const put = async (value: string): Promise<void> => {
      await direct.activate(NAME, await direct.put(NAME, Buffer.from(value)))
    }
    await put('one')
    const timers = new ManualTimers()
    const events: StoreEvent[] = []
    await using store = await openStore({
      server: new Client({ server: wire.url }),
      secrets: [NAME],
      timers,
      random: () => 0.5,
      report: (event) => events.push(event),
    })
    const picture = (): string => `${store.health().state} ${store.secret(NAME).text()}`
    await expect.poll(picture).toBe('live one')
    await put('two')
    await expect.poll(picture).toBe('live two')

    begin(server, wire)
    // What the server wrote before that is read by then.
    for (let count = 0; count < 10; count++) await turn()
    timers.advance(SILENCE_MS - 1)
    await turn()
    expect(picture()).toBe('live two')
    timers.advance(1)
    await expect.poll(picture).toBe('stale two')
    expect(store.health().error?.message).toMatch(/it said nothing for 40 s$/)

    end(server)
    await put('three')
    await expect
      .poll(
        () => {
          if (store.health().state === 'stale') timers.advance(250)
          return picture()
        },
        { timeout: 50_000 },
      )
      .toBe('live three')
    const kinds = events.map((event) => [event.kind, 'version' in event ? event.version : 0])
    // One failure: no question goes the way that was lost.
    expect(kinds).toEqual([
      ['changed', 2],
      ['failed', 0],
      ['changed', 3],
      ['recovered', 0],
    ])
  },
  120_000,
)

function killedAtEnd(server: Running): Running & AsyncDisposable {
  return Object.assign(server, { [Symbol.asyncDispose]: () => server.kill() })
}
