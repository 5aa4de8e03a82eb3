/** docs/reference/metrics.md: its table is what a server has; queries and alerts speak of what is in it. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Registry } from '../../server/metrics/registry.ts'
import { startService } from '../support/service.ts'

const docs = new URL('../../docs/', import.meta.url)
const document = readFileSync(new URL('reference/metrics.md', docs), 'utf8')
const alerts = readFileSync(new URL('deploy/alerts.yml', docs), 'utf8')

/** The type that the page says a metric has by its name and its help. */
function typeOf(name: string, help: string): string {
  if (name.endsWith('_total')) return 'counter'
  return help.startsWith('Time ') ? 'histogram' : 'gauge'
}

test('the table has every metric, with its labels and its help, and they tell its type', async () => {
  const registry = new Registry()
  await using service = await startService({ registry })
  expect(service.url).toContain('http')
  const rows = registry.heads.map(({ name, type, labels, help }) => {
    expect(typeOf(name, help), name).toBe(type)
    const named = Object.keys(labels).join(',')
    return `| \`${name}${named && `{${named}}`}\` | ${help} |`
  })
  const [, shown = ''] = /<!-- metrics -->\n((?:\|.*\n)+)/.exec(document) ?? []
  expect(shown.trim().split('\n').slice(2)).toEqual(rows)
})

test('alerts and queries name metrics that there are', () => {
  const [, table = ''] = /<!-- metrics -->\n((?:\|.*\n)+)/.exec(document) ?? []
  const known = new Set(
    [...table.matchAll(/`((?:sotto|process)_[a-z_]+)[`{]/g)].map(([, name]) => name),
  )
  const used = [
    ...`${document.replace(table, '')}${alerts}`.matchAll(/\b(?:sotto|process)_[a-z_]+\b/g),
  ]
    .map(([name]) => name.replace(/_(?:bucket|sum|count)$/, ''))
    .filter((name) => name !== 'sotto_')
  expect(used.length).toBeGreaterThan(30)
  for (const name of used) expect(known, name).toContain(name)
})
