/**
 * Loaded into a server before its program (with --expose-gc): on SIGUSR2 it writes what memory is
 * still in use after a collection, in bytes, to the file that TELL_MEMORY_TO names.
 */
import { renameSync, writeFileSync } from 'node:fs'

const path = process.env['TELL_MEMORY_TO'] ?? ''

process.on('SIGUSR2', () => {
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  writeFileSync(`${path}.new`, String(heapUsed + external))
  renameSync(`${path}.new`, path)
})
