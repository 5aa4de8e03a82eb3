/**
 * Builds the published program into dist/: one bundle that loads only what a command uses, the scripts of
 * its threads as files of their own, and the types of the client. The licences of what was bundled are
 * written beside it.
 *   node .ci/build.ts
 */
import { execFileSync } from 'node:child_process'
import { globSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'rolldown'

process.chdir(new URL('..', import.meta.url).pathname)

const scripts = ['cli/main.ts', 'client/client.ts', ...globSync('server/**/*-thread.ts')]

rmSync('dist', { recursive: true, force: true })
const packages = await bundle()
writeFileSync('dist/THIRD-PARTY-LICENSES', licences(packages))
execFileSync('tsc', ['-p', 'client/tsconfig.json'], { stdio: 'inherit' })

/** Writes the bundle, and resolves with the folders of the packages whose code is in it. */
async function bundle(): Promise<Set<string>> {
  const { output } = await build({
    input: Object.fromEntries(scripts.map((path) => [path.replace(/\.ts$/, ''), path])),
    platform: 'node',
    // Native, and found by its own code.
    external: ['better-sqlite3'],
    plugins: [{ name: 'builtins', renderChunk: withoutFacades }],
    output: {
      dir: 'dist',
      entryFileNames: '[name].js',
      chunkFileNames: 'chunks/[name]-[hash].js',
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
