/** States of secrets with MACs that fit them, and with MACs of other states. */
import {
  flip,
  keyBytes,
  largest,
  type Named,
  openKeyring,
  otherStore,
  refused,
  rootBytes,
  storeId,
} from './base.ts'
import type { Keyring } from '../../../server/crypto/keyring.ts'
import type { StateVector } from './crypto-vector.ts'

type State = StateVector['state']

const baseState: State = {
  name: 'prod/app/db-password',
  incarnation: 2,
  active: 7,
  highest: 9,
  versions: [5, 6, 7, 9],
  removed: [1, 2, 3, 4, 8],
}

function state(comment: string, of: State, changes: Partial<StateVector> = {}): StateVector {
  return {
    comment,
    structure: 'state',
    expect: 'ok',
    storeId,
    rootKey: rootBytes.toString('hex'),
    state: of,
    mac: openKeyring('').mac(keyringState(of)).toString('hex'),
    ...changes,
  }
}

/** The state as the keyring takes it. */
function keyringState({ settings, ...of }: State): Parameters<Keyring['mac']>[0] {
  return settings === undefined ? of : { ...of, settings: Buffer.from(settings, 'hex') }
}

/** Every case of a state. */
export function states(): Named<StateVector>[] {
  const { mac } = state('', baseState)
  const set = { ...baseState, settings: Buffer.from('{"a":1}').toString('hex') }
  const changed: [what: string, comment: string, Partial<State>][] = [
    ['name', 'another name', { name: 'prod/app/db-passwore' }],
    ['incarnation', 'another incarnation', { incarnation: 1 }],
    ['active', 'another active version', { active: 9 }],
    ['highest', 'another highest number', { highest: 10 }],
    ['version-added', 'one version more', { versions: [5, 6, 7, 8, 9] }],
    ['version-lost', 'one version less', { versions: [5, 6, 7] }],
    ['tombstone-added', 'one tombstone more', { removed: [1, 2, 3, 4, 5, 8] }],
    ['tombstone-lost', 'one tombstone less', { removed: [1, 2, 3, 4] }],
    [
      'revived',
      'a version where it now has a tombstone',
      { versions: [5, 6, 7, 8, 9], removed: [1, 2, 3, 4] },
    ],
    [
      'lists-exchanged',
      'versions and tombstones exchanged',
      { versions: baseState.removed, removed: baseState.versions },
    ],
  ]
  return [
    ['state-plain', state('The plain case.', baseState)],
    [
      'state-first',
      state('A name with its first version.', {
        name: 'x',
        incarnation: 1,
        active: 1,
        highest: 1,
        versions: [1],
        removed: [],
      }),
    ],
    [
      'state-deleted',
      state('A name that was deleted.', {
        ...baseState,
        active: 0,
        versions: [],
        removed: [1, 2, 3, 4, 5, 6, 7, 8, 9],
      }),
    ],
    [
      'state-largest-numbers',
      state('The largest numbers, and a name of several alphabets.', {
        name: 'prod/größe/鍵/🔑',
        incarnation: largest,
        active: largest,
        highest: largest,
        versions: [1, largest - 1, largest],
        removed: [2],
      }),
    ],
    ['state-settings', state('A secret that has settings.', set)],
    [
      'state-other-settings',
      state('The settings are others.', set, {
        expect: refused('state'),
        mac: state('', { ...set, settings: Buffer.from('{"a":2}').toString('hex') }).mac,
      }),
    ],
    [
      'state-settings-lost',
      state('The settings are gone.', baseState, {
        expect: refused('state'),
        mac: state('', set).mac,
      }),
    ],
    ...changed.map(
      ([what, comment, change]): Named<StateVector> => [
        `state-other-${what}`,
        state(`The MAC is of a state with ${comment}.`, baseState, {
          expect: refused('state'),
          mac: state('', { ...baseState, ...change }).mac,
        }),
      ],
    ),
    [
      'state-other-store',
      state('The record is moved to another store.', baseState, {
        expect: refused('state'),
        storeId: otherStore,
      }),
    ],
    [
      'state-other-root-key',
      state('The root key is another one.', baseState, {
        expect: refused('state'),
        rootKey: keyBytes('another key').toString('hex'),
      }),
    ],
    [
      'state-mac-first-bit',
      state('The first bit of the MAC is flipped.', baseState, {
        expect: refused('state'),
        mac: flip(mac, 0, 0x80),
      }),
    ],
    [
      'state-mac-last-bit',
      state('The last bit of the MAC is flipped.', baseState, {
        expect: refused('state'),
        mac: flip(mac, 31, 1),
      }),
    ],
    [
      'state-mac-cut',
      state('The MAC lost its last byte.', baseState, {
        expect: refused('state'),
        mac: mac.slice(0, -2),
      }),
    ],
    [
      'state-mac-absent',
      state('There is no MAC.', baseState, { expect: refused('state'), mac: '' }),
    ],
  ]
}
