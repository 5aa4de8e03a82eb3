/** Audit, at a server: asks for its audit log page by page. */
import { decodeLine, isKnown } from '../../audit/line.ts'
import type { Judged } from '../../audit/outcomes.ts'
import type { Filter } from '../../audit/query.ts'
import { SottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import type { Invocation } from '../invocation.ts'

/** Which records are asked for: those that match everything that is given; `secret` is a pattern over names. */
export type Question = Omit<Filter, 'secretMatches' | 'kinds'> & { readonly secret?: string }

/** Records of a page, of kinds that this release knows. */
export interface Answered {
  readonly records: readonly Judged[]
  /** How many were looked at. */
  readonly looked: number
  /** What is wrong with the part of the log that was read. */
  readonly damage?: string
}

type Page = OperationResponse<'audit-query'>

/** Records that a page may have. */
const PAGE = 1000

/** Every record that is asked for, oldest first. */
export async function* pagesAsked(
  invocation: Invocation,
  question: Question,
): AsyncGenerator<Answered> {
  const client = invocation.client()
  let after: number | undefined = 0
  while (after !== undefined) {
    const page: Page = await client.operate('audit-query', {
      ...wireOf(question),
      After: after,
      Limit: PAGE,
    })
    yield answered(page)
    after = page.After
  }
}

/** The newest `count` of the records that are asked for, in order. */
export async function newestAsked(
  invocation: Invocation,
  question: Question,
  count: number,
): Promise<Answered> {
  const client = invocation.client()
  let records: readonly Judged[] = []
  let looked = 0
  let damage: string | undefined
  let before: number | undefined
  do {
    const page: Page = await client.operate('audit-query', {
      ...wireOf(question),
      Newest: true,
      Limit: Math.min(PAGE, count - records.length),
      ...(before !== undefined && { Before: before }),
    })
    const found = answered(page)
    records = [...found.records, ...records]
    looked += found.looked
    damage ??= found.damage
    before = page.Before
  } while (before !== undefined && records.length < count)
  return { records, looked, ...(damage !== undefined && { damage }) }
}

/** Throws `bad_answer` for what is not a record. */
function answered({ Records, Looked = 0, Damage }: Page): Answered {
  const records = Records.map((each) => {
    const record = decodeLine(Buffer.from(JSON.stringify(each)))
    if (record !== undefined) return record
    const message = 'The server answered with something that is not an audit record'
    throw new SottoError('bad_answer', message)
  })
  const known = records.filter(isKnown)
  return { records: known, looked: Looked, ...(Damage !== undefined && { damage: Damage }) }
}

function wireOf(question: Question): OperationRequest<'audit-query'> {
  const { secret, principal, action, outcome, since, until } = question
  return {
    ...(secret !== undefined && { Secret: secret }),
    ...(principal !== undefined && { Principal: principal }),
    ...(action !== undefined && { Action: action }),
    ...(outcome !== undefined && { Result: outcome }),
    ...(since !== undefined && { Since: since.toISOString() }),
    ...(until !== undefined && { Until: until.toISOString() }),
  }
}
