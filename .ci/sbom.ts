/**
 * Writes dist/sbom.cdx.json, the bill of materials of the program that was built into dist/: CycloneDX, of the
 * packages that it is installed with or has in it, with their licences. `npm run sbom` builds first.
 *   node .ci/sbom.ts
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Bill, billOf, shippedPackages } from './shipped.ts'

const top = new URL('..', import.meta.url).pathname
const tool = join(top, '.ci/sbom')
const program = join(tool, 'node_modules/.bin/cyclonedx-npm')
const path = join(top, 'dist/sbom.cdx.json')

// Of its own folder and lock file: it is as large as all else that Sotto is developed with.
if (!existsSync(program)) {
  const options = ['--omit=optional', '--omit=peer', '--ignore-scripts']
  // Its words would stand among those of `npm pack --json`, which runs this.
  execFileSync('npm', ['ci', ...options], { cwd: tool, stdio: ['ignore', 'ignore', 'inherit'] })
}
const options = ['--package-lock-only', '--flatten-components', '--output-reproducible']
execFileSync(program, [...options, '--spec-version', '1.6', '--output-file', path], {
  cwd: top,
  stdio: ['ignore', 'ignore', 'inherit'],
})
const bill = billOf(JSON.parse(readFileSync(path, 'utf8')) as Bill, shippedPackages(top))
writeFileSync(path, `${JSON.stringify(bill, null, 2)}\n`)
process.stderr.write(`dist/sbom.cdx.json: ${bill.components.length} packages\n`)
