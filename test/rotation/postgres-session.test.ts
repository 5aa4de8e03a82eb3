/** What a server gets that does not ask for SCRAM-SHA-256, or does not know the login: nothing. */
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { inSession } from '../../server/rotation/kinds/postgres/session.ts'
import { verifierOf } from '../../server/rotation/kinds/postgres/verifier.ts'

const PASSWORD = 'canary-of-the-password'

const message = (type: string, ...parts: readonly Buffer[]): Buffer => {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from(type), int(body.length + 4), body])
}
const int = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
const authentication = (code: number, text = ''): Buffer =>
  message('R', int(code), Buffer.from(text))
const asks = authentication(10, 'SCRAM-SHA-256\0\0')
const letsIn = Buffer.concat([authentication(0), message('Z', Buffer.from('I'))])

/** What a session sends to a server that has those answers, one to each thing that it is sent; and how it ends. */
async function meets(
  answers: readonly ((sent: string) => Buffer)[],
  tls: { ca?: string } | false = false,
): Promise<{ sent: string; error: unknown }> {
  const received: Buffer[] = []
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    let at = 0
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      received.push(chunk)
      const answer = answers[at++]
      if (answer) socket.write(answer(chunk.toString('latin1')))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const reached = { server: `postgres://127.0.0.1:${port}`, host: '127.0.0.1', port, tls }
  const login = { username: 'app_a', password: PASSWORD }
  const error = await inSession({ reached, database: 'app', login }, (session) =>
    session.query('SELECT 1'),
  ).catch((caught: unknown) => caught)
  for (const socket of sockets) socket.destroy()
  server.close()
  return { sent: Buffer.concat(received).toString('latin1'), error }
}

const nonce = (sent: string): string => /r=([^,\0]+)/.exec(sent)?.[1] ?? ''
const challenge = (sent: string): Buffer =>
  authentication(11, `r=${nonce(sent)}more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`)

test.each([
  ['asks for it in the clear', [() => authentication(3)], /in the clear/],
  ['asks for it by MD5', [() => message('R', int(5), Buffer.from('salt'))], /by MD5/],
  ['asks for nothing', [() => letsIn], /does not ask for SCRAM/],
  ['asks in the clear in the end', [() => asks, () => authentication(3)], /in the clear/],
  [
    'asks in the clear after the challenge',
    [() => asks, challenge, () => authentication(3)],
    /in the clear/,
  ],
  ['asks by MD5 in the end', [() => asks, () => message('R', int(5), Buffer.from('salt'))], /MD5/],
  ['lets in without the proof', [() => asks, () => letsIn], /does not ask for SCRAM/],
  [
    'does not know the login',
    [() => asks, challenge, () => authentication(12, `v=${'A'.repeat(43)}=`), () => letsIn],
    /signature/,
  ],
])('one that %s gets neither the password nor a statement', async (_, answers, found) => {
  const { sent, error } = await meets(answers)
  expect(error).toMatchObject({
    code: 'rotation_unavailable',
    message: expect.stringMatching(found),
  })
  expect(sent).not.toContain(PASSWORD)
  // A password in the clear or by MD5 is a message of its own, and a statement too.
  expect(sent).not.toMatch(/md5|SELECT/)
})

test('one elsewhere that speaks no TLS gets only the question whether it does', async () => {
  const { sent, error } = await meets([() => Buffer.from('N')], {})
  expect(error).toMatchObject({ code: 'rotation_unavailable' })
  expect(sent).toHaveLength(8)
})

test('the verifier is that of RFC 7677', async () => {
  const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
  expect(await verifierOf('pencil', salt)).toBe(
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  )
  expect(await verifierOf('pencil')).not.toBe(await verifierOf('pencil'))
})
