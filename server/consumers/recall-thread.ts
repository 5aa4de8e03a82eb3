/** The thread that looks for releases in the audit log. */
import { walk } from '../../audit/walk.ts'
import { answerQuestion, type Asker, yieldToOthers } from '../platform/thread.ts'
import type { Recalled, RecallQuestion, Release } from './recall.ts'

/** Releases that are handed over at once, and that are kept back: a later record may take one back. */
const BATCH = 2000
const KEPT_BACK = 1000

async function releases(
  { directory, after, until }: RecallQuestion,
  asker: Asker,
): Promise<Recalled> {
  yieldToOthers()
  let found: (Release & { readonly id: number })[] = []
  let next = after + 1
  let isWhole = true
  for await (const step of walk(directory, {
    from: after + 1,
    lenient: true,
    signal: asker.signal,
  })) {
    if ('damage' in step) isWhole = false
    if (!('record' in step)) continue
    const { record } = step
    const { id } = record
    if (id > until) break
    if (id < next) continue
    // Numbers that were skipped were given to records that nobody was answered on.
    if (next === 1 && id > 1) isWhole = false
    next = id + 1
    if (record.kind === 'abandoned') found = found.filter((each) => each.id !== record.of)
    if (record.kind !== 'access' || record.action !== 'get' || record.result !== 'ok') continue
    const {
      principal,
      secret: name,
      secretVersion: version,
      operation,
      node,
      client,
      held,
    } = record
    // What the server itself uses leaves for nobody.
    if (operation !== undefined && operation !== 'get-many') continue
    if (name === undefined || version === undefined || principal.ip === '') continue
    const claims = { ...(client !== undefined && { client }), ...(held !== undefined && { held }) }
    found.push({ id, principal, name, version, ...(node !== undefined && { node }), ...claims })
    if (found.length < BATCH) continue
    await asker.ask(found.slice(0, -KEPT_BACK))
    found = found.slice(-KEPT_BACK)
  }
  if (found.length > 0) await asker.ask(found)
  return { whole: isWhole }
}

await answerQuestion(releases)
