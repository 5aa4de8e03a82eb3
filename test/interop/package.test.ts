/**
 * The package as it is published: what was committed last is packed, installed into an empty folder, and run
 * there from nothing but what was installed.
 */
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Client } from '../../client/client.ts'
import { TestProcess } from '../support/process.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const root = new URL('../..', import.meta.url).pathname
const scratch = temporaryDirectory()
const clone = join(scratch.path, 'clone')
const app = join(scratch.path, 'app')
const env = {
  ...Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(?:SOTTO|SETEC|NODE_OPTIONS|VITEST)/.test(name),
    ),
  ),
  XDG_CACHE_HOME: join(scratch.path, 'cache'),
  PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter),
  npm_config_fetch_retries: '1',
}

interface Manifest {
  readonly version: string
  readonly bin: { readonly sotto: string }
}
const packed = (path: string): string => join(app, 'node_modules/sotto', path)

/** Runs a program in the folder where the package is installed, and gives what it printed. */
function run(program: string, args: readonly string[], input = '', cwd = app): string {
  return execFileSync(program, args, { cwd, env, input, encoding: 'utf8' })
}

const sotto = join(app, 'node_modules/.bin/sotto')

beforeAll(() => {
  execFileSync('git', ['clone', '--quiet', root, clone])
  symlinkSync(join(root, 'node_modules'), join(clone, 'node_modules'))
  const output = run('npm', ['pack', '--json', '--pack-destination', scratch.path], '', clone)
  const { filename } = Object.values(JSON.parse(output.slice(output.search(/^[[{]/m))) as object)[0]
  mkdirSync(app)
  writeFileSync(join(app, 'package.json'), '{"private":true,"type":"module"}')
  run('npm', ['install', '--prefer-offline', '--ignore-scripts', join(scratch.path, filename)])
}, 120_000)

afterAll(() => scratch[Symbol.dispose]())

test('brings the locked packages that the program or its types need, and no others', () => {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version: string }>
  }
  const own = readdirSync(join(app, 'node_modules')).filter((name) => !/^[.]|^sotto$/.test(name))
  expect(own.toSorted()).toEqual(['better-sqlite3', 'node-addon-api', 'zod'])
  expect(existsSync(packed('npm-shrinkwrap.json'))).toBe(true)
  for (const name of own) {
    const { version } = JSON.parse(
      readFileSync(join(app, `node_modules/${name}/package.json`), 'utf8'),
    ) as Manifest
    expect(version).toBe(lock.packages[`node_modules/${name}`]?.version)
  }
})

test('has the licences of what was bundled, and those of Sotto', () => {
  const licences = readFileSync(packed('dist/THIRD-PARTY-LICENSES'), 'utf8')
  for (const name of ['@aws-sdk/client-kms', 'age-encryption', 'hono', 'undici', 'yaml', 'zod']) {
    expect(licences).toMatch(new RegExp(`^${name} \\d.* \\(.+\\)$`, 'm'))
  }
  expect(licences.match(/Permission is hereby granted/g)?.length).toBeGreaterThan(10)
  expect(existsSync(packed('LICENSE'))).toBe(true)
})

test('C6: has a bill of materials: what it is installed with or was bundled, each with a licence', () => {
  const bill = JSON.parse(readFileSync(packed('dist/sbom.cdx.json'), 'utf8')) as {
    bomFormat: string
    components: {
      group?: string
      name: string
      version: string
      purl: string
      licenses: object[]
    }[]
  }
  expect(bill.bomFormat).toBe('CycloneDX')
  const names = bill.components.map(({ group, name }) => (group ? `${group}/${name}` : name))
  const bundled = readFileSync(packed('dist/THIRD-PARTY-LICENSES'), 'utf8').matchAll(
    /(?:^|-{72}\n\n)(\S+) (\d\S*) \(.+\)$/gm,
  )
  const wanted = [
    'better-sqlite3',
    'node-addon-api',
    'zod',
    ...[...bundled].map(([, name]) => name),
  ]
  expect(wanted.length).toBeGreaterThan(30)
  expect(new Set(names)).toEqual(new Set(wanted))
  for (const { licenses, purl } of bill.components) {
    expect(licenses.length, purl).toBeGreaterThan(0)
    expect(purl).toMatch(/^pkg:npm\//)
  }
})

test('has the script of every thread', () => {
  const threads = globSync('server/**/*-thread.ts', { cwd: root })
  expect(threads.length).toBeGreaterThan(3)
  for (const path of threads) {
    expect(existsSync(packed(`dist/${path.replace(/ts$/, 'js')}`)), path).toBe(true)
  }
})

test('has no source, and is not private', () => {
  const manifest = JSON.parse(readFileSync(packed('package.json'), 'utf8')) as object
  expect(manifest).not.toHaveProperty('private')
  expect(existsSync(packed('server'))).toBe(false)
})

test('says its version', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
  expect(run(sotto, ['version'])).toBe(`sotto ${version}\n`)
})

