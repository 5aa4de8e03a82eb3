/** The unit of docs/deploy as systemd itself judges it, and the program that it starts. */
import { spawnSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { describeWith, requirePeer } from '../support/peers.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const top = new URL('../..', import.meta.url).pathname
const unit = readFileSync(join(top, 'docs/deploy/sotto.service'), 'utf8')

/** What the container file does not copy. */
const ignored = new Set(['.git', '.peers', 'dist', 'node_modules', 'test'])

/** What systemd calls exposed, in tenths: the port, the network and the tailnet's addresses are meant. */
const MOST_EXPOSED = 16

describeWith(['systemd-analyze'], 'the systemd unit', () => {
  const analyze = (...args: string[]) => {
    using scratch = temporaryDirectory()
    const path = join(scratch.path, 'sotto.service')
    // Only the program is not where the unit looks for it.
    writeFileSync(path, unit.replace('/usr/local/bin/sotto', '/bin/true'))
    const { status, stdout, stderr } = spawnSync(requirePeer('systemd-analyze'), [...args, path], {
      encoding: 'utf8',
    })
    return { status, text: stdout + stderr }
  }

  test('is one that systemd takes without a word', () => {
    expect(analyze('verify')).toEqual({ status: 0, text: '' })
  })

  test('leaves little exposed', () => {
    const args = ['security', '--offline=yes', '--no-pager', `--threshold=${MOST_EXPOSED}`]
    const { status, text } = analyze(...args)
    expect(text).toMatch(/Overall exposure level for sotto\.service: 1\.\d OK/)
    expect(status, text).toBe(0)
  })
})

test('the program that is built as the container file builds it runs', () => {
  using scratch = temporaryDirectory()
  // A copy, since another test may build here at the same time.
  for (const name of readdirSync(top).filter((each) => !ignored.has(each))) {
    cpSync(join(top, name), join(scratch.path, name), {
      recursive: true,
      filter: (path) => !path.endsWith('/node_modules'),
    })
  }
  symlinkSync(join(top, 'node_modules'), join(scratch.path, 'node_modules'))
  const built = spawnSync('npm', ['run', '-s', 'build'], { cwd: scratch.path, encoding: 'utf8' })
  expect(built.status, built.stderr).toBe(0)
  const main = join(scratch.path, 'dist/cli/main.js')
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' })
  expect(run('version').stdout).toMatch(/^sotto \d+\.\d+\.\d+\n$/)
  expect(run('help', 'doctor').stdout).toContain('--tailscaled-socket')
  expect(run('init', '--state-dir', join(scratch.path, 'state')).status).toBe(0)
})
