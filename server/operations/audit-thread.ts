/** The thread that looks for a page of the audit log, says what it found, and ends. */
import { parentPort, workerData } from 'node:worker_threads'
import { pageOf } from '../../audit/page.ts'
import { asSottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import { matches } from '../access.ts'

/** What the thread is started with. */
export interface Asked {
  /** The folder of the audit log. */
  readonly directory: string
  readonly request: OperationRequest<'audit-query'>
}

/** Its only word. */
export type Answer =
  | { readonly page: OperationResponse<'audit-query'> }
  | { readonly error: { readonly message: string; readonly hint: string | undefined } }

async function answer({ directory, request }: Asked): Promise<Answer> {
  try {
    return { page: await page(directory, request) }
  } catch (error) {
    const { message, hint } = asSottoError(error)
    return { error: { message, hint } }
  }
}

async function page(
  directory: string,
  request: Asked['request'],
): Promise<OperationResponse<'audit-query'>> {
  const { Secret, Principal, Action, Result, Since, Until } = request
  const { Newest = false, After = 0, Before, Limit = 1000 } = request
  const { records, after, before, damage } = await pageOf(directory, {
    filter: {
      ...(Secret !== undefined && { secretMatches: (name: string) => matches(Secret, name) }),
      ...(Principal !== undefined && { principal: Principal }),
      ...(Action !== undefined && { action: Action }),
      ...(Result !== undefined && { result: Result }),
      ...(Since !== undefined && { since: new Date(Since) }),
      ...(Until !== undefined && { until: new Date(Until) }),
    },
    newest: Newest,
    after: After,
    ...(Before !== undefined && { before: Before }),
    limit: Limit,
  })
  return {
    Records: records.map((record) => ({ ...record })),
    ...(after !== undefined && { After: after }),
    ...(before !== undefined && { Before: before }),
    ...(damage !== undefined && { Damage: damage }),
  }
}

if (!parentPort) throw new Error('AuditQueries are answered in a thread')
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin
parentPort.postMessage(await answer(workerData as Asked))
