/** The callers that Sotto and setecd are both told of, by loopback address. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Rule } from '../../client/api/types.ts'

/** May do everything. */
export const root = '127.0.0.1'
/** A tagged node with get and info on prod/*. */
export const app = '127.0.0.2'
/** A person with info on every name and put on team/*. */
export const alice = '127.0.0.3'
/** A person without any rule. */
export const nobody = '127.0.0.4'
/** No node of the tailnet. */
export const unknown = '127.0.0.5'
/** For each action a folder of its own: only there it may do that, and see it. */
export const mixed = '127.0.0.6'

const actions = ['get', 'info', 'put', 'create-version', 'activate', 'delete']

const nodes = {
  [root]: {
    name: 'root-laptop',
    user: 'root@example.com',
    rules: [{ action: actions, secret: ['*'] }],
  },
  [app]: {
    name: 'app-1',
    tags: ['tag:app'],
    rules: [{ action: ['get', 'info'], secret: ['prod/*'] }],
  },
  [alice]: {
    name: 'laptop',
    user: 'alice@example.com',
    rules: [
      { action: ['info'], secret: ['*'] },
      { action: ['put'], secret: ['team/*'] },
    ],
  },
  [nobody]: { name: 'idle', user: 'nobody@example.com', rules: [] },
  [mixed]: {
    name: 'mixed',
    user: 'mixed@example.com',
    rules: actions.map((action) => ({ action: [action], secret: [`${action}/*`] })),
  },
}

/**
 * Writes the tailnet file into `directory` and returns its path; `more` adds nodes with rules of
 * their own, by address.
 */
export function writeTailnet(
  directory: string,
  more: Readonly<Record<string, readonly Rule[]>> = {},
): string {
  const path = join(directory, 'tailnet.json')
  const added = Object.entries(more).map(([address, rules]) => [
    address,
    { name: `node-${address}`, user: 'someone@example.com', rules },
  ])
  writeFileSync(path, JSON.stringify({ nodes: { ...nodes, ...Object.fromEntries(added) } }))
  return path
}
