/** U16: localhost is 127.0.0.1 and ::1, for a development server and for those who call it. */
import { networkInterfaces } from 'node:os'
import { expect, test } from 'vitest'
import { runSotto, startServerProcess } from '../support/sotto.ts'
import { inProcess } from './play.ts'

const interfaces = Object.values(networkInterfaces()).flat()
const hasNone = !interfaces.some((each) => each?.address === '::1')

test.skipIf(hasNone).each([
  ['[::1]:0', 'http://[::1]:'],
  ['[::ffff:127.0.0.1]:0', 'http://[::ffff:127.0.0.1]:'],
])('U16: sotto server --dev --listen %s serves those who call it there', async (listen, url) => {
  const server = await startServerProcess(['--dev', '--listen', listen])
  const env = { SOTTO_SERVER: server.url }
  const put = await inProcess(['put', 'a'], env, Buffer.from('x'))
  const who = await inProcess(['whoami'], env)
  await server.stop()
  expect(server.url).toBe(`${url}${server.port}`)
  expect(put).toMatchObject({ exit: '0' })
  expect(who.stdout).toMatch(/^User: +developer@localhost$/m)
  expect(server.output().stderr).toContain('calls from 127.0.0.1 or ::1 may do everything')
})

test.skipIf(hasNone)(
  'U16: a name is called at an address of the family of --local-address',
  async () => {
    // As where /etc/hosts has ::1 first.
    const hook = `
    import dns from 'node:dns'
    dns.lookup = (name, { all, family }, done) => {
      const known = [{ address: '::1', family: 6 }, { address: '127.0.0.1', family: 4 }]
      const found = known.filter((each) => !family || each.family === family)
      all ? done(null, found) : done(null, found[0].address, found[0].family)
    }`
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}` }
    const server = await startServerProcess(['--dev', '--listen', '127.0.0.1:0'])
    const args = ['-s', `http://localhost:${server.port}`, '--local-address', '127.0.0.1']
    const called = await runSotto(['list', ...args], { env })
    await server.stop()
    expect(called).toMatchObject({ code: 0 })
  },
)
