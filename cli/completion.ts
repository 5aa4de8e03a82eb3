/** `sotto completion SHELL`, made from the table of commands. */
import { quote, SottoError } from '../client/api/errors.ts'
import type { Flags } from './arguments.ts'
import type { Command, CommandTable } from './command.ts'
import type { Invocation } from './invocation.ts'

/**
 * Names come from a server, so no script may hand them to its shell to be evaluated: bash's
 * `compgen -W` would run what stands in `$(…)`.
 */
const askNames = 'list --only-names --timeout 2 2>/dev/null'

/** Prints the script for a shell. Throws `usage` for one that is not known. */
export async function completion(invocation: Invocation, table: CommandTable): Promise<void> {
  const shell = invocation.word(0) ?? ''
  const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined
  if (!script) {
    throw new SottoError('usage', `There is no completion for ${quote(shell)}`, {
      hint: 'It is one of: bash, zsh, fish.',
    })
  }
  await invocation.io.stdout.write(
    script({ raw: table.raw, globalFlags: table.globalFlags, all: await table.all() }),
  )
}

interface Commands extends Pick<CommandTable, 'raw' | 'globalFlags'> {
  readonly all: readonly Command[]
}

const scripts: Readonly<Record<string, (commands: Commands) => string>> = { bash, zsh, fish }

/** First words of commands: `audit` stands for all that begin with it. */
function firstWords(commands: Commands): string[] {
  return [
    ...new Set([...commands.raw, ...commands.all].map(({ name }) => name.split(' ')[0] as string)),
  ]
}

/** Second words, by the first. */
function groups(commands: Commands): [first: string, seconds: string[]][] {
  return firstWords(commands)
    .map((first): [string, string[]] => [
      first,
      commands.all
        .filter(({ name }) => name.startsWith(`${first} `))
        .map(({ name }) => name.slice(first.length + 1)),
    ])
    .filter(([, seconds]) => seconds.length > 0)
}

/** What stands at the first argument of a command. */
function argumentKind(
  { args }: Command,
  commands: Commands,
): 'secret' | 'path' | readonly string[] {
  const first = args[0]?.replace(/[[\]]/g, '')
  if (first === 'NAME') return 'secret'
  if (first === 'PATH') return 'path'
  if (first === 'COMMAND') return firstWords(commands)
  return first?.includes('|') ? first.split('|') : []
}

function flagWords(flags: Flags): string {
  return Object.keys(flags)
    .map((name) => `--${name}`)
    .join(' ')
}

/** A shell pattern of the flags that take a value, so that the value is not taken for an argument. */
function valueFlags(commands: Commands): string {
  const all: Flags = Object.assign(
    {},
    commands.globalFlags,
    ...commands.all.map(({ flags }) => flags),
  )
  return Object.entries(all)
    .filter(([, { value }]) => value !== undefined)
    .flatMap(([name, { short }]) => [`--${name}`, `-${name}`, ...(short ? [`-${short}`] : [])])
    .join('|')
}

/**
 * The part that bash and zsh have in common: which command is being typed, and at which argument.
 * Only a known word is a command, since bash takes a URL apart at its colons.
 */
function findCommand(commands: Commands, word: string, last: string): string {
  const seconds = groups(commands)
    .map(([first, words]) => `        ${first}) second='${words.join(' ')}' ;;\n`)
    .join('')
  return `  local command= second= count=0 at
  for ((at = ${last === 'COMP_CWORD' ? 1 : 2}; at < ${last}; at++)); do
    case ${word} in
      ${valueFlags(commands)}) ((at++)) ;;
      -*) ;;
      *)
        if [[ -z $command ]]; then
          case ${word} in
            ${firstWords(commands).join('|')}) command=${word} ;;
          esac
          case $command in
${seconds.replace(/^ {8}/gm, '            ')}          esac
        elif [[ -n $second ]]; then
          command="$command ${word}" second=
        else
          ((count++))
        fi ;;
    esac
  done
`
}

