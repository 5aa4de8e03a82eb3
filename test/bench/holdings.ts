/**
 * What a number of holdings takes: `npm run bench -- holdings [COUNT]`, 1,000,000 unless another one is given. Each shape is
 * measured by a process of its own.
 */
import { spawnSync } from 'node:child_process'
import { measureHoldings, shapes } from './held.ts'

const [count = '1000000', only] = process.argv.slice(2)
for (const shape of shapes) {
  if (only === shape) console.log(shape, JSON.stringify(measureHoldings(shape, Number(count))))
  if (only !== undefined) continue
  const { status } = spawnSync(process.execPath, [import.meta.filename, count, shape], {
    stdio: 'inherit',
  })
  process.exitCode ||= status ?? 1
}
