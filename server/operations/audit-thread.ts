/** The thread that looks for a page of the audit log, answers with it, and ends. */
import { pageOf } from '../../audit/page.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import { matches } from '../access.ts'
import { answerQuestion } from '../platform/thread.ts'

/** What the thread is started with. */
export interface Asked {
  /** The folder of the audit log. */
  readonly directory: string
  readonly request: OperationRequest<'audit-query'>
}

async function page({ directory, request }: Asked): Promise<OperationResponse<'audit-query'>> {
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

await answerQuestion(page)
