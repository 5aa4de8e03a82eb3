/** What leaves this repository in the published program: the packages that it installs, and those bundled into it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Packages, each as `NAME@VERSION`. */
export type Packages = ReadonlySet<string>

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly version?: string; readonly dev?: boolean; readonly link?: boolean }>
  >
}

/** The packages of the program that was built into the folder `dist` of the project at `top`. */
export function shippedPackages(top: string): Packages {
  const lock = JSON.parse(readFileSync(join(top, 'package-lock.json'), 'utf8')) as Lock
  const installed = Object.entries(lock.packages).flatMap(([path, { version, dev, link }]) => {
    const [, name] = /node_modules\/((?:@[^/]+\/)?[^/]+)$/.exec(path) ?? []
    return name === undefined || dev || link ? [] : [`${name}@${version}`]
  })
  const bundled = readFileSync(join(top, 'dist/THIRD-PARTY-LICENSES'), 'utf8')
    .split(/^-{72}$/m)
    .map((text) => {
      const [, name, version] = /^\s*(\S+) (\S+) \(.+\)$/m.exec(text) ?? []
      return `${name}@${version}`
    })
  return new Set([...installed, ...bundled])
}

/** A bill of materials as CycloneDX writes it, as far as it is used here. */
export interface Bill {
  readonly metadata: { readonly component: Component }
  readonly components: readonly Component[]
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: readonly string[] }[]
}

interface Component {
  readonly group?: string
  readonly name: string
  readonly version?: string
  readonly 'bom-ref': string
  readonly licenses?: readonly unknown[]
  readonly properties?: readonly { readonly name: string; readonly value: string }[]
}

/**
 * `bill` without what is not among `packages`. Throws where one of them is not in it, or has no licence in it: then
 * the bill would be wrong.
 */
export function billOf<T extends Bill>(bill: T, packages: Packages): T {
  const components = bill.components
    .filter((each) => packages.has(nameOf(each)))
    // What is bundled is a dependency of the development alone, and ships all the same.
    .map(({ properties = [], ...each }) => ({
      ...each,
      properties: properties.filter(({ name }) => name !== 'cdx:npm:package:development'),
    }))
  const found = new Set(components.map(nameOf))
  const missing = [...packages].filter((each) => !found.has(each))
  if (missing.length > 0) throw new Error(`The bill of materials lacks ${missing.join(', ')}`)
  const bare = components.filter(({ licenses = [] }) => licenses.length === 0)
  if (bare.length > 0) throw new Error(`There is no licence of ${bare.map(nameOf).join(', ')}`)
  const refs = new Set([bill.metadata.component, ...components].map((each) => each['bom-ref']))
  const dependencies = bill.dependencies
    .filter(({ ref }) => refs.has(ref))
    .map(({ ref, dependsOn = [] }) => ({ ref, dependsOn: dependsOn.filter((to) => refs.has(to)) }))
  return { ...bill, components, dependencies }
}

function nameOf({ group, name, version }: Component): string {
  return `${group === undefined ? '' : `${group}/`}${name}@${version}`
}