function bash(commands: Commands): string {
  const cases = commands.all
    .map((command) => {
      const kind = argumentKind(command, commands)
      const argument =
        kind === 'secret'
          ? 'names=yes'
          : kind === 'path'
            ? 'paths=yes'
            : `words='${[...kind].join(' ')}'`
      return `    '${command.name}') flags='${flagWords(command.flags)}' ${argument} ;;\n`
    })
    .join('')
  return `# Completes sotto in bash.
_sotto() {
  local cur=\${COMP_WORDS[COMP_CWORD]} flags= words= names= paths= name
${findCommand(commands, '${COMP_WORDS[at]}', 'COMP_CWORD')}  COMPREPLY=()
  case $command in
    '') words='${firstWords(commands).join(' ')}' ;;
${cases}  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$flags ${flagWords(commands.globalFlags)}" -- "$cur"))
  elif [[ \${COMP_WORDS[COMP_CWORD-1]} == --from-file || -n $paths ]]; then
    compopt -o default 2>/dev/null
  elif [[ -n $second ]]; then
    COMPREPLY=($(compgen -W "$second" -- "$cur"))
  elif [[ -n $words && $count == 0 ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
  elif [[ -n $names && $count == 0 ]]; then
    while IFS= read -r name; do
      [[ $name == "$cur"* ]] && COMPREPLY+=("$(printf %q "$name")")
    done < <("$1" ${askNames})
  fi
}
complete -F _sotto sotto
`
}

function zsh(commands: Commands): string {
  const described = [...commands.raw, ...commands.all]
    .filter(({ name }) => !name.includes(' '))
    .map(({ name, summary }) => `    ${single(`${name}:${summary}`)}\n`)
    .join('')
  const grouped = groups(commands)
    .map(([first, seconds]) => `    ${single(`${first}:${seconds.join(', ')}`)}\n`)
    .join('')
  const cases = commands.all
    .map((command) => {
      const kind = argumentKind(command, commands)
      const argument =
        kind === 'secret'
          ? 'names=yes'
          : kind === 'path'
            ? 'paths=yes'
            : `choices=(${[...kind].join(' ')})`
      return `    '${command.name}') flags=(${flagWords(command.flags)}) ${argument} ;;\n`
    })
    .join('')
  return `#compdef sotto
# Completes sotto in zsh.
_sotto() {
  local names= paths=
  local -a flags choices found all=(
${described}${grouped}  )
${findCommand(commands, '${words[at]}', 'CURRENT')}  case $command in
${cases}  esac
  if [[ $PREFIX == -* ]]; then
    compadd -- $flags ${flagWords(commands.globalFlags)}
  elif [[ \${words[CURRENT-1]} == --from-file || -n $paths ]]; then
    _files
  elif [[ -z $command ]]; then
    _describe command all
  elif [[ -n $second ]]; then
    compadd -- \${=second}
  elif [[ -n $names && $count == 0 ]]; then
    found=("\${(@f)$("\${words[1]}" ${askNames})}")
    compadd -a found
  elif [[ $count == 0 ]]; then
    compadd -a choices
  fi
}
(( $+functions[compdef] )) && compdef _sotto sotto
`
}

function fish(commands: Commands): string {
  const lines = ['# Completes sotto in fish.', 'complete -c sotto -f']
  for (const [name, flag] of Object.entries(commands.globalFlags))
    lines.push(fishFlag('', name, flag))
  const first = '-n __fish_use_subcommand'
  for (const word of firstWords(commands)) {
    const known = [...commands.raw, ...commands.all].find(({ name }) => name === word)
    lines.push(`complete -c sotto ${first} -a ${word} -d ${single(known?.summary ?? '')}`)
  }
  for (const [word, seconds] of groups(commands)) {
    const when = `__fish_seen_subcommand_from ${word}; and not __fish_seen_subcommand_from ${seconds.join(' ')}`
    lines.push(`complete -c sotto -n ${single(when)} -a ${single(seconds.join(' '))}`)
  }
  for (const command of commands.all) {
    const when = command.name
      .split(' ')
      .map((word) => `__fish_seen_subcommand_from ${word}`)
      .join('; and ')
    const condition = ` -n ${single(when)}`
    for (const [name, flag] of Object.entries(command.flags)) {
      lines.push(fishFlag(condition, name, flag))
    }
    const kind = argumentKind(command, commands)
    if (kind === 'secret') lines.push(`complete -c sotto${condition} -a '(sotto ${askNames})'`)
    else if (kind === 'path') lines.push(`complete -c sotto${condition} -F`)
    else if (kind.length > 0) {
      lines.push(`complete -c sotto${condition} -a ${single([...kind].join(' '))}`)
    }
  }
  return `${lines.join('\n')}\n`
}

function fishFlag(condition: string, name: string, { short, value, help }: Flags[string]): string {
  const letter = short === undefined ? '' : ` -s ${short}`
  const wants = value === undefined ? '' : value === 'FILE' ? ' -r -F' : ' -x'
  return `complete -c sotto${condition}${letter} -l ${name}${wants} -d ${single(help)}`
}

/** In single quotes for a shell. No text of ours has a quote of its own. */
function single(text: string): string {
  return `'${text}'`
}
