/** Locks the directory argv[2], says so, and stays. */
import { lockDirectory } from '../../server/store/lock.ts'

lockDirectory(process.argv[2] as string)
process.stdout.write('locked\n')
setInterval(() => {}, 60_000)
