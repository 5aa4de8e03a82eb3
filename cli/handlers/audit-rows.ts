/** Prints audit records in columns. */
import type { Judged } from '../../audit/outcomes.ts'
import { type Row, toRow } from '../../audit/row.ts'
import { toSeconds } from '../../client/api/times.ts'
import type { Invocation } from '../invocation.ts'
import { recordLine } from '../json.ts'
import { roomOf } from '../terminal/layout.ts'
import { table } from '../terminal/table.ts'

const columns = ['id', 'time', 'who', 'what', 'secret', 'version', 'result', 'note'] as const

/** Rows that are held back, so that the columns fit the first of them. */
const HELD = 1000

/**
 * The rows of an answer: a header and a line for each record, or with -o json a line of JSON for each. The columns are as
 * wide as the first rows need, and wider from a row on that needs more. On a terminal, without --wide, a time is to
 * the second, a node has its first label, and columns that do not fit are on a line below.
 */
export class AuditRows {
  readonly #invocation: Invocation
  readonly #short: boolean
  readonly #widths: number[] = []
  #held: string[][] = [columns.map((name) => name.toUpperCase())]
  #printed = 0

  constructor(invocation: Invocation) {
    this.#invocation = invocation
    this.#short = invocation.io.stdout.isTTY && !invocation.on('wide')
  }

  /** How many records there were. */
  get count(): number {
    return this.#printed
  }

  async add(record: Judged): Promise<void> {
    this.#printed++
    if (this.#invocation.json) return this.#invocation.io.stdout.write(recordLine(record))
    const row = this.#short ? shortened(toRow(record)) : toRow(record)
    this.#held.push(columns.map((name) => row[name]))
    if (this.#held.length > HELD) await this.flush()
  }

  /** Prints what is held back: at the end, and before a wait. */
  async flush(): Promise<void> {
    const { json, io } = this.#invocation
    const rows = this.#held.splice(0)
    if (json || rows.length === 0) return
    const room = this.#invocation.on('wide') ? undefined : roomOf(io.stdout)
    const text = table(rows, { gap: 2, widths: this.#widths, room })
    await io.stdout.write(text.replaceAll(/ +$/gm, ''))
  }
}

function shortened(row: Row): Row {
  const time = toSeconds(row.time)
  const who = row.who.replace(/(\s[^\s.]+)\.\S+$/, '$1')
  return { ...row, time, who }
}
