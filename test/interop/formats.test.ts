/** Formats of `sotto export` with readers that others wrote. test/formats has those that every machine can run. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'vitest'
import type { Entry } from '../../cli/formats/format.ts'
import { formats } from '../../cli/formats/table.ts'
import { expectGivenBack, usual } from '../formats/contract.ts'
import { decoded, printed } from '../formats/printed.ts'
import { someValues } from '../formats/values.ts'
import { depth } from '../support/depth.ts'
import { describeWith, requirePeer } from '../support/peers.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const many = someValues(depth({ usual: 5000, full: 100_000 }), 4)
const some = someValues(depth({ usual: 300, full: 10_000 }), 5)

describeWith(['jq'], 'jq', () => {
  test.for([{}, { base64: true }])('jq: json %o', async (options) => {
    const filter = options.base64 === true ? '.' : 'map_values(@base64)'
    await expectGivenBack(many, { format: 'json', options, carries: 0.85, together: 500 }, (file) =>
      decoded(printed(file, requirePeer('jq'), [filter, 'file']).toString()),
    )
  })
})

describeWith(['kms-python'], 'python-dotenv', () => {
  test('dotenv', async () => {
    const program = `
import base64, json, dotenv
found = dotenv.dotenv_values('file')
print(json.dumps({name: base64.b64encode(each.encode()).decode() for name, each in found.items()}))`
    const tried = { format: 'dotenv', options: { dialect: 'python' }, carries: 0.7, together: 500 }
    await expectGivenBack(many, tried, (file) =>
      decoded(printed(file, requirePeer('kms-python'), ['-c', program]).toString()),
    )
  })
})

describeWith(['metrics-python'], 'PyYAML', () => {
  test('yaml', async () => {
    const program = `
import base64, json, yaml
found = yaml.safe_load(open('file', encoding='utf-8', newline=''))
print(json.dumps({name: base64.b64encode(each.encode()).decode() for name, each in found.items()}))`
    await expectGivenBack(many, { format: 'yaml', carries: 0.85, together: 500 }, (file) =>
      decoded(printed(file, requirePeer('metrics-python'), ['-c', program]).toString()),
    )
  })
})

describeWith(['compose-env'], 'Docker Compose', () => {
  test('compose', async () => {
    await expectGivenBack(many, { format: 'compose', carries: 0.65, together: 500 }, (file) =>
      decoded(printed(file, requirePeer('compose-env'), ['file']).toString()),
    )
  })
})

/** systemd-tmpfiles puts these of os-release, which systemd reads as it reads any file of variables, in place of letters. */
const letters = { B: 'BUILD_ID', W: 'VARIANT_ID', w: 'VERSION_ID' }

describeWith(['systemd-analyze'], 'systemd', () => {
  test('systemd, its own reader', async () => {
    using root = temporaryDirectory()
    mkdirSync(join(root.path, 'etc'))
    const lines = Object.keys(letters).map((letter) => `f+ /${letter} - - - - %${letter}\n`)
    writeFileSync(join(root.path, 'conf'), lines.join(''))
    const names = Object.values(letters)
    // As long as a path at most.
    const short = some.filter(({ length }) => length < 4000)
    await expectGivenBack(
      short,
      { format: 'systemd', carries: 0.8, together: names.length },
      (_, part) => {
        const renamed = part.map(({ value }, at): Entry => ({ variable: names[at] ?? '', value }))
        const file = formats['systemd']?.write?.(renamed, usual) ?? Buffer.from('')
        writeFileSync(join(root.path, 'etc/os-release'), file)
        execFileSync('systemd-tmpfiles', [
          '--create',
          `--root=${root.path}`,
          join(root.path, 'conf'),
        ])
        const found = Object.keys(letters).map((letter) => readFileSync(join(root.path, letter)))
        return Object.fromEntries(part.map(({ variable }, at) => [variable, found[at]]))
      },
    )
  })
})
