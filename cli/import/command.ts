/** `sotto import setec`: what was typed, what is shown meanwhile, and how it ends. */
import { SottoError } from '../../client/api/errors.ts'
import type { Client } from '../../client/client.ts'
import type { Invocation } from '../invocation.ts'
import type { Io } from '../io.ts'
import { type Import, type Report, runImport } from './importer.ts'
import { asJson, asTable, countOf, wordsFor } from './report.ts'
import { Side } from './side.ts'

/** Milliseconds between two changes of what a person sees. */
const PROGRESS_MS = 100

/** A person broke off, a second time where the first was not enough. */
class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

/**
 * Brings every secret over and prints what became of each. Resolves with 130 after Ctrl-C. Throws
 * `import_incomplete` behind the report where a secret failed, and what ended the run before its
 * time.
 */
export async function importSetec(invocation: Invocation): Promise<number | void> {
  const { io, json } = invocation
  const dryRun = invocation.on('dry-run')
  const { source, destination } = clients(invocation)
  const progress = new Progress(io, io.stderr.isTTY && !json)
  const breakOff = new AbortController()
  const pace = { signal: breakOff.signal }
  let halted = false
  using _ = io.onInterrupt(() => {
    if (halted) breakOff.abort(new Interrupted('Interrupted'))
    else if (!json) void io.stderr.write(haltedWords).catch(() => {})
    halted = true
  })
  try {
    const report = await runImport({
      source: new Side('source', source, pace),
      destination: new Side('destination', destination, pace),
      only: invocation.text('only') ?? '*',
      dryRun,
      halted: () => halted,
      progress: (...step) => progress.show(...step),
    })
    await progress.end()
    await invocation.print(asJson(report, { source, destination, dryRun, halted }), () =>
      asTable(report),
    )
    if (!json) {
      await io.stderr.write(wordsFor(report, { source, destination, dryRun, halted }))
    }
    if (halted) return 130
    throwUnlessWhole(report)
  } finally {
    await progress.end()
    source.close()
    destination.close()
  }
}

const haltedWords =
  '\nFinishing the secrets at hand; Ctrl-C once more breaks off at once, and a later run mends that.\n'

function throwUnlessWhole(report: Report): void {
  if (report.ended !== undefined) throw report.ended
  const failed = countOf(report, 'failed')
  if (failed === 0) return
  throw new SottoError(
    'import_incomplete',
    `${failed} of ${report.results.length} secrets failed; the table says why`,
    { hint: 'Mend that and run the same command again: it goes on where it is to.' },
  )
}

function clients(invocation: Invocation): { source: Client; destination: Client } {
  const from = invocation.text('from') || invocation.env['SETEC_SERVER']
  if (!from) {
    throw new SottoError('usage', 'No setec server is named', {
      hint: 'Use --from URL, or set SETEC_SERVER.',
    })
  }
  const destination = invocation.client({ keepAlive: true })
  const localAddress = invocation.text('from-local-address')
  const source = invocation.client({
    server: from,
    keepAlive: true,
    ...(localAddress !== undefined && { localAddress }),
  })
  if (source.server !== destination.server) return { source, destination }
  throw new SottoError('usage', `Cannot import from ${source.server} into itself`, {
    hint: 'Name the Sotto server by -s URL or SOTTO_SERVER, and the setec server by --from URL.',
  })
}

/** One line on the terminal that changes. */
class Progress {
  readonly #io: Io
  readonly #shown: boolean
  #width = 0
  #last = 0

  constructor(io: Io, shown: boolean) {
    this.#io = io
    this.#shown = shown
  }

  show(...[step, done, of]: Parameters<Import['progress']>): void {
    const now = this.#io.now()
    if (!this.#shown || (done < of && now - this.#last < PROGRESS_MS)) return
    this.#last = now
    void this.#write(`${step} ${done} of ${of} secrets`).catch(() => {})
  }

  async end(): Promise<void> {
    if (this.#width === 0) return
    await this.#write('')
    this.#width = 0
  }

  async #write(text: string): Promise<void> {
    const line = `\r${text.padEnd(this.#width)}${text === '' ? '\r' : ''}`
    this.#width = text.length
    await this.#io.stderr.write(line)
  }
}
