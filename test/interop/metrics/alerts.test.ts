/** The alerts of docs/deploy and the queries of docs/reference/metrics.md, as parsers of YAML and of PromQL read them. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { describeWith, requirePeer } from '../../support/peers.ts'

const docs = new URL('../../../docs/', import.meta.url)
const document = readFileSync(new URL('reference/metrics.md', docs), 'utf8')
const alerts = readFileSync(new URL('deploy/alerts.yml', docs), 'utf8')

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly annotations: { readonly summary: string }
}

/** Reads YAML and every expression in it; throws what the parsers say. */
function read(yaml: readonly string[]): { keys: string[][]; rules: Rule[] } {
  const script = new URL('read_rules.py', import.meta.url).pathname
  const input = JSON.stringify({ yaml })
  const { stdout, stderr } = spawnSync(requirePeer('metrics-python'), [script], { input })
  if (stdout.length === 0) throw new Error(stderr.toString())
  return JSON.parse(stdout.toString()) as { keys: string[][]; rules: Rule[] }
}

describeWith(['metrics-python'], 'docs/reference/metrics.md', () => {
  test('has a scrape configuration, and alerts that say what to do', () => {
    const blocks = [...document.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => text)
    const { keys, rules } = read([...blocks, alerts])
    expect(keys).toEqual([['scrape_configs'], ['groups']])
    expect(rules.length).toBeGreaterThan(15)
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length)
    for (const { alert, annotations } of rules) {
      expect([alert, annotations.summary.length > 20]).toEqual([alert, true])
    }
  })

  test('asks questions that can be answered', () => {
    const queries = [...document.matchAll(/^\| [^`|]+\? \| `([^`]+)` \|$/gm)].map(
      ([, query]) => query,
    )
    expect(queries.length).toBeGreaterThan(3)
    const rules = queries.map((expr) => ({ expr }))
    expect(read([JSON.stringify({ groups: [{ rules }] })]).rules).toEqual(rules)
  })

  test('would be caught asking what is no question', () => {
    expect(() => read(['groups: [{rules: [{expr: "rate(a[5m"}]}]'])).toThrow('Error')
  })
})
