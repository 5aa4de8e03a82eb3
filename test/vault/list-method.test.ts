/** LIST, which Node's parser does not know: answered where it is all that came on a connection, and nowhere else. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RawAnswer, RawConnection } from '../http/raw.ts'
import { bytes, type Service, startService } from '../support/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService({}, { vault: [{ name: 'secret', prefix: '' }] })
  for (const name of ['prod/a', 'prod/b/c', 'team/x']) await service.client().put(name, bytes(name))
})
afterAll(() => service[Symbol.asyncDispose]())

const target = '/v1/secret/metadata/prod'
const head = `LIST ${target} HTTP/1.1\r\nHost: localhost\r\n`
const whole = `${head}\r\n`
const get = 'GET /v1/sys/init HTTP/1.1\r\nHost: localhost\r\n\r\n'

/** Every answer to `packets`, which are sent one after another, each when the one before was read. */
async function answersTo(...packets: readonly string[]): Promise<RawAnswer[]> {
  using connection = await RawConnection.open(service.vaultUrl, '127.0.0.2')
  connection.socket.setNoDelay(true)
  const answers = connection.answers()
  for (const packet of packets) {
    connection.send(Buffer.from(packet, 'latin1'))
    // A turn of the server between them: it runs in this process.
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
  }
  connection.socket.end()
  return await answers
}

const keysIn = ({ body }: RawAnswer): unknown => JSON.parse(body).data?.keys

test('LIST is a list, and the connection ends', async () => {
  for (const path of [target, `${target}/`]) {
    const [answer, ...more] = await answersTo(whole.replace(target, path))
    expect([answer?.status, answer && keysIn(answer)]).toEqual([200, ['a', 'b/']])
    expect(answer?.headers.get('connection')).toBe('close')
    expect(more).toEqual([])
  }
  expect(service.records().at(-1)).toMatchObject({ action: 'info', via: 'vault', result: 'ok' })
})

test('it may say that it has no body, and have the headers that clients send', async () => {
  const more =
    'User-Agent: python-requests/2\r\nX-Vault-Request: true\r\nContent-Length: 0\r\nConnection: keep-alive\r\n'
  const [answer] = await answersTo(`${head}${more}\r\n`)
  expect(answer && keysIn(answer)).toEqual(['a', 'b/'])
})

test('the same is refused of it as of other methods', async () => {
  const statuses = async (text: string) => (await answersTo(text)).map(({ status }) => status)
  expect(await statuses(whole.replace('localhost', 'evil.example'))).toEqual([421])
  expect(await statuses(`LIST ${target} HTTP/1.1\r\n\r\n`)).toEqual([400])
  expect(await statuses(`${head}Origin: https://a.example\r\n\r\n`)).toEqual([403])
  expect(await statuses(`${head}Cookie: a=b\r\n\r\n`)).toEqual([403])
  expect(await statuses(whole.replace('metadata/prod', 'data/prod/a'))).toEqual([405])
  expect(await statuses(whole.replace('metadata/prod', 'metadata/team'))).toEqual([404])
})

describe('what is not exactly one whole request without a body is none', () => {
  const long = 'x'.repeat(20_000)
  test.each<[string, readonly string[]]>([
    ['in lower case', [whole.replace('LIST', 'list')]],
    ['in two packets', [head, '\r\n']],
    ['in two packets, in the method', ['LI', whole.slice(2)]],
    ['after half a method of another', ['UN', whole]],
    ['after an empty line', ['\r\n', whole]],
    ['after an empty line, in one packet', [`\r\n${whole}`]],
    ['with a second one behind it', [`${whole}${whole}`]],
    ['with a GET behind it', [`${whole}${get}`]],
    ['with a byte behind it', [`${whole}x`]],
    ['with a body', [`${head}Content-Length: 3\r\n\r\nabc`]],
    ['with a body that is still to come', [`${head}Content-Length: 3\r\n\r\n`]],
    ['with two lengths', [`${head}Content-Length: 0\r\nContent-Length: 0\r\n\r\n`]],
    ['with a length of another spelling', [`${head}Content-Length: +0\r\n\r\n`]],
    ['with a length of two', [`${head}Content-Length: 0, 5\r\n\r\n`]],
    ['with a coding', [`${head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`]],
    ['with a coding that is none', [`${head}Transfer-Encoding: identity\r\n\r\n`]],
    ['with a trailer', [`${head}Trailer: x\r\n\r\n`]],
    ['with an expectation', [`${head}Expect: 100-continue\r\n\r\n`]],
    ['with another protocol', [`${head}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n`]],
    ['with two hosts', [`${head}Host: evil.example\r\n\r\n`]],
    ['with bare line feeds', [whole.replaceAll('\r\n', '\n')]],
    ['with one bare line feed', [whole.replace('localhost\r\n', 'localhost\n')]],
    ['with a bare return', [`${head}X: a\rb\r\n\r\n`]],
    ['with a header that goes on', [`${head}X: a\r\n b\r\n\r\n`]],
    ['with a blank before the colon', [`${head}X : a\r\n\r\n`]],
    ['with a line without a colon', [`${head}X\r\n\r\n`]],
    ['with a zero byte', [`${head}X: a\0b\r\n\r\n`]],
    ['with bytes that are no ASCII', [`${head}X: \xe9\r\n\r\n`]],
    ['for a whole URL', [whole.replace(target, `http://localhost${target}`)]],
    ['for an asterisk', [whole.replace(target, '*')]],
    ['for a path with a blank', [whole.replace(target, `${target} x`)]],
    ['with two blanks', [whole.replace('LIST ', 'LIST  ')]],
    ['with a tab', [whole.replace('LIST ', 'LIST\t')]],
    ['as HTTP/1.0', [whole.replace('HTTP/1.1', 'HTTP/1.0')]],
    ['as HTTP/0.9', [`LIST ${target}\r\n\r\n`]],
    ['as HTTP/2', ['LIST / HTTP/2.0\r\n\r\n']],
    ['that is huge', [`${head}X: ${long}\r\n\r\n`]],
    ['for a huge path', [whole.replace(target, `${target}/${long}`)]],
    ['without an end', [head]],
  ])('%s', async (_, packets) => {
    const before = service.records().length
    const answers = await answersTo(...packets)
    expect(answers.map(({ status }) => status)).toEqual([expect.toBeOneOf([400, 431])])
    expect(answers[0]?.body).toMatch(/^\{"errors":\["[^"]+"\]\}\n$/)
    expect(service.records().length).toBe(before)
  })

  test('behind another request it has no answer', async () => {
    for (const packets of [
      [`${get}${whole}`],
      [get, whole],
      [get.replace('init', 'health'), whole],
    ]) {
      const answers = await answersTo(...packets)
      expect(answers.map(({ status }) => status)).toEqual([200])
    }
    // In the body of another, and right behind it.
    const login = 'POST /v1/auth/jwt/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n'
    for (const packets of [
      [login, whole],
      [`${login}LIST `, whole.slice(5)],
      [login, 'LIST ', whole],
    ]) {
      const answers = await answersTo(...packets)
      expect(answers.map(({ status }) => status)).toEqual([200])
      expect(answers[0]?.body).toContain('"auth":{')
    }
  })

  test('it is unknown to the API', async () => {
    using connection = await RawConnection.open(service.url)
    connection.send(whole)
    const [answer] = await connection.answers()
    expect([answer?.status, answer?.body]).toEqual([400, 'bad request\n'])
  })
})
