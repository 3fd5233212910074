"""The pages of the topics, from the option table and the table of exit codes."""

from __future__ import annotations

from cxrsync.cli.help.page import Block, Heading, Page, Rows, Text, Verbatim, examples
from cxrsync.config.option import Option, Section, Type
from cxrsync.config.option_table import OPTIONS
from cxrsync.exit_codes import MEANINGS, ORDER

# Variables that belong to no option.
OTHER_VARIABLES = (
    ("PHYSIONET_USERNAME", "The user name at PhysioNet."),
    ("PHYSIONET_PASSWORD", "The password."),
    ("PHYSIONET_PASSWORD_FILE", "A file of yours that holds the password (chmod 600)."),
    (
        "PHYSIONET_HOST",
        "The host that these three are for [default: physionet.org]. They are sent to no other.",
    ),
    ("NETRC", "The netrc file [default: ~/.netrc]."),
    ("CXRSYNC_DATASETS", "Your own catalogue [default: ~/.config/cxrsync/datasets.yaml]."),
    ("XDG_CONFIG_HOME, XDG_CACHE_HOME", "In place of ~/.config and ~/.cache."),
    (
        "HTTPS_PROXY, ALL_PROXY, NO_PROXY",
        (
            "The proxy, and hosts that are reached without it; in either case. For a server of "
            "plain http: http_proxy."
        ),
    ),
    ("NO_COLOR, TERM=dumb", "No bold headings in help. cxrsync uses no colours."),
    ("COLUMNS", "The width of help, in place of the terminal's."),
)

_STEPS = (
    ("1. account", "Register at https://physionet.org/register/."),
    (
        "2. training",
        (
            'The CITI course "Data or Specimens Only Research". Upload the completion '
            "report, not the certificate, at https://physionet.org/settings/training/."
        ),
    ),
    (
        "3. credentialing",
        "Apply at https://physionet.org/settings/credentialing/. It takes some days.",
    ),
    (
        "4. agreement",
        (
            "Sign the data use agreement of each dataset, and of each version: at the "
            "foot of https://physionet.org/content/mimic-cxr-jpg/2.1.0/, and so on."
        ),
    ),
)
_PASSWORDS = (
    ("1. variables", "PHYSIONET_USERNAME with PHYSIONET_PASSWORD or ..._PASSWORD_FILE"),
    ("2. keyring", "`cxrsync login` stores it there: pip install 'cxrsync[keyring]'"),
    ("3. ~/.netrc", "`cxrsync login --netrc` stores it there, readable by you only"),
    ("4. prompt", "on a terminal"),
)
_OWN_FOLDER = (
    ("tree.json", "dataset and version"),
    ("manifests/", "earlier manifests"),
    ("runs/", "one summary a run, the newest 400"),
    ("progress/", "the runs at work now"),
    ("trash/", "files that were displaced or left the manifest, by date"),
    ("p10/ … p19/, root/", "of each shard: its records, lock and partial files"),
)
_ALLOWED = (
    ("move the tree", "With its folder .cxrsync, while no run works on it."),
    (
        "delete trash/",
        "At any time; or let --trash-keep 30d do it.",
    ),
    (
        "delete .cxrsync",
        (
            "Nothing is fetched again: the next pull hashes what is there. Partial files, "
            "history and trash are lost, and a mirror must be marked again (--init)."
        ),
    ),
    (
        "change a file",
        "Do not: verify reports it as bad. Work on copies beside the tree.",
    ),
)


def _names(option: Option) -> str:
    names = f"{option.short}, {option.typed}" if option.short else option.typed
    return names if option.type is Type.FLAG else f"{names} {option.metavar}"


def _in_short(option: Option) -> str:
    """Return the name of an option, and the first sentence of its help."""
    sentence, *_more = option.help_text.split(". ")
    return f"{option.typed}: {sentence.rstrip('.')}."


def selection() -> Page:
    """Return the page about the selection."""
    rows = tuple(
        (_names(option), option.help_text)
        for option in OPTIONS
        if option.shown_in is Section.SELECTION
    )
    blocks: list[Block] = [
        Text(
            "pull, ls, verify, status and diff take the same selection. Try one with "
            "`cxrsync ls`, or with `cxrsync pull --dry-run`: nothing is fetched but the tables "
            "that decide."
        ),
        Heading("Rules"),
        Text("Without a selection, the whole version is selected: exactly its manifest."),
        Text(
            "Different options must all match. Values of one option are alternatives: "
            "`--split test --split validate` selects both, `--split test --frontal` the frontal "
            "images of the test split. Different labels must all match, too."
        ),
        Text(
            "A selection of images brings the tables along (--no-tables leaves them out), and "
            "with --dicom the reports of their studies. --only images, --only reports and so on "
            "select kinds of files."
        ),
        Text(
            "The split, metadata and label tables are in mimic-cxr-jpg only. With --dicom, the "
            "table that a selection needs is fetched from there into a tree of its own, under the "
            "agreement of that dataset; or --split-table names a file of yours."
        ),
        Text(
            "An id that the version does not have is refused; --skip-unknown leaves it out. "
            "@FILE reads ids, one a line or a column of a table; @- reads standard input."
        ),
        Heading("Options"),
        Rows(rows),
        Heading("Examples"),
        *examples(
            ("cxrsync pull --jpg --shard p10-p12", "Three shards"),
            ("cxrsync pull --jpg --split test --frontal", "The frontal images of the test split"),
            (
                'cxrsync pull --jpg --label "Pneumonia=1" --label "Edema=0"',
                "Pneumonia, and no edema",
            ),
            ("cxrsync pull --jpg --subject @subjects.csv", "The subjects of a table"),
            (
                "cxrsync pull --jpg --sample 500 --sample-by subject --seed 7",
                "A sample of subjects, the same on every machine",
            ),
            ("cxrsync pull --dicom --only reports", "All reports"),
            ("cxrsync pull --jpg --metadata-only", "Tables and documents"),
        ),
    ]
    return Page("cxrsync selection", "Which files a command is about.", tuple(blocks))


