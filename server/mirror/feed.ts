/** Takes up for a mirror what changed in the store: the secrets that it is for become due. */
import { SottoError } from '../../client/api/errors.ts'
import { matches } from '../access.ts'
import type { MirrorHead } from '../store/mirrors.ts'
import type { MirrorParts, MirrorSetup } from './parts.ts'

const PAGE = 200

/** How far one mirror came. */
export class Feed {
  readonly #parts: Pick<MirrorParts, 'store' | 'use' | 'clock'>
  readonly #setup: MirrorSetup

  constructor(parts: Pick<MirrorParts, 'store' | 'use' | 'clock'>, setup: MirrorSetup) {
    this.#parts = parts
    this.#setup = setup
  }

  /** Whether the mirror is for the secret `name`. */
  isFor(name: string): boolean {
    return this.#setup.spec.secrets.some((pattern) => matches(pattern, name))
  }

  /**
   * Makes due what changed here, or everything where the mirror is for others than before. Rejects with
   * `backend_refused` behind that when the mount is another one.
   */
  async run(): Promise<void> {
    await this.#takeUp()
    const head = await this.#head()
    const place = await this.#samePlace(head)
    if (head.place === undefined) await this.#store({ ...head, place })
  }

  /** Also while the backend does not answer: it is told then what waits for it. */
  async #takeUp(): Promise<void> {
    const { store } = this.#parts
    const { spec } = this.#setup
    let head = await this.#head()
    const scope = JSON.stringify(spec.secrets)
    if (head.scope !== scope) return this.#all(head, scope)
    for (;;) {
      const { names, revision } = await store.changedSince(head.cursor, 1000)
      if (revision === head.cursor) return
      head = { ...head, cursor: revision }
      await this.#store(
        head,
        names.filter((name) => this.isFor(name)),
      )
    }
  }

  async #all(before: MirrorHead, scope: string): Promise<void> {
    const { store } = this.#parts
    const { backend } = this.#setup
    const { revision: cursor } = await store.head()
    let after: string | undefined
    for (;;) {
      const rows = await store.states(after)
      after = rows.at(-1)?.name
      if (after === undefined) break
      const due = rows.filter(({ name, active }) => active > 0 && this.isFor(name))
      const names = due.map(({ name }) => name)
      await store.takeUp(backend, before, names, this.#now())
    }
    await this.#leaveOthers()
    const head = { ...before, cursor, scope }
    await this.#store(head)
  }

  /** Nothing is removed because a setting changed. */
  async #leaveOthers(): Promise<void> {
    const { store } = this.#parts
    const { backend } = this.#setup
    for (let cursor = 0; ; ) {
      const page = await store.mirrored(backend, cursor, PAGE)
      for (const each of page) {
        if (this.isFor(each.name) || each.state === 'left') continue
        const { cursor: _cursor, retryAt: _retryAt, ...kept } = each
        const reason = 'the mirror is not for it any more'
        const left = { ...kept, state: 'left', reason, since: this.#now(), attempts: 0 } as const
        await store.saveMirrored(backend, left)
      }
      const last = page.at(-1)
      if (!last) return
      cursor = last.cursor
    }
  }

  /** Everything was compared with the backend just now. */
  async checked(): Promise<void> {
    await this.#store({ ...(await this.#head()), checkedAt: this.#now() })
  }

  /** Rejects with `backend_refused` unless the mount is the one that the mirror was kept in so far. */
  async demandSamePlace(): Promise<void> {
    await this.#samePlace(await this.#head())
  }

  /** The mount that is there now is the one that the mirror is kept in from now on. */
  async acceptPlace(): Promise<void> {
    await this.#store({ ...(await this.#head()), place: await this.#place() })
  }

  /** What was there is gone as a whole, or is another's: nobody asked for it to be made again. */
  async #samePlace({ place: before }: MirrorHead): Promise<string> {
    const place = await this.#place()
    if (before === undefined || before === place) return place
    throw new SottoError(
      'backend_refused',
      `Cannot mirror to backend "${this.#setup.name}": its mount was removed and made again, or is another one`,
      {
        hint: `If that is as it should be: \`sotto mirror sync ${this.#setup.name} --accept-mount\``,
      },
    )
  }

  async #head(): Promise<MirrorHead> {
    return (await this.#parts.store.mirrorHead(this.#setup.backend)) ?? { cursor: 0, scope: '' }
  }

  #store(head: MirrorHead, due: readonly string[] = []): Promise<void> {
    return this.#parts.store.takeUp(this.#setup.backend, head, due, this.#now())
  }

  #place(): Promise<string> {
    return this.#parts.use(this.#setup.backend, (backend) => backend.identity())
  }

  #now(): string {
    return this.#parts.clock().toISOString()
  }
}
