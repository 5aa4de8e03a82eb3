/** Node's own behaviour at the end of a connection, which server/http/node-socket.ts depends on. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { onLastAnswer } from '../../server/http/node-socket.ts'

const server = createServer((_, outgoing) => outgoing.end('answer'))
let client: Socket
/** The server's side of the connection. */
let socket: Socket
let sendAndClose: () => void
let ends = 0
let ended: Promise<void>

beforeEach(async () => {
  ends = 0
  const last = Promise.withResolvers<void>()
  ended = last.promise
  server.once('connection', (accepted: Socket) => {
    socket = accepted
    sendAndClose = onLastAnswer(accepted, () => {
      ends++
      last.resolve()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  client = connect((server.address() as AddressInfo).port, '127.0.0.1')
})

afterEach(async () => {
  client.destroy()
  server.close()
  await once(server, 'close')
})

test('after the last answer Node asks for the end once, and leaves the connection as it is', async () => {
  client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  await ended
  expect(ends).toBe(1)
  expect({ destroyed: socket.destroyed, writable: socket.writable }).toEqual({
    destroyed: false,
    writable: true,
  })
  const answer = text(client)
  sendAndClose()
  expect(await answer).toContain('answer')
  expect(socket.destroyed).toBe(true)
})

test('Node does not ask for the end while the connection is kept for a further request', async () => {
  client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await once(client, 'data')
  expect(ends).toBe(0)
  client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  await ended
  sendAndClose()
  await once(client, 'close')
  expect(ends).toBe(1)
})
