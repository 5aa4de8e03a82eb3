/** Formats with the programs that they are for, where a machine has those. test/interop/formats.test.ts has more. */
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { delimiter, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { depth } from '../support/depth.ts'
import { run } from '../support/process.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { expectGivenBack, type Found } from './contract.ts'
import { decoded, environmentIn, printed } from './printed.ts'
import { someValues } from './values.ts'

/** Whether the machine has that program: of one that it has not, there is no test. */
const isHere = (program: string): boolean =>
  (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)))

const many = someValues(depth({ usual: 5000, full: 100_000 }), 2)
const some = someValues(depth({ usual: 300, full: 10_000 }), 3)

describe('sh', () => {
  const scripts = ['. ./file && exec env -0', 'eval "$(cat file)" && exec env -0']
  const shells = ['dash', 'bash', 'zsh']
    .filter(isHere)
    .flatMap((shell) =>
      scripts.flatMap((script) => ['C', 'C.UTF-8'].map((locale) => ({ shell, script, locale }))),
    )
  test.for(shells)('$shell gives each back: $script, $locale', async (tried) => {
    await expectGivenBack(many, { format: 'sh', carries: 0.9, together: 500 }, (file) =>
      environmentIn(printed(file, tried.shell, ['-c', tried.script], { LC_ALL: tried.locale })),
    )
  })
})

test('dotenv, node --env-file', async () => {
  const program = 'console.log(JSON.stringify(process.env))'
  await expectGivenBack(
    some,
    { format: 'dotenv', carries: 0.7, together: 60 },
    (file) =>
      JSON.parse(
        printed(file, process.execPath, ['--env-file=file', '-e', program]).toString(),
      ) as Found,
  )
})

test.each(['kubectl'].filter(isHere))('k8s, %s', async (kubectl) => {
  await expectGivenBack(some, { format: 'k8s', carries: 0.99 }, (file) => {
    const args = ['label', '--local', '-f', 'file', 'a=b', '-o', 'json']
    const { data } = JSON.parse(printed(file, kubectl, args).toString()) as { data: object }
    return decoded(JSON.stringify(data))
  })
})

test.each(['docker'].filter(isHere))('docker-env, %s create', async (docker) => {
  using folder = temporaryDirectory()
  const path = join(folder.path, 'file')
  const socket = join(folder.path, 'socket')
  let body = ''
  // As much of a daemon as the command line talks to.
  const daemon = createServer((request, response) => {
    body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')))
    request.on('end', () => {
      response.writeHead(request.url?.endsWith('/_ping') ? 200 : 201, {
        'Api-Version': '1.43',
        'Content-Type': 'application/json',
      })
      response.end(request.method === 'HEAD' ? undefined : '{"Id":"x"}')
    })
  }).listen(socket)
  await once(daemon, 'listening')
  try {
    await expectGivenBack(some, { format: 'docker-env', carries: 0.65 }, async (file) => {
      writeFileSync(path, file)
      const args = ['-H', `unix://${socket}`, 'create', '--env-file', path, 'image']
      expect(await run(docker, args, { env: { HOME: folder.path } })).toMatchObject({ code: 0 })
      const { Env } = JSON.parse(Buffer.from(body, 'latin1').toString()) as { Env: string[] }
      return Object.fromEntries(
        Env.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
      )
    })
  } finally {
    daemon.close()
  }
})
