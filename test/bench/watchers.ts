/**
 * Programs that watch a server, for the bench: `watchers.ts URL COUNT HOW`, a process of its own that tells of itself
 * over IPC. HOW is `raw`: streams that are only read; or `stores`: each a store that gets what it is told of.
 */
import { Client } from '../../client/client.ts'
import { openStore } from '../../client/store/store.ts'

/** What the bench is told. Times are milliseconds of the machine's monotonic clock. */
export type WatchersNews =
  /** All watchers are connected and were told everything: again, where they were not. */
  | { readonly kind: 'ready' }
  /** When each had a version: told of it, or holding it. */
  | { readonly kind: 'told'; readonly version: number; readonly at: readonly number[] }

/** The secret that all of them watch. */
export const NAME = 'prod/app/key'

/** Watchers that share a node: fewer than a server takes of one. */
const PER_NODE = 50
/** Watchers that begin at the same time: fewer than the requests that a server works on at once. */
const AT_ONCE = 200
/** How often stores are looked at until all are live again, in milliseconds. */
const LOOK_MS = 50

const [url = '', count = '', how] = process.argv.slice(2)
const watchers = Array.from({ length: Number(count) }, (_, at) => {
  return new Client({ server: url, localAddress: nodeAddress(Math.floor(at / PER_NODE)) })
})
const told = new Map<number, number[]>()

if (how === 'raw') {
  for (let at = 0; at < watchers.length; at += AT_ONCE) {
    const some = watchers.slice(at, at + AT_ONCE)
    await Promise.all(
      some.map((client) => new Promise<void>((synced) => void follow(client, synced))),
    )
  }
  send({ kind: 'ready' })
} else if (how === 'stores') await hold()

/** The address of a node, by its number. */
export function nodeAddress(node: number): string {
  return `127.0.${1 + (node >> 7)}.${1 + (node & 127)}`
}

async function follow(client: Client, synced: () => void): Promise<void> {
  const { Version } = await client.get(NAME)
  for await (const event of client.watch(new Map([[NAME, Version]]))) {
    if (event.event === 'synced') synced()
    if (event.event === 'change') note(event.change.Version ?? 0)
  }
}

async function hold(): Promise<void> {
  const report = (event: { kind: string; version?: number }): void => {
    if (event.kind === 'changed') note(event.version ?? 0)
  }
  const stores = await Promise.all(
    watchers.map((server) => openStore({ server, secrets: [NAME], report })),
  )
  let wasLive = false
  setInterval(() => {
    const isLive = stores.every((store) => store.health().state === 'live')
    if (isLive && !wasLive) send({ kind: 'ready' })
    wasLive = isLive
  }, LOOK_MS)
}

function note(version: number): void {
  const at = told.get(version) ?? []
  told.set(version, at)
  at.push(Number(process.hrtime.bigint()) / 1e6)
  if (at.length === watchers.length) send({ kind: 'told', version, at })
}

function send(news: WatchersNews): void {
  process.send?.(news)
}