describe('a server of it', () => {
  let url = ''
  let stop = async (): Promise<number | null> => null

  beforeAll(async () => {
    const backups = join(scratch.path, 'backups')
    mkdirSync(backups)
    const args = ['server', '--dev', '--backup-to', backups]
    const server = new TestProcess(sotto, args, { cwd: app, environment: env })
    const line = await server.firstLine()
    url = /http:\S+/.exec(line)?.[0] ?? line
    stop = () => server.stop()
  })

  test('takes and gives a secret by the command line', () => {
    run(sotto, ['-s', url, 'put', 'demo/passphrase'], 'correct horse')
    expect(run(sotto, ['-s', url, 'get', 'demo/passphrase'])).toBe('correct horse')
  })

  test('answers what it loads only then: operations, a backup, its audit log, health', async () => {
    expect(run(sotto, ['-s', url, 'backup', 'create'])).toMatch(/sealed|\.backup/)
    expect(run(sotto, ['-s', url, 'audit', 'query'])).toContain('demo/passphrase')
    expect(run(sotto, ['-s', url, 'key', 'status'])).toContain('local')
    expect(await (await fetch(`${url}/healthz`)).text()).toBe('ok\n')
    expect(await (await fetch(`${url}/api/openapi.json`)).json()).toHaveProperty('openapi')
    expect((await fetch(`${url}/metrics`)).status).toBe(200)
  })

  test('is called by programs that import the client', async () => {
    const program = `
      import { Client } from 'sotto'
      const client: Client = new Client({ server: process.argv[2] ?? '' })
      const { Value, Version }: { Value: Uint8Array; Version: number } = await client.get('demo/passphrase')
      const jobs = await client.operate('job-status', {})
      const names: string[] = jobs.map(({ Name }) => Name)
      console.log(new TextDecoder().decode(Value), Version, names.includes('rotation'))
      // @ts-expect-error -- not a name of an operation
      export const wrong = () => client.operate('nothing', {})
    `
    writeFileSync(join(app, 'program.ts'), program)
    const types = join(root, 'node_modules/@types')
    const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2025']
    const tsc = join(root, 'node_modules/.bin/tsc')
    run(tsc, [...options, '--types', 'node', '--typeRoots', types, 'program.ts'])
    expect(run(process.execPath, ['program.ts', url])).toBe('correct horse 1 true\n')
    const client = new Client({ server: url })
    expect(Buffer.from((await client.get('demo/passphrase')).Value).toString()).toBe(
      'correct horse',
    )
    client.close()
  })

  test('gives programs a store, with its types', () => {
    const program = `
      import { fields, openStore, type Secret, text } from 'sotto/client'
      import { z } from 'zod'
      await using store = await openStore({ server: process.argv[2] ?? '', secrets: ['demo/passphrase'] })
      const handle: Secret = store.secret('demo/passphrase')
      const read = await fields(store, { passphrase: z.string().min(3) }, { prefix: 'demo/' })
      const passphrase: string = read.passphrase
      console.log(handle.text(), passphrase, store.health().state, text.read(handle.bytes()).length)
      // @ts-expect-error -- not a field
      export const wrong = read.other
    `
    writeFileSync(join(app, 'store.ts'), program)
    const types = join(root, 'node_modules/@types')
    const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2025']
    const libraries = ['--lib', 'es2025,esnext.disposable']
    const tsc = join(root, 'node_modules/.bin/tsc')
    run(tsc, [...options, ...libraries, '--types', 'node', '--typeRoots', types, 'store.ts'])
    expect(run(process.execPath, ['store.ts', url])).toBe(
      'correct horse correct horse polling 13\n',
    )
  })

  test('gives tests of programs a server, with its types', () => {
    const program = `
      import { type Secret } from 'sotto/client'
      import { startTestServer, type TestServer } from 'sotto/testing'
      await using server: TestServer = await startTestServer({ nodes: { app: { rules: [] } } })
      const version: number = await server.put('a', '1')
      const store = await server.openStore({ secrets: ['a'] })
      const handle: Secret = store.secret('a')
      await server.put('a', '2')
      await server.tick()
      const refused = await server.client({ as: 'app' }).get('a').catch(({ code }) => code)
      console.log(version, handle.text(), refused)
      // @ts-expect-error -- not an option
      export const wrong = () => startTestServer({ node: {} })
    `
    writeFileSync(join(app, 'testing.ts'), program)
    const types = join(root, 'node_modules/@types')
    const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2025']
    const libraries = ['--lib', 'es2025,esnext.disposable']
    const tsc = join(root, 'node_modules/.bin/tsc')
    run(tsc, [...options, ...libraries, '--types', 'node', '--typeRoots', types, 'testing.ts'])
    expect(run(process.execPath, ['testing.ts'])).toBe('1 2 denied\n')
  })

  test('stops when it is asked to', async () => {
    expect(await stop()).toBe(0)
  })
})