def exit_codes() -> Page:
    """Return the page about the exit codes."""
    rows = tuple(
        (str(int(code)), f"{what[0].upper()}{what[1:]}. {step}".strip())
        for code, (what, step) in MEANINGS.items()
    )
    order = ", ".join(str(int(code)) for code in ORDER)
    blocks: tuple[Block, ...] = (
        Rows(rows),
        Heading("Which one counts"),
        Text(f"If several apply, or for the jobs of a mirror: the first of {order}."),
        Text(
            "A run that a limit ends after a file has failed ends with 5; its summary (--json) "
            "says that it was limited, too."
        ),
        Heading("In a script"),
        Verbatim(
            (
                "cxrsync pull --jpg --shard p10",
                "case $? in",
                "    0) echo complete ;;",
                "    9|10) echo again later ;;",
                "    *) echo look at it ;;",
                "esac",
            )
        ),
    )
    return Page("cxrsync exit-codes", "What each exit code means, and what to do.", blocks)


def environment() -> Page:
    """Return the page about the variables of the environment."""
    rows = tuple((option.variable, _in_short(option)) for option in OPTIONS)
    blocks: tuple[Block, ...] = (
        Text(
            "Each option has a variable: CXRSYNC_ and its name. An option on the command line "
            "counts before its variable. A flag is set by 1, true, yes or on. An option that "
            "repeats takes one value a line."
        ),
        Text(
            "An unknown CXRSYNC_ variable, and an empty one, are refused: a list that is empty by "
            "mistake must not select everything. The options of `cxrsync demo` have no variables. "
            "The jobs of a mirror go by their file alone."
        ),
        Heading("Example"),
        Verbatim(
            (
                "export CXRSYNC_DEST=/data/physionet.org/files",
                "export CXRSYNC_SHARD=$'p10\\np11'",
                "cxrsync pull --jpg",
            )
        ),
        Heading("Variables without an option"),
        Rows(OTHER_VARIABLES),
        Heading("Variables of options"),
        Rows(rows),
    )
    return Page("cxrsync environment", "The variables of the environment.", blocks)


def access() -> Page:
    """Return the page about access to the data."""
    blocks: tuple[Block, ...] = (
        Text(
            "Begin with `cxrsync access`: it tries your account once, and names the first step "
            "that is missing, and the page where to go on."
        ),
        Heading("The steps"),
        Rows(_STEPS),
        Text(
            "PhysioNet refuses with the same page (403) whichever step is missing: exit code 4. A "
            "wrong password is 401: exit code 3. A refused password is never sent again."
        ),
        Heading("Where the password is looked for"),
        Text(
            "Only when the server asks for it, and in this order. The password is never an "
            "argument, and goes to no other host."
        ),
        Rows(_PASSWORDS),
        Text(
            "Cron, systemd and batch systems open no keyring: use PHYSIONET_PASSWORD_FILE or "
            "~/.netrc there. `cxrsync whoami` says which one is used; `cxrsync logout` deletes it."
        ),
        Heading("What the agreement asks"),
        Text(
            "Access is yours alone: who reads the files needs an agreement of their own. Do not "
            "share them, put them into a repository or send them to an online service; do not "
            "try to identify anybody. Report what seems to identify a person to "
            "PHI-report@physionet.org, by its place, not in a public issue. cxrsync is not "
            "affiliated with PhysioNet."
        ),
    )
    return Page("cxrsync access", "How to get access to the data.", blocks)


def layout() -> Page:
    """Return the page about the tree on the disk."""
    blocks: tuple[Block, ...] = (
        Text(
            "--dest DIR holds the tree that `wget -r -N -c -np` would have made, byte for byte "
            "and time for time: either program goes on with the other's work."
        ),
        Verbatim(
            (
                "DIR/mimic-cxr-jpg/2.1.0/",
                "    SHA256SUMS.txt      the manifest: every file and its checksum",
                "    *.csv.gz            the tables",
                "    files/p10/p10000032/s50414267/02aa804e-….jpg",
                "    .cxrsync/           what cxrsync knows about this tree",
            )
        ),
        Text(
            "A tree is looked for in DIR/NAME/VERSION, DIR/physionet.org/files/NAME/VERSION, "
            "DIR/files/NAME/VERSION, DIR/VERSION and DIR itself, nowhere else. The same rule "
            "holds for --from."
        ),
        Heading("The folder .cxrsync"),
        Rows(_OWN_FOLDER),
        Heading("What you may do"),
        Rows(_ALLOWED),
        Text(
            "Files are readable by their owner only; --permissions lets a group read them. A file "
            "has its final name only when it is complete and verified. Each image is a file: JPG "
            "takes about 670,000 inodes, DICOM 898,000."
        ),
    )
    return Page("cxrsync layout", "What is where on the disk.", blocks)
