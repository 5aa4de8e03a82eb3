/** The thread that looks for a page of the audit log, answers with it, and ends. */
import type { TakenBackIn } from '../../audit/outcomes.ts'
import { pageBounds, pageOf } from '../../audit/page.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import { parseMoment } from '../../client/api/times.ts'
import { matcherOf } from '../access.ts'
import { answerQuestion } from '../platform/thread.ts'

/** What the thread is started with. */
export interface Asked {
  /** The folder of the audit log. */
  readonly directory: string
  readonly request: OperationRequest<'audit-query'>
  /** What earlier questions found. */
  readonly takenBack: TakenBackIn
}

/** What it answers. */
export interface Found {
  readonly page: OperationResponse<'audit-query'>
  readonly takenBack: TakenBackIn
}

async function page({ directory, request, takenBack }: Asked): Promise<Found> {
  const { Secret, Principal, Action, Result, Since, Until } = request
  const since = parseMoment(Since ?? '')
  const until = parseMoment(Until ?? '')
  const { Newest = false, After = 0, Before, Limit = 1000 } = request
  const question = {
    filter: {
      ...(Secret !== undefined && { secretMatches: matcherOf([Secret]) }),
      ...(Principal !== undefined && { principal: Principal }),
      ...(Action !== undefined && { action: Action }),
      ...(Result !== undefined && { outcome: Result }),
      ...(since && { since }),
      ...(until && { until }),
    },
    newest: Newest,
    after: After,
    ...(Before !== undefined && { before: Before }),
    limit: Limit,
  }
  const { records, looked, after, before, damage } = await pageOf(directory, question, {
    ...pageBounds,
    takenBack,
  })
  const answer = {
    Records: records.map((record) => ({ ...record })),
    Looked: looked,
    ...(after !== undefined && { After: after }),
    ...(before !== undefined && { Before: before }),
    ...(damage !== undefined && { Damage: damage }),
  }
  return { page: answer, takenBack }
}

await answerQuestion(page)
