/**
 * The one thing that we change in Node. After the last answer of a connection Node calls `destroySoon` of its
 * socket, which is not documented; test/http/node-socket.test.ts holds the Node release in use to it.
 */
import type { Socket } from 'node:net'

/**
 * Has `end` called where Node would end the connection after its last answer. Returns what Node does
 * there: it sends what is written, then closes, also when the peer still sends.
 */
export function onLastAnswer(socket: Socket, end: () => void): () => void {
  const sendAndClose = socket.destroySoon.bind(socket)
  socket.destroySoon = end
  return sendAndClose
}
