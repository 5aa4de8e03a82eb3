/**
 * A program for tests: says its number and its values, and then each signal that it gets. Its arguments are the signals
 * that it leaves as they are.
 */
const left = process.argv.slice(2)
const signals =
  'SIGHUP SIGINT SIGQUIT SIGUSR1 SIGUSR2 SIGALRM SIGTERM SIGCONT SIGTSTP SIGWINCH SIGPWR SIGIO SIGURG'
for (const signal of signals.split(' ')) {
  if (!left.includes(signal)) process.on(signal, () => process.stdout.write(`got ${signal} .\n`))
}
// A test that failed does not end it.
setTimeout(() => process.exit(9), 300_000)
process.stdout.write(`ready ${process.pid} .\n`)
