import { Readable } from 'node:stream'
import { expect, test, vi } from 'vitest'
import { run, TestProcess } from './process.ts'

const node = process.execPath

test('a line is found on either stream, whole, and also when it was printed before', async () => {
  const script =
    'process.stdout.write("at 127.0.0.1:4"); setTimeout(() => console.error("\\nup"), 50); setTimeout(() => console.log("321"), 100)'
  const started = new TestProcess(node, ['-e', script])
  expect((await started.line(/^at \S+:(\d+)$/))[1]).toBe('4321')
  expect((await started.line(/up/))[0]).toBe('up')
  expect(await started.exited).toBe(0)
  expect(await started.firstLine()).toBe('at 127.0.0.1:4321')
  expect([started.stdout, started.stderr]).toEqual(['at 127.0.0.1:4321\n', '\nup\n'])
})

test('a program that ends before its line says what it printed', async () => {
  const started = new TestProcess(node, ['-e', 'console.error("no port"); process.exit(3)'])
  await expect(started.firstLine()).rejects.toThrow(/ended with 3:\nno port/)
})

test('a program that is not there is an error', async () => {
  const started = new TestProcess('/none', [])
  await expect(started.firstLine()).rejects.toThrow('ENOENT')
  await expect(started.exited).rejects.toThrow('ENOENT')
  expect(() => started.pid).toThrow('did not start')
})

test('the environment has no settings of ours, and what is given', async () => {
  vi.stubEnv('SOTTO_SERVER', 'http://elsewhere')
  vi.stubEnv('SETEC_SERVER', 'http://elsewhere')
  const script =
    'console.log(Object.keys(process.env).filter((n) => /^S(ETEC|OTTO)_/.test(n)).join())'
  expect((await run(node, ['-e', script], { env: { SOTTO_A: '1' } })).stdout).toBe('SOTTO_A\n')
  vi.unstubAllEnvs()
})

test('input is read, whole or as it comes', async () => {
  expect(await run('cat', [], { input: 'text' })).toMatchObject({ code: 0, stdout: 'text' })
  expect((await run('cat', [], { input: Readable.from(['a', 'b']) })).stdout).toBe('ab')
  expect((await run('cat', [])).stdout).toBe('')
})

test('a process is frozen, continues, and is stopped or killed', async () => {
  const script =
    'process.on("SIGTERM", () => process.exit(7)); console.log(); setInterval(() => {}, 1e6)'
  const started = new TestProcess(node, ['-e', script])
  await started.firstLine()
  await started.freeze()
  expect(started.isRunning).toBe(true)
  started.signal('SIGCONT')
  expect(await started.stop()).toBe(7)
  const other = new TestProcess(node, ['-e', script])
  await other.kill()
  expect([await other.exited, other.child.signalCode, other.isRunning]).toEqual([
    null,
    'SIGKILL',
    false,
  ])
})
