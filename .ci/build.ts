/**
 * Builds the published program into dist/, or into the folder that is given: one bundle that loads only what a
 * command uses, the scripts of its threads as files of their own, and the types of the client and of the server for
 * tests. The licences of what was bundled are written beside it.
 *   node .ci/build.ts [DIRECTORY]
 */
import { execFileSync } from 'node:child_process'
import { globSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { build, type OutputBundle } from 'rolldown'
import { isolatedDeclarationSync } from 'rolldown/experimental'

const dist = resolve(process.argv[2] ?? new URL('../dist', import.meta.url).pathname)
process.chdir(new URL('..', import.meta.url).pathname)

const testing = 'server/testing/test-server.ts'
const scripts = ['cli/main.ts', 'client/exports.ts', testing, ...globSync('server/**/*-thread.ts')]

rmSync(dist, { recursive: true, force: true })
const packages = await bundle()
writeFileSync(join(dist, 'THIRD-PARTY-LICENSES'), licences(packages))
const types = ['--outDir', join(dist, 'types')]
execFileSync('tsc', ['-p', 'client/tsconfig.json', ...types], { stdio: 'inherit' })
writeFileSync(join(dist, 'types/testing.d.ts'), typesOfTesting())

/** Writes the bundle, and resolves with the folders of the packages whose code is in it. */
async function bundle(): Promise<Set<string>> {
  const { output } = await build({
    input: Object.fromEntries(scripts.map((path) => [path.replace(/\.ts$/, ''), path])),
    platform: 'node',
    // Native, and found by its own code.
    // The second is never asked for: pg knows a native sibling.
    external: ['better-sqlite3', 'pg-native'],
    plugins: [
      { name: 'version', transform: withVersion },
      { name: 'builtins', renderChunk: withoutFacades },
      { name: 'relays', generateBundle: (_, files) => withoutRelays(files) },
    ],
    output: {
      dir: dist,
      entryFileNames: '[name].js',
      // For this ending, Node looks into no package.json.
      chunkFileNames: 'chunks/[name]-[hash].mjs',
      // Few files for what starts most often. Each brings its own imports.
      codeSplitting: {
        groups: [
          { name: 'api', test: /client\/api\/(?:errors|types)\.ts$/, priority: 3 },
          {
            name: 'everyday',
            test: /cli\/(?:run|terminal\/process-io|handlers\/secrets)\.ts$/,
            priority: 2,
          },
          {
            name: 'run',
            test: /cli\/(?:handlers\/run\/(?:environment|file-path|launch|options|program|replace|run|source|values)|mapping\/(?:mapping|reference|variables))\.ts$/,
            priority: 1,
          },
          {
            name: 'threads',
            test: /server\/store\/sqlite\/(?:open|reader|messages)\.ts$/,
            priority: 1,
          },
        ],
      },
    },
  })
  const modules = output.flatMap((each) => (each.type === 'chunk' ? each.moduleIds : []))
  return new Set(
    modules.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? []),
  )
}

/** The types of the server for tests, which are made of those of the client alone. */
function typesOfTesting(): string {
  const { code, errors } = isolatedDeclarationSync(testing, readFileSync(testing, 'utf8'))
  const declared = code.replaceAll(/"\.\.\/\.\.\/client\/(.+)\.ts"/g, '"./$1.js"')
  if (errors.length > 0 || declared.includes('"..')) {
    throw new Error(`Cannot declare what ${testing} exports: it needs types of the server`)
  }
  return declared
}

/** The version is written into the program, which then needs no file beside it. */
function withVersion(_: string, id: string): string | null {
  if (!id.endsWith('/server/platform/version.ts')) return null
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  return `export const version = ${JSON.stringify(version)}`
}

/**
 * Replaces the import statements of Node's own modules. Such a statement reads every export, and that loads what
 * is not used: for node:http, Node's fetch and WebSocket.
 */
function withoutFacades(code: string): string {
  return code.replaceAll(
    /^import (?:\* as )?(.+) from ("node:[\w/]+");$/gm,
    (_, names: string, module: string) =>
      `const ${names.replaceAll(' as ', ': ')} = process.getBuiltinModule(${module});`,
  )
}

/** Takes out the files that only pass on what another exports: `import()` is made to ask the other. */
function withoutRelays(files: OutputBundle): void {
  const relays = new Map<string, { names: string; from: string }>()
  for (const [path, file] of Object.entries(files)) {
    if (file.type !== 'chunk' || !file.isDynamicEntry || file.isEntry) continue
    const [, list = '', from] = /^export \{ (.+) \} from "\.\/(.+)";\s*$/.exec(file.code) ?? []
    if (from === undefined) continue
    const names = list.split(', ').map((name) => {
      const [own, given = own] = name.split(' as ')
      return `${given}: all.${own}`
    })
    relays.set(basename(path), { names: names.join(', '), from })
    delete files[path]
  }
  for (const file of Object.values(files)) {
    if (file.type !== 'chunk') continue
    file.code = file.code.replaceAll(
      /import\("(.+\/)(.+?)"\)/g,
      (whole, folder: string, name: string) => {
        const relay = relays.get(name)
        if (relay === undefined) return whole
        return `import("${folder}${relay.from}").then((all) => ({ ${relay.names} }))`
      },
    )
  }
}

/** Their licences, by the name of the package. Throws where a package has none. */
function licences(folders: ReadonlySet<string>): string {
  const texts = [...folders].map((folder) => {
    const { name, version, license } = JSON.parse(
      readFileSync(join(folder, 'package.json'), 'utf8'),
    ) as { name: string; version: string; license?: string }
    const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each))
    if (license === undefined) throw new Error(`Cannot publish ${name}: it has no licence`)
    const text = file === undefined ? '' : readFileSync(join(folder, file), 'utf8')
    return `${name} ${version} (${license})\n\n${text}`
  })
  return texts.toSorted().join(`\n${'-'.repeat(72)}\n\n`)
}
