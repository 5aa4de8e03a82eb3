/**
 * Verifies a log as docs/internals/audit-format.md says, from that page alone and with nothing of the program,
 * so that the page is known to say enough.
 */
import { createHash, createHmac } from 'node:crypto'

interface Found {
  readonly id: number
  readonly hash: string
}

interface Fields {
  readonly [name: string]: unknown
}

interface Line {
  readonly bytes: Buffer
  readonly offset: number
  readonly ended: boolean
  readonly fields: Fields | undefined
  readonly hash: string
}

interface Segment {
  readonly first: number
  readonly size: number
  readonly lines: readonly Line[]
}

/** Whether the log in these files is whole. */
export function isWhole(
  files: ReadonlyMap<string, Buffer>,
  given: {
    head?: Found
    after?: Found
    single?: boolean
    keys?: Readonly<Record<string, string>>
  } = {},
): boolean {
  const segments = [...files]
    .filter(([name]) => /^\d{20}\.jsonl$/.test(name))
    .map(([name, bytes]) => readSegment(Number(name.slice(0, 20)), bytes))
    .toSorted((a, b) => a.first - b.first)
  let last = given.after ?? { id: 0, hash: '0'.repeat(64) }
  let header: Fields | undefined
  let records = new Map<number, string>()
  let loose = 0
  let known = given.head === undefined
  const macs = new MacRules(given.keys)

  for (const { first, size, lines } of segments) {
    const [top] = lines
    if (top === undefined) continue
    if (top.fields === undefined) {
      if (lines.length > 1) return false
      loose += size
      continue
    }
    const own = top.fields
    if (own['kind'] !== 'segment' || own['format'] !== 1 || own['id'] !== first) return false
    if (header !== undefined && own['log'] !== header['log']) return false
    if (!(given.single === true) && !isLinked(own, header, last, records, loose)) return false
    if (!macs.begin(own)) return false
    header = own
    records = new Map()
    loose = 0
    for (const line of lines) {
      if (line.fields === undefined) {
        if (!isTorn(line)) return false
        loose = size - line.offset
        break
      }
      const { id, prev } = line.fields
      if (line !== top && (id !== last.id + 1 || prev !== last.hash)) return false
      if (!macs.take(line)) return false
      last = { id: id as number, hash: line.hash }
      records.set(last.id, last.hash)
      if (last.id === given.head?.id) {
        if (last.hash !== given.head.hash) return false
        known = true
      }
    }
    macs.end()
  }
  return known && loose <= 1024 * 1024 && (given.keys === undefined || macs.unproven === 0)
}

/** Rules 5 to 7, and that of batches; the keys are by number, in hex. */
class MacRules {
  from = Number.POSITIVE_INFINITY
  newestKey = 0
  key: number | undefined
  /** Records since the last that had a MAC, and whether one of them has what is none. */
  open = 0
  strange = false
  unproven = 0
  hashes: Buffer[] = []
  readonly keys: Readonly<Record<string, string>> | undefined

  constructor(keys: Readonly<Record<string, string>> | undefined) {
    this.keys = keys
  }

  begin(own: Fields): boolean {
    const { id, macsFrom, unproven = 0 } = own as Record<string, number>
    const key = own['key'] as number | undefined
    this.from = Math.min(this.from, macsFrom ?? this.from)
    this.key = key
    this.open = 0
    this.hashes = []
    this.strange = false
    if (key === undefined) {
      this.unproven = 0
      return Number(id) < this.from
    }
    if (this.unproven > unproven || key < this.newestKey) return false
    this.newestKey = key
    return true
  }

  take({ bytes, fields }: Line): boolean {
    if (this.key === undefined) return true
    this.open++
    const mac = fields?.['mac']
    const ending = `,"mac":"${mac as string}"}`
    const text = bytes.toString()
    const bare = text.endsWith(ending) ? `${text.slice(0, -ending.length)}}` : text
    this.hashes.push(createHash('sha256').update(bare).digest())
    if (mac === undefined) return true
    const hashes = Buffer.concat(this.hashes.splice(0))
    const key = Buffer.from(this.keys?.[this.key] ?? '', 'hex')
    const due =
      this.keys === undefined ? mac : createHmac('sha256', key).update(hashes).digest('hex')
    if (bare === text || mac !== due) this.strange = true
    else if (this.strange) return false
    else this.open = this.unproven = 0
    return true
  }

  end(): void {
    this.unproven += this.open
  }
}

