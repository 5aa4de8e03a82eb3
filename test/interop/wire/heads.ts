/** Requests that are odd outside of their body: method, path, headers, framing, caller. */
import type { RawRequest } from '../raw.ts'
import { alice, app, mixed, nobody, root, unknown } from '../tailnet.ts'
import { type Method, methods } from './corpus.ts'

/** One request with an odd head. In its path and body, NAME stands for the secret's name. */
export interface HeadCase extends Omit<RawRequest, 'body'> {
  readonly title: string
  /** Text of the body. */
  readonly body: string
}

const json = 'Content-Type: application/json'
const guard = 'Sec-X-Tailscale-No-Browsers: setec'
const get = '/api/get'
const name = '{"Name":"NAME"}'

/** The headers that every call needs. */
export const usual: readonly string[] = [json, guard]

const usualCase = { path: get, headers: usual, body: name }

const contentTypes = [
  'Content-Type:application/json',
  'Content-Type:   application/json  ',
  'content-type: application/json',
  'CONTENT-TYPE: application/json',
  'Content-Type: application/json;',
  'Content-Type: application/json; charset=utf-8',
  'Content-Type: application/json;charset=utf-8',
  'Content-Type: application/json; charset=UTF-8',
  'Content-Type: application/json; charset=latin1',
  'Content-Type: Application/JSON',
  'Content-Type: application/json, text/plain',
  'Content-Type: text/json',
  'Content-Type: text/plain',
  'Content-Type: application/x-www-form-urlencoded',
  'Content-Type: multipart/form-data; boundary=x',
  'Content-Type: application/jsonx',
  'Content-Type: "application/json"',
  'Content-Type: ',
  'X-Content-Type: application/json',
]

const guards = [
  'sec-x-tailscale-no-browsers: setec',
  'Sec-X-Tailscale-No-Browsers:setec',
  'Sec-X-Tailscale-No-Browsers: \t setec \t',
  'Sec-X-Tailscale-No-Browsers: Setec',
  'Sec-X-Tailscale-No-Browsers: SETEC',
  'Sec-X-Tailscale-No-Browsers: setecx',
  'Sec-X-Tailscale-No-Browsers: setec, setec',
  'Sec-X-Tailscale-No-Browsers: sotto',
  'Sec-X-Tailscale-No-Browsers: 1',
  'Sec-X-Tailscale-No-Browsers: ',
  'X-Tailscale-No-Browsers: setec',
]

/** Headers by which someone may hope to be taken for another caller. */
const claims = [
  'X-Forwarded-For: 127.0.0.1',
  'X-Real-IP: 127.0.0.1',
  'Forwarded: for=127.0.0.1',
  'X-Client-IP: 127.0.0.1',
  'True-Client-IP: 127.0.0.1',
  'CF-Connecting-IP: 127.0.0.1',
  'Tailscale-User-Login: root@example.com',
  'Tailscale-User-Name: root',
  'X-Webauth-User: root@example.com',
  'Authorization: Bearer root',
  'Authorization: Basic cm9vdDpyb290',
  'Cookie: user=root@example.com',
]

const paths = [
  '/api/get?',
  '/api/get?Name=other',
  '/api/get?a=1&b=%zz',
  '/api/get#part',
  '/api/get/',
  '/api/get/NAME',
  '/api/GET',
  '/API/get',
  '/api/Get',
  '/api//get',
  '//api/get',
  '/api/./get',
  '/api/../api/get',
  '/api/get/.',
  '/api/get/..',
  '/api/%67et',
  '/api/get%20',
  '/api/get%00',
  '/api%2fget',
  '/api/get;x=1',
  '/api/gets',
  '/api/ge',
  '/api/',
  '/api',
  '/api/secrets',
  '/api/create_version',
  '/api/createversion',
  '/api/deleteVersion',
  'http://sotto.test/api/get',
  'http://other.test/api/get',
]

/** Requests that must be answered in the order in which setec checks them. */
const wrongs: { title: string; head: Partial<HeadCase> }[] = [
  { title: 'by GET', head: { method: 'GET' } },
  { title: 'without a type', head: { headers: [guard] } },
  { title: 'without the guard', head: { headers: [json] } },
  { title: 'by PUT, without either header', head: { method: 'PUT', headers: [] } },
  { title: 'without either header', head: { headers: [] } },
  { title: 'with a body that is no JSON', head: { body: '{' } },
  { title: 'with a wrong type in the body', head: { body: '{"Name":1}' } },
  { title: 'without anything wrong', head: {} },
  { title: 'for what does not exist', head: { body: '{"Name":"NAME/none","Version":7}' } },
  { title: 'with an empty body', head: { body: '' } },
  { title: 'with an empty request', head: { body: '{}' } },
  { title: 'with version 0', head: { body: '{"Name":"NAME","Version":0}' } },
  { title: 'with a bad name and version 0', head: { body: '{"Name":"\\n"}' } },
  { title: 'with a name that is none', head: { body: '{"Name":"\\n","Version":1}' } },
]

