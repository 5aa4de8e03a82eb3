/** Threads load what is compiled already: stripping its types would be most of the time of a server's start. */
import { syncBuiltinESMExports } from 'node:module'
import threads, { type WorkerOptions } from 'node:worker_threads'

const cache = new URL('../node_modules/.cache/threads', import.meta.url).pathname

threads.Worker = class extends threads.Worker {
  constructor(script: string | URL, options: WorkerOptions = {}) {
    const { env } = options
    // Those of the product are given no environment.
    const own = typeof env === 'object' && { env: { ...env, NODE_COMPILE_CACHE: cache } }
    super(script, { ...options, ...own })
  }
}
syncBuiltinESMExports()
