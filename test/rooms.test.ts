import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'

/** The rooms, ground floor first. A file imports from its own room or from a floor below it. */
const floors = [
  ['client/api'],
  ['client/platform'],
  ['server/platform', 'server/access.ts', 'server/metrics', 'client'],
  ['server/openbao', 'server/aws', 'audit'],
  ['server/crypto', 'server/store', 'server/identity'],
  ['server/catalog'],
  ['server/backends'],
  ['server/gate'],
  ['server/jobs'],
  ['server/keys', 'server/secrets', 'server/consumers'],
  ['server/http', 'server/mirror', 'server/rotation', 'server/backup'],
  ['server/vault'],
  ['server/operations', 'server/config'],
  ['server/start'],
  ['cli', 'server/testing'],
]

const rooms = floors.flatMap((names, floor) => names.map((name) => ({ name, floor })))

function roomOf(file: string): { name: string; floor: number } {
  const room = rooms.find(({ name }) => file === name || file.startsWith(`${name}/`))
  if (!room) throw new Error(`Cannot place ${file}: no room claims it`)
  return room
}

const files = ['client', 'audit', 'server', 'cli']
  .flatMap((top) =>
    readdirSync(top, { recursive: true, encoding: 'utf8' }).map((f) => join(top, f)),
  )
  .filter((f) => f.endsWith('.ts'))

/** The files that each file imports, types and lazy imports included. */
const imports = new Map(
  files.map((file) => {
    const found = readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*['"](\.[^'"]+)['"]/g)
    return [file, [...found].map(([, specifier = '']) => join(dirname(file), specifier))]
  }),
)

test.each(files)('%s imports only downward', (file) => {
  const from = roomOf(file)
  for (const imported of imports.get(file) ?? []) {
    const to = roomOf(imported)
    expect(to.name === from.name || to.floor < from.floor, `${file} -> ${imported}`).toBe(true)
  }
})

test('invariant 4: the store knows no key: it takes random names of files from node:crypto, and no more', () => {
  const store = files.filter((file) => file.startsWith('server/store/'))
  expect(store.length).toBeGreaterThan(20)
  for (const file of store) {
    const taken = /import \{([^}]*)\} from 'node:crypto'/.exec(readFileSync(file, 'utf8'))?.[1]
    expect(['randomBytes', undefined], file).toContain(taken?.trim())
    for (const imported of imports.get(file) ?? []) expect(imported).not.toContain('server/crypto')
  }
})

test('R8: every invariant of docs/internals/architecture.md has a test by its number, and each number means one thing', () => {
  const page = readFileSync('docs/internals/architecture.md', 'utf8')
  const listed = page.slice(page.indexOf('## Invariants'), page.indexOf('## Under fire'))
  const numbers = [...listed.matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number))
  const tests = readdirSync('test', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .flatMap((name) => {
      const titles = readFileSync(join('test', name), 'utf8').matchAll(
        /(?:describe|test)\('invariant (\d+):/g,
      )
      return [...titles].map(([, number]) => Number(number))
    })
  expect(tests.toSorted((a, b) => a - b)).toEqual(numbers)
})

test('no file imports itself by way of others', () => {
  expect([...circles(imports)]).toEqual([])
})

test('a circle is found, and what only hangs on it is not', () => {
  const graph = { a: ['b'], b: ['c'], c: ['b'], d: ['a'] }
  expect([...circles(new Map(Object.entries(graph)))]).toEqual(['b -> c -> b'])
})

test('server/ has one loose file', () => {
  const loose = readdirSync('server').filter((f) => f.includes('.'))
  expect(loose).toEqual(['access.ts'])
})

test('docs/internals/architecture.md shows the same floors', () => {
  const text = readFileSync('docs/internals/architecture.md', 'utf8')
  const rows = text.matchAll(/^\| (\d+) \| `([^`]+?)\/?` \|/gm)
  const shown = [...rows].map(([, floor, name]) => ({ name, floor: Number(floor) }))
  expect(shown).toEqual(
    floors
      .toReversed()
      .flatMap((names, at) => names.map((name) => ({ name, floor: floors.length - 1 - at }))),
  )
})

/** Each circle once, from where it was entered first. */
function* circles(graph: ReadonlyMap<string, readonly string[]>): Generator<string> {
  const done = new Set<string>()
  const path: string[] = []
  function* visit(file: string): Generator<string> {
    if (path.includes(file)) yield [...path.slice(path.indexOf(file)), file].join(' -> ')
    if (done.has(file)) return
    done.add(file)
    path.push(file)
    for (const next of graph.get(file) ?? []) yield* visit(next)
    path.pop()
  }
  for (const file of graph.keys()) yield* visit(file)
}
