/**
 * What a state directory tells after a crash, read from its files by themselves: the audit log and
 * the store's own tables, each held against the other.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { Located } from '../../../audit/damage.ts'
import { readLog } from '../../../audit/reader.ts'
import type { ChangeEntry, Receipt, Stamp } from '../../../audit/record.ts'
import { type VerifyReport, verifyLog } from '../../../audit/verify.ts'
import { parseNumbers } from '../../../server/store/numbers.ts'

/** A change that the store committed, with the record that announced it. */
export interface Commit {
  readonly revision: number
  readonly record: Stamp & ChangeEntry
}

/** What came to a state directory since it was read before. */
export interface Evidence {
  readonly records: readonly Located[]
  /** In the order in which the store committed them. */
  readonly commits: readonly Commit[]
  /** Changes that the log says were not committed. */
  readonly abandoned: number
}

/** A secret as the tables tell it; `bytes` are the versions that have a value. */
export interface StoredSecret {
  readonly incarnation: number
  readonly active: number
  readonly highest: number
  readonly versions: readonly number[]
  readonly removed: readonly number[]
  readonly bytes: readonly number[]
}

interface ChangeRow {
  readonly revision: number
  readonly id: number
  readonly hash: string
  readonly verb: string
  readonly version: number | null
  readonly name: string
  readonly by: string
}

const storedVerbs: Readonly<Record<string, string>> = {
  put: 'append',
  'create-version': 'append',
  activate: 'activate',
  'delete-version': 'remove-version',
  delete: 'remove',
}

/** The log and the store of one state directory, read again and again. */
export class Ledger {
  readonly #audit: string
  readonly #store: string
  readonly #ids = new Set<number>()
  readonly #requests = new Set<string>()
  readonly #open = new Map<number, Located & { record: ChangeEntry }>()
  #last: Receipt | undefined
  #revision = 0

  constructor(state: string) {
    this.#audit = join(state, 'audit')
    this.#store = join(state, 'sotto.db')
  }

  /**
   * Reads what came since the last time, and throws where log and store disagree. Nothing may be
   * under way: a change whose outcome neither tells is an error.
   */
  async read(): Promise<Evidence> {
    const records: Located[] = []
    let abandoned = 0
    const options = this.#last === undefined ? {} : { after: this.#last.id }
    for await (const found of readLog(this.#audit, options)) {
      const { record, hash } = found
      assert.ok(!this.#ids.has(record.id), `record ${record.id} stands on the log twice`)
      this.#ids.add(record.id)
      this.#last = { id: record.id, hash }
      records.push(found)
      if ('request' in record) {
        assert.ok(!this.#requests.has(record.request), `${record.request} was recorded twice`)
        this.#requests.add(record.request)
      }
      if (record.kind === 'change') this.#open.set(record.id, { ...found, record })
      if (record.kind === 'abandoned') {
        abandoned++
        assert.ok(this.#open.delete(record.of), `record ${record.of} was abandoned, and no change`)
      }
    }
    const commits = this.#changes().map((row) => this.#commit(row))
    const open = [...this.#open.keys()].join(', ')
    assert.equal(open, '', `changes ${open} are neither in the store nor abandoned`)
    return { records, commits, abandoned }
  }

  /** Verifies the whole log, which must still have every record that was read before. */
  async verify(): Promise<VerifyReport> {
    const report = await verifyLog(this.#audit, this.#last ? { head: this.#last } : {})
    assert.ok(report.ok, `the log does not verify: ${JSON.stringify(report.damage)}`)
    return report
  }

  /** Every name that was ever used. */
  stored(): Map<string, StoredSecret> {
    return this.#look((db) => {
      const bytes = db.prepare<[number], number>(
        'SELECT number FROM version WHERE secret = ? AND sealed IS NOT NULL ORDER BY number',
      )
      const rows = db.prepare('SELECT * FROM secret').all() as {
        id: number
        name: string
        incarnation: number
        active: number
        highest: number
        versions: string
        removed: string
      }[]
      return new Map(
        rows.map(({ id, name, incarnation, active, highest, versions, removed }) => [
          name,
          {
            incarnation,
            active,
            highest,
            versions: parseNumbers(versions),
            removed: parseNumbers(removed),
            bytes: bytes.pluck().all(id),
          },
        ]),
      )
    })
  }

  #changes(): ChangeRow[] {
    return this.#look((db) =>
      db
        .prepare<[number], ChangeRow>(
          `SELECT c.revision, c.audit_id AS id, c.audit_hash AS hash, c.verb, c.version, c.by, s.name
           FROM change c JOIN secret s ON s.id = c.secret WHERE c.revision > ? ORDER BY c.revision`,
        )
        .all(this.#revision),
    )
  }

  /** Holds a row of the store against its record. */
  #commit(row: ChangeRow): Commit {
    this.#revision++
    assert.equal(row.revision, this.#revision, 'the store has a gap in its revisions')
    const found = this.#open.get(row.id)
    assert.ok(found, `revision ${row.revision} has no record ${row.id} that is open on the log`)
    this.#open.delete(row.id)
    const { record, hash } = found
    assert.equal(row.hash, hash, `the store knows record ${row.id} by another hash`)
    assert.deepEqual(
      [row.verb, row.name, row.version, JSON.parse(row.by)],
      [storedVerbs[record.verb], record.secret, record.secretVersion ?? null, record.principal],
      `revision ${row.revision} is not what record ${row.id} announced`,
    )
    return { revision: row.revision, record }
  }

  #look<T>(read: (db: Database.Database) => T): T {
    const db = new Database(this.#store, { readonly: true, fileMustExist: true })
    try {
      return read(db)
    } finally {
      db.close()
    }
  }
}
