/**
 * Follows the secret NAME of the server at URL, with its cache in the file CACHE, and prints what the store reports and
 * holds, for tests: `follow.ts URL NAME CACHE`. Its time goes twice as fast, so that it waits for less than a program does,
 * and no less than from one heartbeat of the server to the next.
 */
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from '../../../client/client.ts'
import { holdingTimers } from '../../../client/platform/timers.ts'
import { fileCache } from '../../../client/store/file-cache.ts'
import { openStore } from '../../../client/store/store.ts'

const SPEED = 2

const [server = '', name = '', cache = ''] = process.argv.slice(2)
let held = (): string => ''
const store = await openStore({
  // Longer than a stream that is held back is waited for.
  server: new Client({ server, timeoutMs: 11_000 }),
  secrets: [name],
  cache: fileCache(cache),
  timers: {
    now: () => holdingTimers.now() * SPEED,
    after: (ms, act) => holdingTimers.after(ms / SPEED, act),
  },
  random: () => 0.05,
  report: (event) => console.log(event.kind, 'error' in event ? event.error?.code : held()),
})
held = () => store.secret(name).text()
while (!existsSync(cache)) await sleep(10)
console.log('holds', held())
