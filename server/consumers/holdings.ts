/**
 * Which versions of which secrets are held where, as far as words tell: what left for whom, and what callers say
 * they hold. Where it is in doubt whether an old version is still held, it counts as held.
 *
 * A label is what a program says of itself, and is believed to be that of one program until it is
 * caught: it then is what all callers of a node without a label are, several programs that cannot be told apart. Of these each
 * value that leaves makes a copy, and a conditional get exchanges one: a copy that never is
 * exchanged may be that of a program that is asleep.
 */
import type { Caller } from '../access.ts'
import { Copies } from './copies.ts'
import { gapAfter, judge, type HolderState } from './judge.ts'
import { type Holder, type Node, Parties } from './parties.ts'
import { DOUBT, NONE, ROUGH, SHARED, Table } from './table.ts'

/** Whose word it is: a call of a caller, with the label that it gave. */
export interface Speaker {
  readonly caller: Pick<Caller, 'node' | 'principal'>
  readonly client?: string | undefined
}

/** How much is kept at most. */
export interface HoldingLimits {
  readonly rows: number
  /** Of one node, so that none takes the place of others. */
  readonly rowsOfNode: number
  readonly holders: number
  readonly labelsOfNode: number
  readonly secrets: number
}

const defaultLimits: HoldingLimits = {
  rows: 1_000_000,
  rowsOfNode: 65_536,
  holders: 200_000,
  labelsOfNode: 64,
  secrets: 1_000_000,
}

/** A holder of one secret, judged. */
export interface Held {
  readonly holder: Holder
  readonly state: HolderState
  readonly version: number
  /** When it last said a word, in ticks; 0: not since the start. */
  readonly heard: number
}

/** What `given` answers where there is nothing to take back. */
const UNCHANGED = -1

/** The holdings of a server. Nothing in it throws, waits or reads a clock but `now`. */
export class Holdings {
  readonly table = new Table()
  readonly copies = new Copies(this.table)
  readonly parties = new Parties()
  /** Names of secrets by number. */
  readonly names: string[] = []
  /** Secrets of which something was dropped, by number: who holds them is not known any more. */
  readonly lost = new Set<number>()
  /** How often something was dropped. */
  dropped = 0
  /** Whether a claim told of a copy that was not known, since this was last set to false: no record of the audit log does. */
  hasNews = false
  /** Something was dropped of secrets whose names are not known either. */
  lostNames = false
  readonly #numbers = new Map<string, number>()
  readonly #limits: HoldingLimits
  readonly #now: () => number

  /** `now` gives ticks since the start of the server, from 1 on. */
  constructor(now: () => number, limits: Partial<HoldingLimits> = {}) {
    this.#now = now
    this.#limits = { ...defaultLimits, ...limits }
  }

  /**
   * Notes that `version` leaves, in exchange for the version `claimed` where that is not 0. Answers with what
   * `withdrawn` takes, should it not leave after all.
   */
  given(speaker: Speaker, name: string, version: number, claimed: number): number {
    const node = this.#nodeOf(speaker)
    const secret = this.numberOf(name)
    const holder = node && this.#holderOf(node, speaker.client)
    if (node === undefined || holder === undefined || secret === NONE) return this.#lose(secret)
    const ofNode = this.rowOf(node.own, secret)
    const row = holder === node.own ? ofNode : this.rowOf(holder, secret)
    if (ofNode === NONE || row === NONE) return this.#lose(secret)
    this.noteGiven(ofNode, version)
    const now = this.#now()
    this.#hear(holder, row, ofNode, now)
    const wasGiven = claimed > 0 && this.#wasGiven(ofNode, claimed)
    const answer = this.#isOne(holder, row, wasGiven ? claimed : 0)
      ? this.#replace(row, version, now)
      : this.#exchange(row, version, wasGiven ? claimed : 0, now)
    if (answer !== UNCHANGED) this.table.change(row).unconfirmed[row] = version
    return answer
  }

