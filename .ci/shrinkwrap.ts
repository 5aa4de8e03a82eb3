/**
 * Writes npm-shrinkwrap.json, which npm publishes where it would leave out package-lock.json: the exact packages
 * that the published program is installed with. `npm pack` runs this, and deletes the file again.
 */
import { readFileSync, writeFileSync } from 'node:fs'

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly link?: boolean }>>
}

const top = new URL('..', import.meta.url)
const lock = JSON.parse(readFileSync(new URL('package-lock.json', top), 'utf8')) as Lock
const packages = Object.entries(lock.packages).filter(
  ([, { dev, link }]) => dev !== true && link !== true,
)
const shrinkwrap = { ...lock, packages: Object.fromEntries(packages) }
writeFileSync(new URL('npm-shrinkwrap.json', top), `${JSON.stringify(shrinkwrap, null, 2)}\n`)
