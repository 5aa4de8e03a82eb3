/** Appends to the store at argv[2] without end and prints the number of each version once answered. */
import { openStore } from '../../server/store/sqlite/store.ts'
import { Hand } from '../contract/store-hand.ts'

const store = await openStore(process.argv[2] as string)
const hand = new Hand(store, (await store.head()).audit?.id)
process.stdout.write('open\n')
for (;;) {
  await hand.append('a')
  process.stdout.write(`${(await store.find('a'))?.highest}\n`)
}
