/**
 * `sotto run`: how long it takes to start a program, and from an activation until a program runs with the new value:
 * `npm run bench -- programs`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Client } from '../../client/client.ts'
import { TestProcess } from '../support/process.ts'
import { startServerProcess, temporaryDirectory } from '../support/sotto.ts'
import { buildProgram, sottoProgram } from './servers.ts'
import { printSpread } from './spread.ts'
import { surroundings } from './surroundings.ts'

const ROUNDS = Number(process.env['ROUNDS'] ?? 16)
const CHANGES = Number(process.env['CHANGES'] ?? 100)

buildProgram()
using scratch = temporaryDirectory()
const { load, syncMedian } = surroundings(scratch.path)
console.log(`programs: load ${load.toFixed(1)}, a durable write ${syncMedian.toFixed(2)} ms`)
const server = await startServerProcess(['--dev', '--listen', '127.0.0.1:0'], {
  main: sottoProgram,
})
const client = new Client({ server: server.url })
const env = { ...process.env, SOTTO_SERVER: server.url }
try {
  await client.put('a', Buffer.from('1'))
  await starts()
  await changes()
} finally {
  client.close()
  await server.stop()
}

/** `sotto run -- true` with one value, compared with `node -e 0` and one round trip. */
async function starts(): Promise<void> {
  const ratios: number[] = []
  const times: number[] = []
  const node = async (): Promise<void> => {
    await ended(['-e', '0'])
    await client.get('a')
  }
  const run = (): Promise<void> => ended([sottoProgram, 'run', '-e', 'KEY=a', '--', 'true'])
  await node()
  await run()
  for (let round = 0; round < ROUNDS; round++) {
    const took = new Map<() => Promise<void>, number>()
    for (const each of round % 2 === 0 ? [node, run] : [run, node]) {
      const began = performance.now()
      await each()
      took.set(each, performance.now() - began)
    }
    ratios.push((took.get(run) ?? 0) / (took.get(node) ?? 0))
    times.push(took.get(run) ?? 0)
  }
  printSpread('sotto run -- true, to node -e 0 and a round trip', ratios, '')
  printSpread('sotto run -- true', times, 'ms')
}

/** From before an activation is sent until the program that was started for it has said its value. */
async function changes(): Promise<void> {
  const words = ['--watch', '-e', 'KEY=a', '--', 'sh', '-c', 'echo "has $KEY ."; exec sleep 600']
  await using program = new TestProcess(process.execPath, [sottoProgram, 'run', ...words], { env })
  await program.line(/^has 1 \./)
  const times: number[] = []
  for (let at = 2; at < 2 + CHANGES; at++) {
    const version = await client.put('a', Buffer.from(String(at)))
    const began = performance.now()
    await client.activate('a', version)
    await program.line(new RegExp(`^has ${at} \\.`))
    times.push(performance.now() - began)
  }
  await program.stop()
  printSpread('from an activation to a program with it', times, 'ms')
}

async function ended(args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, args, { stdio: 'ignore', env })
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}`)
}
