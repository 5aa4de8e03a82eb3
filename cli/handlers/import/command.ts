/** `sotto import setec`: what was typed, what is shown meanwhile, and how it ends. */
import { SottoError } from '../../../client/api/errors.ts'
import { variableIn } from '../../../client/api/given.ts'
import type { Client } from '../../../client/client.ts'
import type { Invocation } from '../../invocation.ts'
import { Halt, Progress } from '../../terminal/progress.ts'
import { type Report, runImport } from './importer.ts'
import { asJson, asTable, countOf, wordsFor } from './report.ts'
import { Side } from './side.ts'

/**
 * Brings every secret over and prints what became of each. Resolves with the exit code where it was asked to stop. After the
 * report it throws `import_incomplete` where a secret failed, and what ended the run early.
 */
export async function importSetec(invocation: Invocation): Promise<number | void> {
  const { io, json } = invocation
  const dryRun = invocation.on('dry-run')
  const { source, destination } = clients(invocation)
  const progress = new Progress(io, io.stderr.isTTY && !json)
  using halt = new Halt(invocation)
  try {
    const report = await runImport({
      source: new Side('source', source, halt),
      destination: new Side('destination', destination, halt),
      only: invocation.text('only') ?? '*',
      except: invocation.texts('except'),
      dryRun,
      halted: () => halt.asked,
      progress: (step, done, of) => progress.show(`${step} ${done} of ${of} secrets`, done >= of),
    })
    await progress.end()
    const about = { source, destination, dryRun, halted: halt.asked }
    await invocation.print(asJson(report, about), (room) => asTable(report, room))
    if (!json) await io.stderr.write(wordsFor(report, about))
    if (halt.asked) return halt.exit
    throwUnlessWhole(report)
  } finally {
    await progress.end()
    source.close()
    destination.close()
  }
}

function throwUnlessWhole(report: Report): void {
  if (report.ended !== undefined) throw report.ended
  const failed = countOf(report, 'failed')
  if (failed === 0) return
  throw new SottoError(
    'import_incomplete',
    `${failed} of ${report.results.length} secrets failed; the table says why`,
    { hint: 'Fix that and run the same command again: it continues where it stopped.' },
  )
}

function clients(invocation: Invocation): { source: Client; destination: Client } {
  const from = invocation.text('from') ?? variableIn(invocation.env, ['SETEC_SERVER'])?.value
  if (from === undefined) {
    const hint = 'Use --from URL, or set SETEC_SERVER.'
    throw new SottoError('usage', 'No setec server is named', { hint })
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
