/** Findings in the form that services of code review read: SARIF 2.1.0. */
import { version } from '../../server/platform/version.ts'
import { rules } from './rules.ts'
import type { NotRead } from './tree.ts'

/** What was found in a file. */
export interface Finding {
  readonly file: string
  readonly line: number
  readonly rule: string
  readonly name: string
  readonly instead?: string
}

/** The log of one run. */
export function sarifOf(findings: readonly Finding[], notRead: readonly NotRead[]): object {
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'sotto',
            version,
            rules: rules.map(({ id, finds, why, instead }) => ({
              id,
              shortDescription: { text: sentence(finds) },
              fullDescription: { text: why },
              help: { text: instead },
            })),
          },
        },
        invocations: [
          {
            executionSuccessful: !notRead.some(({ isFault }) => isFault),
            toolExecutionNotifications: notRead.map(({ path, why, isFault }) => ({
              level: isFault ? 'error' : 'note',
              message: { text: `Not read: ${why}` },
              locations: [{ physicalLocation: { artifactLocation: { uri: uriOf(path) } } }],
            })),
          },
        ],
        results: findings.map(({ file, line, rule, name, instead }) => {
          const index = rules.findIndex(({ id }) => id === rule)
          const advice =
            instead === undefined ? (rules[index]?.instead ?? '') : `Instead: ${instead}.`
          return {
            ruleId: rule,
            ruleIndex: index,
            level: 'error',
            message: { text: `${sentence(rules[index]?.finds ?? '')} ${name}. ${advice}` },
            locations: [
              {
                physicalLocation: {
                  artifactLocation: { uri: uriOf(file) },
                  region: { startLine: line },
                },
              },
            ],
          }
        }),
      },
    ],
  }
}

function sentence(finds: string): string {
  return `${finds.charAt(0).toUpperCase()}${finds.slice(1)}:`
}

function uriOf(path: string): string {
  const uri = path.split('/').map(encodeURIComponent).join('/')
  return path.startsWith('/') ? `file://${uri}` : uri
}
