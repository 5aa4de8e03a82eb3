/** What Sotto is built with, ships and runs on: by hashes, without install scripts, and judged by what is known of it. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { type Exception, judge } from '../../.ci/advisories.ts'
import { architectures, readParts } from '../../.ci/image/parts.ts'
import { type Bill, billOf } from '../../.ci/shipped.ts'

const top = new URL('../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, top), 'utf8')

interface Locked {
  readonly version?: string
  readonly integrity?: string
  readonly link?: boolean
  readonly hasInstallScript?: boolean
}
const lockOf = (folder: string) =>
  Object.entries(
    (JSON.parse(read(`${folder}package-lock.json`)) as { packages: Record<string, Locked> })
      .packages,
  ).filter(([path]) => path.includes('node_modules/'))

const manifest = JSON.parse(read('package.json')) as {
  engines: { node: string }
  allowScripts: Record<string, boolean>
}
const runtime = JSON.parse(read('.ci/runtime/package.json')) as {
  optionalDependencies: Record<string, string>
}
const oldest = JSON.parse(read('.ci/oldest/package.json')) as {
  dependencies: Record<string, string>
}

describe('C6: what is installed', () => {
  test.each(['', '.ci/sbom/', '.ci/oldest/'])(
    'has a hash for each package of %spackage-lock.json',
    (folder) => {
      const packages = lockOf(folder)
      expect(packages.length).toBeGreaterThan(0)
      const bare = packages.filter(
        ([, { integrity, link }]) => !link && !integrity?.startsWith('sha512-'),
      )
      expect(bare).toEqual([])
    },
  )

  test('runs no script but those that are forbidden by name: none downloads what no lock file has', () => {
    const scripted = lockOf('').flatMap(([path, { hasInstallScript }]) =>
      hasInstallScript ? [path.replace('node_modules/', '')] : [],
    )
    expect(scripted.filter((name) => manifest.allowScripts[name] !== false)).toEqual([])
    expect(Object.values(manifest.allowScripts)).not.toContain(true)
  })

  test('has the Node of the tests in the lock file, for each machine, and the oldest that is supported in its own', () => {
    const locked = new Map(lockOf(''))
    for (const [name, version] of Object.entries(runtime.optionalDependencies)) {
      expect(locked.get(`node_modules/${name}`)).toMatchObject({ version })
      expect(manifest.engines.node.endsWith(`>=${version}`)).toBe(true)
    }
    const [least] = Object.values(oldest.dependencies)
    expect(manifest.engines.node.startsWith(`^${least} `)).toBe(true)
    // So that what is tested is what ships, or the oldest.
    const known = [...Object.values(runtime.optionalDependencies), least]
    const runs = process.env['CI'] === 'true' ? process.versions.node : least
    expect(known).toContain(runs)
  })

  test('runs the tests on the oldest, too', () => {
    expect(read('.ci/run')).toMatch(/^suite (?:phase )?oldest bash \.ci\/oldest\.sh$/m)
  })
})

describe('C6: the image', () => {
  test('has parts of Debian by version and hash, for each kind of machine', () => {
    const { parts } = readParts()
    expect(parts.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['libc6', 'libstdc++6', 'libgcc-s1', 'libatomic1']),
    )
    for (const { name, version, files } of parts) {
      for (const architecture of architectures) {
        const { path, sha256 } = files[architecture]
        // Of the main archive, from which nothing goes away while Debian serves the release.
        expect(path).toMatch(/^pool\/main\//)
        expect(path.endsWith(`/${name}_${version}_${architecture}.deb`)).toBe(true)
        expect(sha256).toMatch(/^[0-9a-f]{64}$/)
      }
    }
  })

  test('runs the Node of the lock file: its program is the one file of the release', () => {
    const release = read('.ci/release.ts')
    expect(release).toMatch(/writeImage\([^]*\['\/usr\/bin\/sotto', program\]/)
    expect(release).toMatch(
      /const program = oneFile\(machine\)\n[^]*containerImage\(machine, program\)/,
    )
    expect(release).toMatch(/const executable = runtime\(node\)/)
    expect(release).toMatch(/if \(`sha512-\$\{hash\}` !== locked\.integrity\) \{\n +throw/)
  })
})

describe('C6: advisories', () => {
  const packages = new Set(['undici@8.12.4', 'zod@4.6.7', '@aws-sdk/core@3.981.1'])
  const advisory = {
    source: 1,
    name: 'undici',
    title: 'Request smuggling',
    url: 'https://github.com/advisories/GHSA-aaaa-bbbb-cccc',
    severity: 'high',
    range: '<8.12.5',
  }
  const found = (name: string, fixAvailable: unknown, via: unknown[] = [{ ...advisory, name }]) =>
    JSON.stringify({
      auditReportVersion: 2,
      vulnerabilities: {
        [name]: { name, severity: 'high', via, nodes: [`node_modules/${name}`], fixAvailable },
      },
      metadata: { vulnerabilities: { high: 1, total: 1 } },
    })
  const fixed = { name: 'undici', version: '8.12.5', isSemVerMajor: false }
  const exception: Exception = {
    advisory: 'GHSA-aaaa-bbbb-cccc',
    package: 'undici',
    until: '2026-12-31',
    why: 'Sotto sends no such requests',
  }
  const judged = (answer: string, exceptions: Exception[] = [], today = '2026-11-28') =>
    judge(answer, packages, exceptions, today)

  test('on what ships, with a fixed release, fail', () => {
    for (const fix of [fixed, true]) {
      const { lines, failures } = judged(found('undici', fix))
      expect(failures).toEqual(lines)
      expect(lines).toEqual([
        'undici: GHSA-aaaa-bbbb-cccc (high): Request smuggling; ships; there is a fixed release; node_modules/undici',
      ])
    }
  })

  test.each([
    ['without a fixed release', found('undici', false)],
    ['on what is for the development alone', found('vitest', fixed)],
  ])('%s are reported and do not fail', (_, answer) => {
    const { lines, failures } = judged(answer)
    expect({ lines: lines.length, failures }).toEqual({ lines: 1, failures: [] })
  })

  test('that came by another package are told once, where they are', () => {
    expect(judged(found('@aws-sdk/core', fixed, ['undici']))).toEqual({
      lines: ['no advisory on any package of the lock file'],
      failures: [],
    })
  })

  test('that are known do not fail until their day, and then do', () => {
    expect(judged(found('undici', fixed), [exception]).failures).toEqual([])
    expect(judged(found('undici', fixed), [exception], '2026-12-31').failures).toEqual([])
    expect(judged(found('undici', fixed), [exception], '2027-01-01').failures.length).toBe(2)
    const other = { ...exception, package: 'zod' }
    expect(judged(found('undici', fixed), [other]).failures.length).toBe(2)
  })

  test('an exception that nothing needs fails', () => {
    expect(judged('{"vulnerabilities":{}}', [exception])).toEqual({
      lines: ['no advisory on any package of the lock file'],
      failures: ['the exception for GHSA-aaaa-bbbb-cccc of undici is not needed any more'],
    })
  })

  test.each([
    '{"message":"405 Method Not Allowed - POST https://registry.example/-/npm/v1/security/advisories/bulk","statusCode":405}',
    'npm error audit endpoint returned an error',
    '',
  ])('that could not be asked for are said to be unknown, and fail nothing: %s', (answer) => {
    const { lines, failures } = judged(answer, [exception])
    expect(lines[0]).toMatch(/^NOT ASKED/)
    expect(failures).toEqual([])
  })

  test('exceptions that are in force say why, and until when', () => {
    for (const each of JSON.parse(read('.ci/advisories.json')) as Exception[]) {
      expect(each).toEqual({
        advisory: expect.stringMatching(/^GHSA(?:-[0-9a-z]{4}){3}$/) as string,
        package: expect.any(String) as string,
        until: expect.stringMatching(/^\d{4}-\d\d-\d\d$/) as string,
        why: expect.stringMatching(/.{10}/) as string,
      })
    }
  })
})

describe('C6: the bill of materials', () => {
  const component = (name: string, licenses: object[] = [{ license: { id: 'MIT' } }]) => ({
    name,
    version: '1.0.0',
    'bom-ref': name,
    licenses,
    properties: [{ name: 'cdx:npm:package:development', value: 'true' }],
  })
  const bill: Bill = {
    metadata: { component: { name: 'sotto', 'bom-ref': 'sotto' } },
    components: [{ ...component('core'), group: '@a' }, component('zod'), component('vitest')],
    dependencies: [
      { ref: 'sotto', dependsOn: ['core', 'vitest', 'zod'] },
      { ref: 'vitest', dependsOn: ['zod'] },
      { ref: 'zod' },
    ],
  }

  test('has what ships and nothing else', () => {
    const { components, dependencies } = billOf(bill, new Set(['@a/core@1.0.0', 'zod@1.0.0']))
    expect(components.map(({ name, properties }) => [name, properties])).toEqual([
      ['core', []],
      ['zod', []],
    ])
    expect(dependencies).toEqual([
      { ref: 'sotto', dependsOn: ['core', 'zod'] },
      { ref: 'zod', dependsOn: [] },
    ])
  })

  test('is not written where a package is missing, or has no licence', () => {
    expect(() => billOf(bill, new Set(['zod@1.0.0', 'undici@1.0.0']))).toThrow(
      /lacks undici@1\.0\.0/,
    )
    const bare = { ...bill, components: [component('zod', [])] }
    expect(() => billOf(bare, new Set(['zod@1.0.0']))).toThrow(/no licence of zod@1\.0\.0/)
  })
})