/** Rules 1 to 4 for the first line of a segment. */
function isLinked(
  own: Fields,
  header: Fields | undefined,
  last: Found,
  records: ReadonlyMap<number, string>,
  loose: number,
): boolean {
  const { id, after, before, prev, torn } = own as Record<string, number | string>
  if (Number(after) > last.id) return false
  const same = ['after', 'before', 'prev'].every((name) => own[name] === header?.[name])
  const follows =
    header === undefined
      ? after === last.id && prev === last.hash
      : before === header['id'] && prev === records.get(Number(after))
  const givenUp = records.size === 1 && same
  return (follows || givenUp) && Number(id) > last.id && loose <= Number(torn)
}

function isTorn({ bytes, offset, ended }: Line): boolean {
  if (!ended) return true
  return bytes.some((byte, index) => {
    const next = bytes[index + 1]
    return byte === 0 && next !== 0 && (offset + index + 1) % 512 === 0
  })
}

function readSegment(first: number, file: Buffer): Segment {
  const lines: Line[] = []
  const bytes = file.subarray(0, file.findLastIndex((byte) => byte !== 0) + 1)
  for (let offset = 0; offset < bytes.length; ) {
    const newline = bytes.indexOf(0x0a, offset)
    const ended = newline >= 0
    const end = ended ? newline : bytes.length
    const text = bytes.subarray(offset, end)
    const hash = createHash('sha256').update(text).digest('hex')
    lines.push({ bytes: text, offset, ended, fields: ended ? fieldsOf(text) : undefined, hash })
    offset = end + 1
  }
  return { first, size: bytes.length, lines }
}

/** The fields of a record; undefined where the line is none. */
function fieldsOf(text: Buffer): Fields | undefined {
  let fields: unknown
  try {
    fields = JSON.parse(text.toString())
  } catch {
    return undefined
  }
  if (typeof fields !== 'object' || fields === null) return undefined
  const { id, time, kind, revision, prev } = fields as Fields
  const isNumber = (value: unknown) => Number.isSafeInteger(value)
  if (!isNumber(id) || !isNumber(revision)) return undefined
  if (typeof time !== 'string' || typeof kind !== 'string' || typeof prev !== 'string') {
    return undefined
  }
  if (!/^[0-9a-f]{64}$/.test(prev) || Number(id) < 1) return undefined
  const { mac = prev } = fields as Fields
  if (typeof mac !== 'string' || !/^[0-9a-f]{64}$/.test(mac)) return undefined
  const otherFormat = kind === 'segment' && (fields as Fields)['format'] !== 1
  const wanted = otherFormat ? '' : (kinds[kind] ?? '')
  const fits = wanted.split(' ').every((name) => hasField(fields as Fields, name))
  return fits ? (fields as Fields) : undefined
}

/** The fields of each kind: `#` for a number, `!` for true or false, `*` for numbers, else texts. */
const kinds: Readonly<Record<string, string>> = {
  access: 'request principal action !authorized secret? #secretVersion? result reason?',
  change: 'request principal action !authorized secret #secretVersion? verb',
  key: 'verb provider fingerprint operator? request? principal?',
  keyring: 'verb #entry fingerprint #versions? operator? request? principal?',
  place: 'request principal verb backend secret #secretVersion?',
  adopt: 'request principal action branch',
  'root-key': 'verb #number fingerprint operator? request? principal?',
  abandoned: '#of reason',
  unidentified: 'request ip reason',
  refusals: 'principal? ip #count first last',
  start: 'version provider? fingerprint?',
  stop: 'version',
  segment: '#format log #after #before #torn *open #lost branch? #key? #macsFrom? #unproven?',
  format: '#macsFrom',
}

function hasField(fields: Fields, wanted: string): boolean {
  const name = wanted.replaceAll(/\W/g, '')
  const value = fields[name]
  if (name === '' || value === undefined) return name === '' || wanted.endsWith('?')
  if (wanted.startsWith('#')) return Number.isSafeInteger(value)
  if (wanted.startsWith('!')) return typeof value === 'boolean'
  if (wanted.startsWith('*')) return Array.isArray(value) && value.every(Number.isSafeInteger)
  if (name !== 'principal') return typeof value === 'string'
  const { hostname, ip, user = '', tags = [] } = (value ?? {}) as Fields
  const texts = [hostname, ip, user, ...(Array.isArray(tags) ? tags : [tags, 0])]
  return texts.every((text) => typeof text === 'string')
}
