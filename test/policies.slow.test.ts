/** V1: what the documents give operators is what the runbook has them do. */
import { describe, expect, test } from 'vitest'
import type { Rule } from '../client/api/types.ts'
import { inProcess } from './cli/in-process.ts'
import { documents } from './support/documents.ts'
import { type Operator, operators, runbookCommands } from './support/runbook.ts'
import { startService } from './support/service.ts'
import { temporaryDirectory } from './support/sotto.ts'

const OWN = 'prod/web/key'
const commands = runbookCommands(OWN)

const copied = ({ action, secret }: Rule) => ({ action: [...action], secret: [...secret] })

/** What the runbook's commands answer to a caller with these rules: those that are refused. */
async function refused(rules: readonly Rule[], given = commands): Promise<string[]> {
  await using service = await serving()
  service.policy({
    nodes: {
      '127.0.0.1': { name: 'desk', user: 'operator@example.com', rules: rules.map(copied) },
    },
  })
  const denied: string[] = []
  for (const args of given) {
    const sure = args[0] === 'delete-version' ? ['--yes'] : []
    const env = { SOTTO_SERVER: service.url }
    const answered = await inProcess([...args, ...sure], env, Buffer.from('two'))
    expect(answered.exit, `${args.join(' ')}: ${answered.stderr}`).toMatch(/^[04]$/)
    if (answered.exit === '4') denied.push(args.join(' '))
  }
  return denied
}

/** A server with a secret and a place for backups. */
async function serving() {
  const target = temporaryDirectory()
  const place = { kind: 'directory' as const, path: target.path }
  const rehearsal = { everyMs: 3_600_000, directory: undefined }
  const service = await startService({}, { backups: { place, keep: undefined, rehearsal } })
  await service.client().put(OWN, Buffer.from('one'))
  await service.client().operate('backup-create', {})
  return {
    ...service,
    [Symbol.asyncDispose]: async () => {
      await service[Symbol.asyncDispose]()
      target[Symbol.dispose]()
    },
  }
}

describe('V1: the runbook', () => {
  test('has operators ask the server for these', () => {
    expect(commands.map((words) => words.join(' '))).toEqual(
      expect.arrayContaining([
        'audit tail',
        `audit query --secret ${OWN}`,
        'backup status',
        'backup create',
        'branch',
        'job run rehearsal',
        'job run rotation',
        'key status',
        `put ${OWN}`,
        `activate ${OWN} 2`,
        `delete-version ${OWN} 1`,
      ]),
    )
  })

  test('is granted by the policies that a set-up begins with', () => {
    expect(operators.map(({ sample, who }) => `${sample} ${who}`)).toEqual([
      'policy-headscale.hujson alice@',
      'policy-tailscale.hujson autogroup:admin',
      'docs/guides/policy.md, 4. group:operators',
    ])
    for (const page of ['tailnet', 'headscale']) {
      const { text = '' } = documents.find(({ name }) => name === `docs/guides/${page}.md`) ?? {}
      expect(text).toMatch(/\(\.\.\/deploy\/policy-[a-z]+\.hujson\)/)
    }
  })

  test.each(operators)('$sample: $who may do all of it', async ({ rules }) => {
    expect(await refused(rules)).toEqual([])
  })

  test('is not granted where one of the actions is left out', async () => {
    const [{ rules }] = operators as [Operator]
    for (const [left, command] of [
      ['backup', 'backup status'],
      ['keys', 'key status'],
      ['audit', 'audit tail'],
    ] as const) {
      const fewer = rules.map(({ action, secret }) => ({
        action: action.filter((each) => each !== left),
        secret,
      }))
      expect(await refused(fewer, [command.split(' ')]), left).toEqual([command])
    }
  })
})
