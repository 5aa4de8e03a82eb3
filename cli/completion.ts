/** `sotto completion SHELL`: a script that has its shell ask `sotto complete` what fits. */
import { quote, SottoError } from '../client/api/errors.ts'
import type { Invocation } from './invocation.ts'

/** Prints the script for a shell. Throws `usage` for one that is not known. */
export async function completion(invocation: Invocation): Promise<void> {
  const shell = invocation.word(0) ?? ''
  const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined
  if (script !== undefined) return invocation.io.stdout.write(script)
  throw new SottoError('usage', `There is no completion for ${quote(shell)}`, {
    hint: `It is one of: ${Object.keys(scripts).join(', ')}.`,
  })
}

/**
 * Names come from a server, so no script may have its shell evaluate what it reads: bash's
 * `compgen -W`, for one, would run a name such as `$(reboot)`.
 */
const scripts: Readonly<Record<string, string>> = {
  bash: `# Completes sotto in bash.
_sotto() {
  local kind line
  COMPREPLY=()
  {
    IFS= read -r kind
    while IFS= read -r line; do
      printf -v line %q "\${line%%$'\\t'*}"
      COMPREPLY+=("$line")
    done
  } < <("$1" complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  [[ $kind != files ]] || compopt -o default 2>/dev/null
}
complete -F _sotto sotto
`,
  zsh: `#compdef sotto
# Completes sotto in zsh.
_sotto() {
  local -a found=("\${(@f)$("\${words[1]}" complete -- "\${(@)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
  if [[ $found[1] == files ]]; then
    compset -P '-*='
    _files
  elif (( $#found > 1 )); then
    shift found
    local -a values=("\${(@)found%%$'\\t'*}") shown=("\${(@)found/$'\\t'/  -- }") long
    [[ $found[1] != *$'\\t'* ]] || long=(-l)
    compadd $long -d shown -a values
  fi
}
(( $+functions[compdef] )) && compdef _sotto sotto
`,
  fish: `# Completes sotto in fish.
function __sotto_complete
  set -l before (commandline -opc)
  set -l current (commandline -ct)
  set -l found (sotto complete -- $before[2..-1] "$current" 2>/dev/null)
  if test "$found[1]" = files
    __fish_complete_path "$current"
  else if set -q found[2]
    string join \\n -- $found[2..-1]
  end
end
complete -c sotto -f -a '(__sotto_complete)'
`,
}
