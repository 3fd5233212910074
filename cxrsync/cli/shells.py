"""What bash, zsh and fish run to complete the command line, and what they are answered.

A shell runs ``cxrsync`` with the variable ``_CXRSYNC_COMPLETE`` (the name of the shell) and with
the command line up to the cursor in ``COMP_LINE``. Each line of the answer is a kind, a value and
an explanation, separated by tabs. The kinds ``dir`` and ``file`` leave it to the shell to complete
a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

COMPLETE_VARIABLE = "_CXRSYNC_COMPLETE"

_BASH = r"""_cxrsync_completion() {
    local line rest
    COMPREPLY=()
    while IFS= read -r line; do
        rest=${line#*$'\t'}
        case ${line%%$'\t'*} in
            dir) compopt -o plusdirs 2>/dev/null ;;
            file)
                [[ $2 == @* ]] || compopt -o default 2>/dev/null
                [[ $2 == @* ]] && while IFS= read -r rest; do
                    [[ -d $rest ]] && rest+=/ && compopt -o nospace 2>/dev/null
                    printf -v rest %q "$rest"
                    COMPREPLY+=("@$rest")
                done < <(compgen -f -- "${2#@}")
                ;;
            plain) COMPREPLY+=("${rest%%$'\t'*}") ;;
        esac
    done < <(COMP_LINE=${COMP_LINE:0:COMP_POINT} COMP_WORDBREAKS=$COMP_WORDBREAKS \
        _CXRSYNC_COMPLETE=bash "$1" 2>/dev/null)
}
complete -o nosort -F _cxrsync_completion cxrsync 2>/dev/null ||
    complete -F _cxrsync_completion cxrsync
"""

_ZSH = r"""#compdef cxrsync
_cxrsync() {
    local line
    local -a parts values texts
    for line in "${(@f)$(COMP_LINE="${(j: :)words[1,CURRENT]}" _CXRSYNC_COMPLETE=zsh \
            "${words[1]}" 2>/dev/null)}"; do
        parts=("${(@ps:\t:)line}")
        case ${parts[1]} in
            dir) compset -P '--*='; _path_files -/ ;;
            file) compset -P '--*='; compset -P '@'; _path_files ;;
            plain)
                values+=("${parts[2]}")
                texts+=("${parts[2]}${parts[3]:+  -- ${parts[3]}}")
                ;;
        esac
    done
    (( $#values )) && compadd -V cxrsync -l -d texts -a values
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
    _cxrsync "$@"
else
    compdef _cxrsync cxrsync
fi
"""

_FISH = r"""function _cxrsync_completion
    set -l word (commandline -ct)
    set -l before (string match -r -- '^(?:--[^=]*=)?@?' $word)
    set -l path (string sub -s (math (string length -- "$before") + 1) -- $word)
    for line in (COMP_LINE=(commandline -cp) _CXRSYNC_COMPLETE=fish cxrsync 2>/dev/null)
        set -l parts (string split -m 2 \t -- $line)
        switch $parts[1]
            case dir
                printf '%s\n' $before(__fish_complete_directories $path '')
            case file
                printf '%s\n' $before(__fish_complete_path $path)
            case plain
                printf '%s\t%s\n' $parts[2] $parts[3]
        end
    end
end
complete --no-files --keep-order --command cxrsync --arguments '(_cxrsync_completion)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

_SPECIAL = re.compile(r"([^\w@%+=:,./-])")


@dataclass(frozen=True, slots=True)
class TypedLine:
    """A command line up to the cursor. ``last``: the word at the cursor, without its quotes.
    ``quote``: the quote that is open there, or ""."""

    words: tuple[str, ...]
    last: str
    quote: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """What may stand at the cursor. ``kind``: plain, dir or file."""

    kind: str
    value: str
    text: str = ""


def read_line(line: str) -> TypedLine:
    """Split a command line as a shell does; a quote may be open at its end."""
    words: list[str] = []
    word: str | None = None
    quote = ""
    characters = iter(line)
    for each in characters:
        if each == "\\" and quote != "'":
            word = (word or "") + next(characters, "")
        elif quote:
            quote, word = ("", word) if each == quote else (quote, (word or "") + each)
        elif each in "'\"":
            quote, word = each, word or ""
        elif each.isspace():
            words, word = ([*words, word], None) if word is not None else (words, None)
        else:
            word = (word or "") + each
    return TypedLine(tuple(words), word or "", quote)


def answer(
    shell: str, typed: TypedLine, found: Sequence[Candidate], environ: Mapping[str, str]
) -> Iterator[str]:
    """Return the lines that a shell is answered. ``found``: what may replace the last word, or,
    behind ``--option=``, the value of the option."""
    option = _option_before(typed.last)
    cut = _cut_by_bash(typed, environ) if shell == "bash" else 0
    for each in found:
        value = each.value
        if each.kind == "plain":
            whole = value if value.startswith("--") else option + value
            value = whole[cut:]
            if shell == "bash" and not typed.quote:
                value = _SPECIAL.sub(r"\\\1", value)
        yield "\t".join((each.kind, value, " ".join(each.text.split())))


def _option_before(word: str) -> str:
    """Return the ``--option=`` that a word begins with, or ""."""
    name, sign, _ = word.partition("=")
    return name + sign if sign and name.startswith("--") else ""


def _cut_by_bash(typed: TypedLine, environ: Mapping[str, str]) -> int:
    """Return how many characters of the last word bash keeps, because it completes only what
    stands behind a break such as "=". In quotes there are no breaks."""
    breaks = [each for each in "=:" if each in environ.get("COMP_WORDBREAKS", "=:")]
    return 0 if typed.quote else 1 + max((typed.last.rfind(each) for each in breaks), default=-1)
