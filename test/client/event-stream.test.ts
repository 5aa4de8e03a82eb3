/** The parser of event streams: the same events, whatever the pieces, and none of what was cut. */
import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { EventStream, type StreamEvent } from '../../client/event-stream.ts'
import { eventsOf, readChanges, SILENCE_MS, type WatchEvent } from '../../client/watch.ts'
import { ManualTimers, settled } from '../audit/fixtures.ts'

const text = [
  ':',
  '',
  'event: change',
  'id: 00000000000000aa.7',
  'data: {"Name":"prod/schlüssel €😀","Version":2,"Revision":7}',
  '',
  'event:synced',
  'data:{"Revision":7}',
  '',
  'retry: 5',
  'data',
  'data:  two',
  '',
  '',
]

const expected: StreamEvent[] = [
  {
    event: 'change',
    id: '00000000000000aa.7',
    data: '{"Name":"prod/schlüssel €😀","Version":2,"Revision":7}',
  },
  { event: 'synced', id: '00000000000000aa.7', data: '{"Revision":7}' },
  { event: 'message', id: '00000000000000aa.7', data: '\n two' },
]

function read(pieces: readonly Uint8Array[]): StreamEvent[] {
  const stream = new EventStream()
  return pieces.flatMap((piece) => stream.push(piece))
}

describe.each([
  ['LF', '\n'],
  ['CR', '\r'],
  ['CRLF', '\r\n'],
])('with %s', (_, ends) => {
  const bytes = Buffer.from(text.join(ends))

  test('it is read the same whole, byte by byte, and cut in two at every byte', () => {
    expect(read([bytes])).toEqual(expected)
    expect(read([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(expected)
    for (let at = 0; at <= bytes.length; at++) {
      expect(read([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(expected)
    }
  })

  test('what breaks off at any byte gives the whole events before it, and no part of one', () => {
    for (let at = 0; at <= bytes.length; at++) {
      const events = read([bytes.subarray(0, at)])
      expect(events).toEqual(expected.slice(0, events.length))
    }
  })

  test('it is read the same in any pieces', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length)), (cuts) => {
        const at = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
        const pieces = at.slice(1).map((end, index) => bytes.subarray(at[index], end))
        expect(read(pieces)).toEqual(expected)
      }),
    )
  })
})

test('an event without an end is refused before it fills the memory', () => {
  const stream = new EventStream()
  const line = Buffer.from(`data: ${'x'.repeat(1000)}\n`)
  const endless = (): void => {
    for (let count = 0; count < 100; count++) stream.push(line)
  }
  expect(endless).toThrow(expect.objectContaining({ code: 'bad_answer' }) as Error)
  expect(() => new EventStream().push(Buffer.alloc(70_000, 'x'))).toThrow('an event has no end')
})

/** A response that a test writes. */
function response(): IncomingMessage {
  return new IncomingMessage(new Socket())
}

const lost = (why: string): SottoError => new SottoError('unreachable', `lost: ${why}`)

async function all(from: AsyncIterable<WatchEvent>): Promise<WatchEvent[]> {
  const events: WatchEvent[] = []
  for await (const event of from) events.push(event)
  return events
}

describe('a watch', () => {
  test('ends with bye, and lets go of the connection', async () => {
    const stream = response()
    const events = all(eventsOf(stream, { signal: undefined, timers: undefined, lost }))
    stream.push(
      'id: 00000000000000aa.9\nevent: change\ndata: {"Name":"a","Denied":true,"Revision":9}\n\n',
    )
    stream.push('event: later\ndata: {}\n\n:\n\nevent: synced\ndata: {"Revision":9}\n\n')
    stream.push('event: bye\ndata: {"Reason":"age"}\n\nevent: synced\ndata: {"Revision":10}\n\n')
    const at = '00000000000000aa.9'
    expect(await events).toEqual([
      { event: 'change', change: { Name: 'a', Denied: true, Revision: 9 }, at },
      { event: 'synced', revision: 9, at },
      { event: 'bye', reason: 'age' },
    ])
    expect(stream.destroyed).toBe(true)
  })

  test('that breaks off without one is an error', async () => {
    const stream = response()
    const events = all(eventsOf(stream, { signal: undefined, timers: undefined, lost }))
    stream.push('event: synced\ndata: {"Revision":9}\n')
    stream.push(null)
    await expect(events).rejects.toMatchObject({ code: 'unreachable' })
  })

  test.each(['{"Name":"a","Version":-1,"Revision":1}', '{"Name":"a","Version":1}', '[]', 'x'])(
    'refuses %s',
    async (data) => {
      const stream = response()
      const events = all(eventsOf(stream, { signal: undefined, timers: undefined, lost }))
      stream.push(`event: change\ndata: ${data}\n\n`)
      await expect(events).rejects.toMatchObject({ code: 'bad_answer' })
      expect(stream.destroyed).toBe(true)
    },
  )

  test('that is silent for 40 seconds is dead, and a heartbeat keeps it alive', async () => {
    const timers = new ManualTimers()
    const stream = response()
    const events = all(eventsOf(stream, { signal: undefined, timers, lost }))
    await settled()
    timers.advance(SILENCE_MS - 1)
    stream.push(':\n\n')
    await settled()
    timers.advance(SILENCE_MS - 1)
    await settled()
    expect(stream.destroyed).toBe(false)
    timers.advance(1)
    await expect(events).rejects.toThrow('lost: it said nothing for 40 s')
  })

  test('a program may take its time with an event: the silence is not the server’s', async () => {
    const timers = new ManualTimers()
    const stream = response()
    const events = eventsOf(stream, { signal: undefined, timers, lost })
    stream.push('event: synced\ndata: {"Revision":9}\n\n')
    expect(await events.next()).toMatchObject({ value: { revision: 9 } })
    timers.advance(10 * SILENCE_MS)
    stream.push('event: synced\ndata: {"Revision":10}\n\n')
    expect(await events.next()).toMatchObject({ value: { revision: 10 } })
    await events.return()
    expect(stream.destroyed).toBe(true)
  })

  test.each(['before', 'after'])(
    'that is given up %s it is read rejects with the reason',
    async (when) => {
      const stream = response()
      const giveUp = new AbortController()
      if (when === 'before') giveUp.abort(new Error('enough'))
      const events = all(eventsOf(stream, { signal: giveUp.signal, timers: undefined, lost }))
      giveUp.abort(new Error('enough'))
      await expect(events).rejects.toThrow('enough')
      expect(stream.destroyed).toBe(true)
    },
  )
})

test('the answer of a blocking query is read by the same rules', () => {
  const one = { Name: 'a', Version: 0, Revision: 3 }
  expect(readChanges([one, { Name: 'b', Denied: true, Revision: 3, Version: 9 }])).toEqual([
    one,
    { Name: 'b', Denied: true, Revision: 3 },
  ])
  expect(readChanges([])).toEqual([])
  expect(readChanges([one, { Name: 'b' }])).toBeUndefined()
  expect(readChanges({})).toBeUndefined()
})
