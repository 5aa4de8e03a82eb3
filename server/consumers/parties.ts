/** Who holds: nodes, and the programs on them as far as they say which one they are; each with a number. */
import type { Principal } from '../../client/api/types.ts'
import { NONE } from './table.ts'

/** A node of the network, with all callers on it that do not say which program they are. */
export interface Node {
  /** Its StableID; its address where there is none, or where it is known from early audit records alone. */
  key: string
  /** As it was when it last called. */
  principal: Principal
  /** Its callers without a label. */
  readonly own: Holder
  /** The others, the one that was first seen first. */
  labels?: Map<string, Holder>
  /** How many rows its holders have. */
  rows: number
}

/** One that holds versions: a program with a label, or all callers of a node without one. */
export interface Holder {
  readonly id: number
  readonly node: Node
  readonly label: string | undefined
  /** The first of its rows. */
  first: number
  /** Streams by which it is told of changes now. */
  streams: number
  /** When it ended the last of them, in ticks; 0: it did not. */
  ended: number
  /** When it last said a word, in ticks; 0: not since the start. */
  heard: number
}

/** Nodes and holders, by key and by number. */
export class Parties {
  readonly nodes = new Map<string, Node>()
  readonly #holders: (Holder | undefined)[] = []
  readonly #free: number[] = []
  #count = 0

  /** How many holders there are. */
  get count(): number {
    return this.#count
  }

  /** A holder that there is. */
  holder(id: number): Holder {
    return this.#holders[id] as Holder
  }

  /** All of them; a copy. */
  all(): Holder[] {
    return this.#holders.filter((each) => each !== undefined)
  }

  addNode(key: string, principal: Principal): Node {
    const id = this.#nextId()
    const own: Holder = { id, node: undefined as never, label: undefined, ...fresh() }
    const node: Node = { key, principal, own, rows: 0 }
    Object.assign(own, { node })
    this.#holders[id] = own
    this.nodes.set(key, node)
    return node
  }

  addLabel(node: Node, label: string): Holder {
    const holder: Holder = { id: this.#nextId(), node, label, ...fresh() }
    this.#holders[holder.id] = holder
    node.labels ??= new Map()
    node.labels.set(label, holder)
    return holder
  }

  /** Forgets a holder with a label, whose rows are removed. */
  removeLabel({ id, node, label = '' }: Holder): void {
    node.labels?.delete(label)
    this.#holders[id] = undefined
    this.#free.push(id)
    this.#count--
  }

  #nextId(): number {
    this.#count++
    return this.#free.pop() ?? this.#holders.length
  }
}

function fresh(): Pick<Holder, 'first' | 'streams' | 'ended' | 'heard'> {
  return { first: NONE, streams: 0, ended: 0, heard: 0 }
}
