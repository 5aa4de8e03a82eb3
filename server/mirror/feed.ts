/** Reads for a mirror what changed in the store: the secrets that it is for become due. */
import { SottoError } from '../../client/api/errors.ts'
import { type Matcher, matcherOf } from '../access.ts'
import type { MirrorHead } from '../store/mirrors.ts'
import type { Lag } from './lag.ts'
import type { MirrorParts, MirrorSetup } from './parts.ts'

const PAGE = 200

/** The changes that one mirror has read. */
export class Feed {
  readonly #parts: MirrorParts
  readonly #setup: MirrorSetup
  readonly #lag: Lag
  readonly #isFor: Matcher

  constructor(parts: MirrorParts, setup: MirrorSetup, lag: Lag) {
    this.#parts = parts
    this.#setup = setup
    this.#lag = lag
    this.#isFor = matcherOf(setup.spec.secrets)
  }

  /** Whether the mirror is for the secret `name`. */
  isFor(name: string): boolean {
    return this.#isFor(name)
  }

  /**
   * Makes due what changed here, or everything where the mirror is for others than before. Then rejects with
   * `backend_refused` when the mount is another one.
   */
  async run(): Promise<void> {
    await this.#readChanges()
    const head = await this.#head()
    const place = await this.#samePlace(head)
    if (head.place === undefined) await this.#store({ ...head, place })
  }

  /** Also while the backend does not answer: the status then shows what waits for it. */
  async #readChanges(): Promise<void> {
    const { store } = this.#parts
    let head = await this.#head()
    const { secrets, path } = this.#setup.spec
    const scope = JSON.stringify(path === undefined ? secrets : { path, secrets })
    if (head.scope !== scope) return this.#all(head, scope)
    for (;;) {
      const { names, revision } = await store.changedSince(head.cursor, 1000)
      if (revision === head.cursor) return
      head = { ...head, cursor: revision }
      const due = names.filter((name) => this.isFor(name))
      await this.#store(head, due)
    }
  }

  async #all(before: MirrorHead, scope: string): Promise<void> {
    const { store } = this.#parts
    const { revision: cursor } = await store.head()
    if (pathIn(before.scope) !== pathIn(scope)) await this.#forgetAll()
    let after: string | undefined
    for (;;) {
      const rows = await store.states(after)
      after = rows.at(-1)?.name
      if (after === undefined) break
      const due = rows.filter(({ name, active }) => active > 0 && this.isFor(name))
      const names = due.map(({ name }) => name)
      await this.#store(before, names)
    }
    await this.#leaveOthers()
    await this.#store({ ...before, cursor, scope })
  }

  /** What is known of the entries at another path says nothing of those at this one. */
  async #forgetAll(): Promise<void> {
    const { store } = this.#parts
    const { backend } = this.#setup
    for (;;) {
      const page = await store.mirrored(backend, 0, PAGE)
      if (page.length === 0) return
      for (const { name } of page) {
        await store.dropMirrored(backend, name)
        this.#lag.settled(name)
      }
    }
  }

  /** Nothing is removed because a setting changed. */
  async #leaveOthers(): Promise<void> {
    const { store } = this.#parts
    const { backend } = this.#setup
    for (let cursor = 0; ; ) {
      const page = await store.mirrored(backend, cursor, PAGE)
      for (const each of page) {
        if (this.isFor(each.name) || each.state === 'left') continue
        const { cursor: _cursor, retries: _retries, ...kept } = each
        const reason = 'the mirror is not for it any more'
        const left = { ...kept, state: 'left', reason, since: this.#now(), attempts: 0 } as const
        await store.saveMirrored(backend, left)
        this.#lag.settled(each.name)
      }
      const last = page.at(-1)
      if (!last) return
      cursor = last.cursor
    }
  }

  /** Notes that everything was compared with the backend just now. */
  async checked(): Promise<void> {
    await this.#store({ ...(await this.#head()), checkedAt: this.#now() })
  }

  /** Rejects with `backend_refused` unless the mount is the one that the mirror is kept in. */
  async demandSamePlace(): Promise<void> {
    await this.#samePlace(await this.#head())
  }

  /** Keeps the mirror in the mount that is there now. */
  async acceptPlace(): Promise<void> {
    await this.#store({ ...(await this.#head()), place: await this.#place() })
  }

  /** With another mount everything is gone or someone else's: it is not recreated before an operator says so. */
  async #samePlace({ place: before }: MirrorHead): Promise<string> {
    const place = await this.#place()
    if (before === undefined || before === place) return place
    const { name } = this.#setup
    const why = 'its mount was removed and recreated, or is another one'
    throw new SottoError('backend_refused', `Cannot mirror to backend "${name}": ${why}`, {
      hint: `If that was intended: \`sotto mirror sync ${name} --accept-mount\``,
    })
  }

  async #head(): Promise<MirrorHead> {
    return (await this.#parts.store.mirrorHead(this.#setup.backend)) ?? { cursor: 0, scope: '' }
  }

  async #store(head: MirrorHead, due: readonly string[] = []): Promise<void> {
    await this.#parts.store.takeUp(this.#setup.backend, head, due, this.#now())
    for (const name of due) this.#lag.waits(name)
  }

  #place(): Promise<string> {
    return this.#parts.use(this.#setup.backend, (backend) => backend.identity())
  }

  #now(): string {
    return this.#parts.clock().toISOString()
  }
}

/** The template in a scope; undefined: the default one. */
function pathIn(scope: string): string | undefined {
  const known: unknown = scope === '' ? [] : JSON.parse(scope)
  return Array.isArray(known) ? undefined : (known as { path?: string }).path
}
