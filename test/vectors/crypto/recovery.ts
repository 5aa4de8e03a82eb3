/**
 * Root keys wrapped to a recovery key, right and wrong. Whoever wraps chooses at random, so these were
 * made once and are kept as they are.
 */
import { flip, type Named, otherStore, refused, rootBytes, storeId } from './base.ts'
import type { Reason, RecoveryWrapVector } from './crypto-vector.ts'

const identity = 'AGE-SECRET-KEY-1Y9T6L290HXPWFFCAD4PF0LTKG3CESDZXWPZ6FSHYPT8D4K7DZ0US3ZHQVM'
const otherIdentity = 'AGE-SECRET-KEY-1DJX5CJF0R554NMR5HQZG6Z83UNC85WVG35YDDSWRKXHHKUXX0VMQ22KPVH'

/** The fields of a root key, then the root key. */
const right =
  '6167652d656e6372797074696f6e2e6f72672f76310a2d3e20583235353139206830535a5343676f59643977' +
  '6738744b737a4e35347549614972686a79634862384d5a5261702f55446b490a696e753551316439312f6b67' +
  '7135693053736c6f76672b45584e66583774765448746532617855384757550a2d2d2d20654c6930334c6559' +
  '524f3955492f72742b645268527477525a6f7a46596d6e776a385278365471715356730a398bc0f24d126f6f' +
  '865ee29eb4858075564a1b54f37dde28d0a7f062d0da7d0f45ffd5afab443e086a9b958245a7dc75fbaf6b99' +
  '51abe551ecabc1541971bc62f51f8611dcba9861efe2e005511949756551755c1f032dc09f9f23ecc0708f78' +
  'be0a6a603399b06eacb99a6e6110a620305f3afa'

/** The root key alone. */
const bare =
  '6167652d656e6372797074696f6e2e6f72672f76310a2d3e20583235353139204f6f682b796b6e4a585a6e6e' +
  '383864695561634c2b4c50646e574f66614665383133496650432f4f5a316b0a31734f2b76346b512b734438' +
  '50726b4638677043314b4c66454f5341734874514571756b522b484c5547410a2d2d2d207a385a2f714e5139' +
  '3370745a5378656932697a4139616c7a6168306f7579567242414661506d542b71466f0a3ba8027c6bfcb066' +
  '484bba66de44e9cf081f7052c2a6f1f8343c13e0862036afe4fc6db3d5e57bc34b0ab156446b2175e5078648' +
  'f0af0648887154c2821ef1d3'

/** The fields, then a root key that lacks its last byte. */
const short =
  '6167652d656e6372797074696f6e2e6f72672f76310a2d3e20583235353139207a6469577548756b4d683238' +
  '566e77362f557242456c362f614c4c6e35526d2f526b58326446474263326f0a356c515446634279684c644c' +
  '345a30465476574d446d534566596b785449566c705273666930652b364f730a2d2d2d202b2f763852355634' +
  '474f66412b4e6f6c37766949697a63317032553351567a2b6f416f65332f6f636262550ab4821399dc020bad' +
  '341931d2b769b364d07a06abd187ca5709c788cb1a4360e2d1051a3368d1326ee36c86518998fa3dadceb971' +
  '79bffb11255154b0a99c9793b6742a47fc0c161b5e1103e15a84c8da21e6e4a61f9b7ada0a07903d66c8de69' +
  '7234bed4e2e28bec907d7625b631d3ab7d42b6'

/** Wraps that open, and wraps that must not. */
export function recoveryWraps(): Named<RecoveryWrapVector>[] {
  const vector = (
    comment: string,
    because: Reason | undefined,
    changes: Partial<RecoveryWrapVector> = {},
  ): RecoveryWrapVector => ({
    comment,
    structure: 'recovery-wrap',
    expect: because === undefined ? 'ok' : refused('recovery-wrap', because),
    storeId,
    identity,
    wrapped: right,
    ...(because === undefined ? { rootKey: rootBytes.toString('hex') } : {}),
    ...changes,
  })
  return [
    ['recovery-wrap-plain', vector('The plain case.', undefined)],
    [
      'recovery-wrap-moved-store',
      vector('The wrap is moved to another store.', 'store', { storeId: otherStore }),
    ],
    [
      'recovery-wrap-bare',
      vector('The root key is wrapped without the fields before it.', 'store', { wrapped: bare }),
    ],
    ['recovery-wrap-short-key', vector('The root key lacks a byte.', 'store', { wrapped: short })],
    [
      'recovery-wrap-other-key',
      vector('The identity is another one.', 'authentication', { identity: otherIdentity }),
    ],
    [
      'recovery-wrap-first-bit',
      vector('The first bit is changed.', 'authentication', { wrapped: flip(right, 0, 0x80) }),
    ],
    [
      'recovery-wrap-header-bit',
      vector('A bit of the key share is changed.', 'authentication', {
        wrapped: flip(right, 50, 0x01),
      }),
    ],
    [
      'recovery-wrap-last-bit',
      vector('The last bit is changed.', 'authentication', {
        wrapped: flip(right, right.length / 2 - 1, 0x01),
      }),
    ],
    [
      'recovery-wrap-cut',
      vector('The last byte is missing.', 'authentication', { wrapped: right.slice(0, -2) }),
    ],
    ['recovery-wrap-empty', vector('There are no bytes.', 'authentication', { wrapped: '' })],
  ]
}
