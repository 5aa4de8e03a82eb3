/**
 * Runs a bench: `npm run bench [-- SECTION…]` compares servers, and `npm run bench -- copy`, `flood`, `holdings [COUNT]`,
 * `mirror [COUNT]`, `programs`, `watch [SECTION…]` or `tailnet` is one of the others.
 */
import { spawnSync } from 'node:child_process'

const others: Readonly<Record<string, string>> = {
  copy: 'copy.ts',
  flood: 'flood.ts',
  holdings: 'holdings.ts',
  mirror: 'mirror.ts',
  programs: 'programs.ts',
  tailnet: '../tailnet/bench.ts',
  watch: 'watch.ts',
}

const args = process.argv.slice(2)
const other = others[args[0] ?? '']
const program = new URL(other ?? 'bench.ts', import.meta.url).pathname
const given = other === undefined ? args : args.slice(1)
const { status } = spawnSync(process.execPath, [program, ...given], { stdio: 'inherit' })
process.exitCode = status ?? 1
