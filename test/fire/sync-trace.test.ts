import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { temporaryDirectory } from '../support/sotto.ts'
import { History } from './support-crash/history.ts'
import { Judge } from './support-crash/judge.ts'
import { Ledger } from './support-crash/ledger.ts'
import { Load, tailnet } from './support-crash/load.ts'
import { Random } from './support-crash/random.ts'
import { ServerProcess } from './support-crash/server.ts'
import {
  checkAnswers,
  checkCheckpoints,
  checkMaking,
  checkSegments,
  type Recorded,
  type Traced,
} from './support-crash/sync-order.ts'
import { parseTrace, type SystemCall, traceTo } from './support-crash/trace.ts'

/** Answers after which the traced server is killed. */
const ANSWERS = 800

/** What was traced: a first start under load that ends in a kill, and the start after it. */
interface Traces {
  readonly first: Traced
  readonly second: Traced
  readonly requests: readonly Recorded[]
}

let traces: Traces

beforeAll(async () => {
  using directory = temporaryDirectory()
  const state = join(directory.path, 'state')
  const file = join(directory.path, 'tailnet.json')
  writeFileSync(file, JSON.stringify(tailnet))
  const run = async (name: string, use: (server: ServerProcess, port: number) => Promise<void>) => {
    const trace = join(directory.path, name)
    const server = new ServerProcess({ state, tailnet: file, under: traceTo(trace) })
    await use(server, await server.demandReady())
    await server.exited
    return { state, calls: parseTrace(readFileSync(trace, 'utf8')) }
  }
  const history = new History()
  const first = await run('first', async (server, port) => {
    const load = new Load(port, history, new Random(4), 3)
    load.onAnswer = (answers) => {
      if (answers === ANSWERS) process.kill(server.serverPid, 'SIGKILL')
    }
    await load.run()
  })
  const ledger = new Ledger(state)
  const requests: Recorded[] = []
  const second = await run('second', async (server) => {
    const evidence = await ledger.read()
    new Judge().judge(history.calls, evidence)
    for (const { record, hash } of evidence.records) {
      if (record.kind !== 'access' && record.kind !== 'change') continue
      requests.push({ request: record.request, kind: record.kind, hash })
    }
    process.kill(server.serverPid, 'SIGTERM')
  })
  traces = { first, second, requests }
})

describe('the order of system calls', () => {
  test('an answer leaves after its record is durable, and after its change is synced', () => {
    const { problems, ...counts } = checkAnswers(traces.first, traces.requests)
    console.log(counts)
    expect(problems).toEqual([])
    expect(counts.answers).toBeGreaterThan(ANSWERS / 2)
    expect(counts.changes).toBeGreaterThan(ANSWERS / 10)
    // How many depends on the machine: some left while another record was being written.
    expect(counts.interleaved).toBeGreaterThan(0)
  })

  test('a segment is opened for durable writes, and its name and what is before it are synced', () => {
    expect(checkSegments(traces.first)).toEqual([])
    expect(checkSegments(traces.second)).toEqual([])
  })

  test('the log of the store is given up after its pages are synced', () => {
    for (const trace of [traces.first, traces.second]) {
      expect(checkCheckpoints(trace).problems).toEqual([])
    }
    expect(checkCheckpoints(traces.second).pages).toBeGreaterThan(0)
  })

  test('key, store and log are durable before the first start listens', () => {
    expect(checkMaking(traces.first)).toEqual([])
  })
})

describe('a trace of a server that does not sync is told', () => {
  const changed = (
    trace: Traced,
    change: (call: SystemCall) => SystemCall | undefined,
  ): Traced => ({
    ...trace,
    calls: trace.calls.flatMap((call) => change(call) ?? []),
  })
  const isSync = ({ name }: SystemCall): boolean => /^fd?a?t?a?sync$/.test(name)

  test('no O_DSYNC', () => {
    const trace = changed(traces.first, (call) => ({
      ...call,
      args: call.args.replace('|O_DSYNC', ''),
    }))
    expect(checkSegments(trace)).toEqual([
      expect.stringMatching(/^\d+\.jsonl was opened without O_DSYNC$/),
    ])
  })

  test('no sync of the store’s log', () => {
    const trace = changed(traces.first, (call) =>
      isSync(call) && call.target?.endsWith('sotto.db-wal') ? undefined : call,
    )
    const { problems, changes } = checkAnswers(trace, traces.requests)
    expect(problems).toHaveLength(changes)
    expect(problems[0]).toContain('answered before its change was synced')
  })

  test('records written late', () => {
    const trace = changed(traces.first, (call) =>
      call.target?.endsWith('.jsonl') ? { ...call, ended: call.ended + 100_000 } : call,
    )
    const { problems, answers, changes } = checkAnswers(trace, traces.requests)
    expect(problems).toHaveLength(answers + changes)
  })

  test('no sync of the folder', () => {
    const trace = changed(traces.second, (call) =>
      isSync(call) && call.target?.endsWith('/audit') ? undefined : call,
    )
    expect(checkSegments(trace)).toEqual([expect.stringContaining('the name of')])
  })

  test('no sync of the store’s file', () => {
    const trace = changed(traces.second, (call) =>
      isSync(call) && call.target?.endsWith('sotto.db') ? undefined : call,
    )
    expect(checkCheckpoints(trace).problems).not.toEqual([])
  })
})
