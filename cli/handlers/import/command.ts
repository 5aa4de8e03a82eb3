/** `sotto import setec`: what was typed, what is shown meanwhile, and how it ends. */
import { SottoError } from '../../../client/api/errors.ts'
import type { Client } from '../../../client/client.ts'
import { Interrupted } from '../../terminal/interrupted.ts'
import type { Invocation } from '../../invocation.ts'
import { Progress } from '../../terminal/progress.ts'
import { type Report, runImport } from './importer.ts'
import { asJson, asTable, countOf, wordsFor } from './report.ts'
import { Side } from './side.ts'

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
      progress: (step, done, of) => progress.show(`${step} ${done} of ${of} secrets`, done >= of),
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
