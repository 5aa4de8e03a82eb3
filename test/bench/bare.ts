/** The floor of what Node's HTTP costs: reads the body, parses it, and answers the bytes of a get, or 304. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const answer = Buffer.from(
  JSON.stringify({ Value: Buffer.alloc(32, 'x').toString('base64'), Version: 1 }),
)
const head = ['Content-Type', 'application/json', 'Content-Length', String(answer.length)]

const server = createServer((incoming, outgoing) => {
  let text = ''
  incoming.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')))
  incoming.on('end', () => {
    if ((JSON.parse(text) as { UpdateIfChanged?: boolean }).UpdateIfChanged) {
      outgoing.writeHead(304).end()
    } else {
      outgoing.writeHead(200, head)
      outgoing.end(answer)
    }
  })
})
server.listen(0, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