function* headCases(): Generator<HeadCase> {
  for (const method of [
    'GET',
    'HEAD',
    'PUT',
    'PATCH',
    'DELETE',
    'OPTIONS',
    'TRACE',
    'post',
    'BREW',
  ]) {
    yield { ...usualCase, title: `method ${method}`, method }
    yield { ...usualCase, title: `method ${method} without headers`, method, headers: [] }
  }
  for (const header of contentTypes) {
    yield { ...usualCase, title: header, headers: [header, guard] }
    yield { ...usualCase, title: `${header}, without the guard`, headers: [header] }
  }
  yield {
    ...usualCase,
    title: 'two types, right first',
    headers: [json, 'Content-Type: text/plain', guard],
  }
  yield {
    ...usualCase,
    title: 'two types, wrong first',
    headers: ['Content-Type: text/plain', json, guard],
  }
  for (const header of guards) yield { ...usualCase, title: header, headers: [json, header] }
  yield { ...usualCase, title: 'two guards, right first', headers: [json, guard, `${guard}x`] }
  yield { ...usualCase, title: 'two guards, wrong first', headers: [json, `${guard}x`, guard] }
  yield { ...usualCase, title: 'two equal guards', headers: [json, guard, guard] }
  yield { ...usualCase, title: 'an Origin header', headers: [...usual, 'Origin: http://evil.test'] }
  yield { ...usualCase, title: 'Accept: text/html', headers: [...usual, 'Accept: text/html'] }
  yield { ...usualCase, title: 'Expect: 100-continue', headers: [...usual, 'Expect: 100-continue'] }
  yield { ...usualCase, title: 'many headers', headers: [...usual, ...manyHeaders(60)] }
  yield { ...usualCase, title: 'If-None-Match: *', headers: [...usual, 'If-None-Match: *'] }
  yield { ...usualCase, title: 'Range', headers: [...usual, 'Range: bytes=0-1'] }
  yield {
    ...usualCase,
    title: 'Content-Encoding: gzip',
    headers: [...usual, 'Content-Encoding: gzip'],
  }
  yield {
    ...usualCase,
    title: 'X-HTTP-Method-Override',
    headers: [...usual, 'X-HTTP-Method-Override: GET'],
  }
  yield { ...usualCase, title: 'a body in chunks', framing: 'chunked' }
  yield { ...usualCase, title: 'a body of no told length', framing: 'none' }
  yield { ...usualCase, title: 'an empty body in chunks', framing: 'chunked', body: '' }
  yield { ...usualCase, title: 'HTTP/1.0', protocol: 'HTTP/1.0' }
  for (const path of ['/', '/api/get/', '/api/nothing', '/static/', '/index.html', '/debug/']) {
    yield { ...usualCase, title: `GET ${path}`, method: 'GET', path }
  }
  yield* largeCases()
  for (const path of paths) yield { ...usualCase, title: `path ${path}`, path }
  for (const header of claims) {
    for (const from of [nobody, unknown, app]) {
      yield { ...usualCase, title: `${header} from ${from}`, from, headers: [...usual, header] }
    }
  }
}

function* callerCases(): Generator<HeadCase> {
  for (const from of [root, app, alice, nobody, unknown, mixed]) {
    for (const method of methods) {
      for (const { title, head } of wrongs) {
        yield {
          ...usualCase,
          path: `/api/${method}`,
          from,
          ...head,
          title: `${method} from ${from} ${title}`,
        }
      }
      yield* folderCases(method, from)
    }
  }
}

/** A right request to `method` for a name in every folder that a rule may be about. */
function* folderCases(method: Method, from: string): Generator<HeadCase> {
  for (const folder of ['prod', 'team', ...methods]) {
    const body = `{"Name":"${folder}/NAME","Version":9,"Value":"bmV3"}`
    yield {
      ...usualCase,
      title: `${method} of ${folder}/ from ${from}`,
      path: `/api/${method}`,
      from,
      body,
    }
  }
}

/** Bodies about as large as one may be. */
function* largeCases(): Generator<HeadCase> {
  const limit = 2 * 1024 * 1024
  const empty = '{"Name":"NAME","Value":""}'
  for (const [title, value] of [
    ['below the limit', 'A'.repeat(Math.floor((limit - 64) / 4) * 4)],
    ['above the limit', 'A'.repeat(limit)],
    ['above the limit, which is no JSON', `${'A'.repeat(limit)}"`],
  ] as const) {
    const body = empty.replace('""', `"${value}"`)
    for (const path of ['/api/put', '/api/get', '/api/list']) {
      // The answer comes before the end of the body: who hung up at once might lose it.
      yield { ...usualCase, title: `${path} with a body ${title}`, path, body, keepOpen: true }
    }
  }
}

function manyHeaders(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `X-Filler-${i}: ${i}`)
}

/** Every head case. */
export const cases: readonly HeadCase[] = [...headCases(), ...callerCases()]