  /** Takes back what `given` noted, and answered with `before`: the version did not leave. */
  withdrawn(speaker: Speaker, name: string, version: number, before: number): void {
    if (before === UNCHANGED) return
    const node = this.parties.nodes.get(keyOf(speaker))
    const holder = node && (node.labels?.get(speaker.client ?? '') ?? node.own)
    const row = holder ? this.table.find(holder.id, this.#numbers.get(name) ?? NONE) : NONE
    if (row === NONE || this.copies.of(row, version) === 0) return
    this.copies.remove(row, version)
    if (before > 0) this.copies.add(row, before, this.#now())
    this.table.change(row).unconfirmed[row] = 0
  }

  /** Notes that the caller says it holds `version`. What its node was never given is not believed. */
  claimed(speaker: Speaker, name: string, version: number): void {
    const node = this.#nodeOf(speaker)
    const secret = this.#numbers.get(name)
    if (node === undefined || secret === undefined || version === 0) return
    const ofNode = this.table.find(node.own.id, secret)
    if (ofNode === NONE || !this.#wasGiven(ofNode, version)) return
    const holder = this.#holderOf(node, speaker.client)
    const row = holder ? this.rowOf(holder, secret) : NONE
    if (holder === undefined || row === NONE) return void this.#lose(secret)
    const now = this.#now()
    this.#hear(holder, row, ofNode, now)
    const { columns } = this.table
    this.hasNews ||= this.copies.of(row, version) === 0
    if (this.copies.of(row, version) > 0) {
      this.copies.name(row, version, now)
    } else if (this.#isOne(holder, row, version)) {
      this.#replace(row, version, now)
    } else if (columns.unconfirmed[row] !== 0 && this.copies.total(row) === 1) {
      // The answer to the only one that there is was lost.
      this.#replace(row, version, now)
    } else this.copies.add(row, version, now)
    if (columns.unconfirmed[row] === version) this.#confirm(row)
  }

  /** Notes that a caller is told of changes by a stream from now on; undefined for one without a label. */
  opened(speaker: Speaker): Holder | undefined {
    const node = speaker.client === undefined ? undefined : this.#nodeOf(speaker)
    const holder = node && this.#holderOf(node, speaker.client)
    if (holder === undefined || holder === node?.own) return undefined
    holder.streams++
    holder.heard = this.#now()
    holder.ended = 0
    return holder
  }

  /** Notes the end of a stream; `byClient`: because the client ended it, and not the server or the network. */
  ended(holder: Holder, byClient: boolean): void {
    holder.streams--
    if (byClient && holder.streams === 0) holder.ended = this.#now()
  }

  /**
   * As `given`, of a caller without a label, in the past, and by an audit record that does not say what it was exchanged
   * for: the last one is taken for all that its node holds, until that says a word.
   */
  recalled(speaker: Speaker, name: string, version: number): void {
    const node = this.#nodeOf(speaker)
    const secret = this.numberOf(name)
    const row = node && secret !== NONE ? this.rowOf(node.own, secret) : NONE
    if (row === NONE) return void this.#lose(secret)
    this.noteGiven(row, version)
    this.copies.set(row, version, this.#now())
    this.table.change(row).flags[row] = ROUGH
  }

  /** Has nobody be heard yet: all that is known is of another run of the server. */
  silence(): void {
    const { table } = this
    for (let row = 0; row < table.end; row++) {
      const { heard, moved, unconfirmed, flags } = table.change(row)
      heard[row] = 0
      moved[row] = 0
      if (unconfirmed[row] !== 0) flags[row] = (flags[row] as number) | DOUBT
    }
    for (const holder of this.parties.all()) holder.heard = 0
  }

  /** Numbers of the rows about a secret. */
  rowsOf(name: string): number[] {
    const rows: number[] = []
    const secret = this.#numbers.get(name)
    const { table } = this
    if (secret === undefined) return rows
    for (let row = table.first(secret); row !== NONE; ) {
      rows.push(row)
      row = table.columns.nextOfSecret[row] as number
    }
    return rows
  }

  /** What the row, which was one about `name`, says now; undefined where it says nothing. */
  held(row: number, name: string, active: number): Held | undefined {
    const { table } = this
    if (!table.has(row) || table.columns.secret[row] !== this.#numbers.get(name)) return undefined
    const holder = this.parties.holder(table.columns.holder[row] as number)
    const judged = judge(this, row, holder, active, this.#now())
    return judged && { holder, ...judged, heard: table.columns.heard[row] as number }
  }

  /** Whether something was dropped of what was known about a secret. */
  isLost(name: string): boolean {
    return this.lostNames || this.lost.has(this.#numbers.get(name) ?? NONE)
  }

  /** Forgets programs that left `ticks` ago or earlier. The work can rest. */
  *sweep(ticks: number): Generator<void, void> {
    for (const holder of this.parties.all()) {
      const isThere = this.parties.holder(holder.id) === holder
      if (isThere && this.#hasLeft(holder, ticks)) this.#forget(holder)
      yield
    }
  }

  /** The number of a secret, a new one where it has none; NONE where there are too many. */
  numberOf(name: string): number {
    const found = this.#numbers.get(name)
    if (found !== undefined) return found
    if (this.names.length >= this.#limits.secrets) return NONE
    const number = this.names.push(name) - 1
    this.#numbers.set(name, number)
    return number
  }

  /** The row about a holder and a secret, a new one where there is none; NONE where there are too many. */
  rowOf(holder: Holder, secret: number): number {
    const { table } = this
    const found = table.find(holder.id, secret)
    if (found !== NONE) return found
    const { node } = holder
    const { rows, rowsOfNode } = this.#limits
    if (table.size >= rows || node.rows >= rowsOfNode) return NONE
    node.rows++
    return (holder.first = table.add(holder.id, secret, holder.first))
  }

  /** Notes that a node was given `version`, in its own row. */
  noteGiven(ofNode: number, version: number): void {
    const { givenTo, givenBits } = this.table.change(ofNode)
    const highest = givenTo[ofNode] as number
    const bits = givenBits[ofNode] as number
    if (version > highest) {
      const shift = version - highest
      givenTo[ofNode] = version
      givenBits[ofNode] = (shift < 32 ? bits << shift : 0) | 1
    } else if (highest - version < 32) givenBits[ofNode] = bits | (1 << (highest - version))
  }

  /** Whether it was. Of versions long before the highest that is not known, and believed. */
  #wasGiven(ofNode: number, version: number): boolean {
    const { givenTo, givenBits } = this.table.columns
    const back = (givenTo[ofNode] as number) - version
    return back >= 32 || (back >= 0 && (((givenBits[ofNode] as number) >>> back) & 1) === 1)
  }

  /** The holder holds `version` alone. Answers with what it held. */
  #replace(row: number, version: number, now: number): number {
    const columns = this.table.change(row)
    const before = columns.count[row] === 0 ? 0 : (columns.version[row] as number)
    if (before !== version && before > 0) columns.moved[row] = now
    this.copies.set(row, version, now)
    return before
  }

  /** One of several got `version` in exchange for the one that it claimed, or 0. */
  #exchange(row: number, version: number, claimed: number, now: number): number {
    const { copies, table } = this
    const { unconfirmed, moved, flags } = table.change(row)
    const isAgain = claimed > 0 && unconfirmed[row] === version && copies.of(row, version) > 0
    const inDoubt = ((flags[row] as number) & DOUBT) !== 0
    const had = claimed > 0 && copies.of(row, claimed) > 0
    // The same answer once more, since the first was lost.
    if (isAgain && (inDoubt || !had)) {
      this.#confirm(row)
      unconfirmed[row] = version
      moved[row] = now
      return UNCHANGED
    }
    if (had) copies.remove(row, claimed)
    copies.add(row, version, now)
    if (claimed > 0) moved[row] = now
    return had ? claimed : 0
  }

  #confirm(row: number): void {
    const { unconfirmed, flags } = this.table.change(row)
    unconfirmed[row] = 0
    flags[row] = (flags[row] as number) & ~DOUBT
  }

  /**
   * Whether the row is that of one program. A label whose program named a version and then comes with
   * another one is that of several, from then on.
   */
  #isOne({ label }: Holder, row: number, claimed: number): boolean {
    if (label === undefined) return false
    const { count, unconfirmed, flags } = this.table.change(row)
    const flag = flags[row] as number
    if ((flag & SHARED) !== 0) return false
    const isOther = claimed > 0 && count[row] !== 0 && this.copies.of(row, claimed) === 0
    if (!isOther || unconfirmed[row] !== 0) return true
    flags[row] = flag | SHARED
    this.copies.add(row, claimed, this.#now())
    return false
  }

  #hear(holder: Holder, row: number, ofNode: number, now: number): void {
    const { heard, gap } = this.table.change(row)
    gap[row] = gapAfter(gap[row] as number, heard[row] as number, now)
    heard[row] = now
    holder.heard = now
    const { flags } = this.table.change(ofNode)
    if (((flags[ofNode] as number) & ROUGH) === 0) return
    flags[ofNode] = (flags[ofNode] as number) & ~ROUGH
    this.copies.set(ofNode, 0, now)
  }

  /** The node that calls, a new one where it is not known; undefined where there are too many. */
  #nodeOf(speaker: Speaker): Node | undefined {
    const { principal, node: id } = speaker.caller
    const { nodes } = this.parties
    const key = id ?? principal.ip
    const found = nodes.get(key)
    if (found) {
      found.principal = principal
      return found
    }
    const byAddress = nodes.get(principal.ip)
    if (byAddress?.principal.hostname === principal.hostname) {
      // Early audit records know nodes by their address.
      nodes.delete(byAddress.key)
      byAddress.key = key
      nodes.set(key, byAddress)
      byAddress.principal = principal
      return byAddress
    }
    if (this.parties.count >= this.#limits.holders) return undefined
    return this.parties.addNode(key, principal)
  }

  /** The holder of that label, a new one where there is none: another one of the node may have to go for it. */
  #holderOf(node: Node, label: string | undefined): Holder {
    if (label === undefined) return node.own
    const found = node.labels?.get(label)
    if (found) return found
    if ((node.labels?.size ?? 0) >= this.#limits.labelsOfNode) this.#evict(node)
    if (this.parties.count >= this.#limits.holders) return node.own
    return this.parties.addLabel(node, label)
  }

  /** Forgets a program that left, or else has the one that was silent longest be one of those without a label. */
  #evict(node: Node): void {
    const all = [...(node.labels?.values() ?? [])]
    const left = all.find((each) => this.#hasLeft(each, 0))
    if (left) return this.#forget(left)
    const silent = all.toSorted(
      (a, b) => Number(a.streams > 0) - Number(b.streams > 0) || a.heard - b.heard,
    )[0]
    if (silent === undefined) return
    const { table, copies } = this
    for (let row = silent.first; row !== NONE; row = table.columns.nextOfHolder[row] as number) {
      const own = table.find(node.own.id, table.columns.secret[row] as number)
      if (own === NONE || table.columns.count[row] === 0) continue
      const { version, count, named, moved } = table.change(own)
      copies.add(own, version[row] as number, named[row] as number, count[row])
      for (const [each, further] of copies.further(row) ?? []) {
        copies.add(own, each, further.named, further.count)
      }
      moved[own] = Math.max(moved[own] as number, moved[row] as number)
    }
    this.#forget(silent)
  }

  #hasLeft(holder: Holder, ticks: number): boolean {
    if (holder.label === undefined || holder.ended === 0 || holder.streams > 0) return false
    const { table, copies } = this
    const now = this.#now()
    for (let row = holder.first; row !== NONE; row = table.columns.nextOfHolder[row] as number) {
      const judged = judge({ table, copies }, row, holder, 0, now - ticks)
      if (judged && judged.state !== 'left') return false
    }
    return true
  }

  #forget(holder: Holder): void {
    const { table, copies } = this
    for (let row = holder.first; row !== NONE; ) {
      const next = table.columns.nextOfHolder[row] as number
      copies.set(row, 0, 0)
      table.remove(row)
      holder.node.rows--
      row = next
    }
    holder.first = NONE
    this.parties.removeLabel(holder)
  }

  #lose(secret: number): number {
    this.dropped++
    if (secret === NONE) this.lostNames = true
    else this.lost.add(secret)
    return UNCHANGED
  }
}

function keyOf({ caller: { node, principal } }: Speaker): string {
  return node ?? principal.ip
}
