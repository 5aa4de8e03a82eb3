import { describe, expect, test } from 'vitest'
import { type Decision, decide, type Seen } from '../../server/mirror/decide.ts'
import type { Shown } from '../../server/store/mirrors.ts'

const wanted = { incarnation: 1, version: 3 }
const fingerprint = 'f'.repeat(64)

function of(version: number, revision: number, incarnation = 1): Shown {
  return { revision, incarnation, version, fingerprint }
}

function ours(version: number, revision: number, incarnation = 1): Seen {
  return { revision, deleted: false, ours: of(version, revision, incarnation) }
}

const stranger = (revision: number): Seen => ({ revision, deleted: false })
const deleted = (revision: number): Seen => ({ revision, deleted: true })

type Row = [title: string, shown: Shown | undefined, seen: Seen | undefined, Decision]

const settings = { onDrift: 'report', onDelete: 'keep' } as const

describe('a secret that is wanted', () => {
  test.each<Row>([
    ['is written where nothing is', undefined, undefined, { act: 'write', expected: 0 }],
    ['is left where it is right', of(3, 5), ours(3, 5), { act: 'nothing', shown: of(3, 5) }],
    [
      'is right also where only its mark tells so',
      undefined,
      ours(3, 5),
      { act: 'nothing', shown: of(3, 5) },
    ],
    ['is written over another version', of(2, 5), ours(2, 5), { act: 'write', expected: 5 }],
    [
      'is written over that of an earlier secret',
      of(3, 5, 2),
      ours(3, 5, 2),
      { act: 'write', expected: 5 },
    ],
    [
      'is written over what was intended when the server stopped',
      of(1, 4),
      ours(2, 5),
      { act: 'write', expected: 5 },
    ],
  ])('%s', (_, shown, seen, decision) => {
    for (const onDrift of ['report', 'overwrite', 'adopt'] as const) {
      expect(decide(wanted, { ...(shown && { shown }) }, seen, { ...settings, onDrift })).toEqual(
        decision,
      )
    }
  })

  test.each([
    ['foreign', undefined, stranger(1), 1],
    ['foreign', undefined, deleted(4), 4],
    ['edited', of(3, 5), stranger(6), 6],
    ['edited', of(3, 5), stranger(5), 5],
    ['deleted', of(3, 5), deleted(5), 5],
    ['removed', of(3, 5), undefined, 0],
    ['recreated', of(3, 5), stranger(1), 1],
    ['recreated', of(3, 5), deleted(2), 2],
  ] as const)(
    'that is %s there is reported, or written where that is asked for',
    (drift, shown, seen, expected) => {
      const known = { ...(shown && { shown }) }
      const by = (onDrift: 'report' | 'overwrite' | 'adopt'): Decision =>
        decide(wanted, known, seen, { ...settings, onDrift })
      const written = { act: 'write', expected, undoes: drift }
      expect(by('report')).toEqual({ act: 'report', drift })
      expect(by('overwrite')).toEqual(drift === 'foreign' ? { act: 'report', drift } : written)
      expect(by('adopt')).toEqual(written)
    },
  )
})

describe('a secret that was deleted here', () => {
  test.each<Row>([
    ['is kept where it is ours', of(3, 5), ours(3, 5), { act: 'keep' }],
    ['is kept whatever became of it', of(3, 5), stranger(6), { act: 'keep' }],
    ['is forgotten where it is not ours', undefined, stranger(6), { act: 'forget' }],
    ['is forgotten where nothing is', undefined, undefined, { act: 'forget' }],
  ])('%s, by a mirror that keeps', (_, shown, seen, decision) => {
    expect(decide(undefined, { ...(shown && { shown }) }, seen, settings)).toEqual(decision)
  })

  test.each<Row>([
    ['is removed where it is ours', of(3, 5), ours(3, 5), { act: 'remove', expected: 5 }],
    ['is removed by its mark', undefined, ours(3, 5), { act: 'remove', expected: 5 }],
    ['is forgotten where it is gone', of(3, 5), undefined, { act: 'forget' }],
    ['is forgotten where it never was ours', undefined, stranger(1), { act: 'forget' }],
    ['is never removed once edited', of(3, 5), stranger(6), { act: 'report', drift: 'edited' }],
    ['nor once made again', of(3, 5), stranger(1), { act: 'report', drift: 'recreated' }],
  ])('%s, by a mirror that removes', (_, shown, seen, decision) => {
    for (const onDrift of ['report', 'overwrite', 'adopt'] as const) {
      const removing = { onDrift, onDelete: 'remove' } as const
      expect(decide(undefined, { ...(shown && { shown }) }, seen, removing)).toEqual(decision)
    }
  })
})
