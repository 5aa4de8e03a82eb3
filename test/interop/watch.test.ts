/** A Go program with setec's client and docs/guides/examples/watch.go hears of a rotation, whatever happens. */
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Following, followerTests } from '../client/follower-suite.ts'
import { filesIn } from '../support/console.ts'
import { describeWith, requirePeer } from '../support/peers.ts'
import { run, TestProcess } from '../support/process.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const top = new URL('../..', import.meta.url).pathname
const environment = { ...process.env, GOFLAGS: '-mod=readonly' }

describeWith(['go'], "a program with setec's client hears of a rotation", () => {
  const scratch = temporaryDirectory()
  const program = join(scratch.path, 'web')

  beforeAll(async () => {
    const page = readFileSync(join(top, 'docs/guides/use-it.md'), 'utf8')
    writeFileSync(join(scratch.path, 'main.go'), filesIn(page).get('main.go') ?? '')
    // It waits for less time here than a program does.
    const source = readFileSync(join(top, 'docs/guides/examples/watch.go'), 'utf8')
    const hasty = source
      .replace('"Wait": 30', '"Wait": 2')
      .replace('40*time.Second', '7*time.Second')
      .replace('5*time.Minute', 'time.Second')
      .replace('time.Minute', 'time.Second')
    if (/30|40\*|Minute/.test(hasty)) throw new Error('watch.go waits in other words')
    writeFileSync(join(scratch.path, 'watch.go'), hasty)
    for (const file of ['go.mod', 'go.sum']) {
      copyFileSync(join(top, 'test/interop/go', file), join(scratch.path, file))
    }
    const args = ['build', '-o', program, 'main.go', 'watch.go']
    const { code, stderr } = await run(requirePeer('go'), args, { cwd: scratch.path, environment })
    if (code !== 0) throw new Error(stderr)
  }, 300_000)
  afterAll(() => scratch[Symbol.dispose]())

  /** Starts it where its cache is `cache.json`. */
  const start = (url: string, cache: string): TestProcess => {
    const cwd = dirname(cache)
    mkdirSync(cwd, { recursive: true })
    return new TestProcess(program, [], { cwd, env: { SOTTO_SERVER: url } })
  }
  const prints = (value: string): RegExp => new RegExp(`^${value}$`)
  const follower = { start, holds: prints, changed: prints, denied: /access denied/ }

  followerTests(follower)

  test('and asks a server that is gone, or takes no connection, once a second at most', async () => {
    await using following = await Following.start(follower)
    await (await following.follow()).kill()
    const times: number[] = []
    const deaf = createServer((socket) => {
      times.push(performance.now())
      socket.destroy()
      deaf.emit('asked')
    }).listen(0, '127.0.0.1')
    await once(deaf, 'listening')
    const { port } = deaf.address() as AddressInfo
    const asking = await following.follow('one', `http://127.0.0.1:${port}`)
    while (times.length < 5) await once(deaf, 'asked')
    await asking.kill()
    deaf.close()
    // A poll and a question at the start, and then questions.
    expect((times[4] ?? 0) - (times[1] ?? 0)).toBeGreaterThan(3 * 990)
  }, 300_000)

  test('its own tests hold', async () => {
    const cwd = join(top, 'test/interop/go')
    const args = ['test', '-count=1', './watch/']
    const { code, stdout, stderr } = await run(requirePeer('go'), args, { cwd, environment })
    expect(code, stdout + stderr).toBe(0)
  }, 300_000)
})
