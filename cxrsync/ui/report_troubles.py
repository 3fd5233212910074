"""What is wrong with files and runs, in the words of the HTML report, and what to do next. Pure."""

from __future__ import annotations

from cxrsync.errors import ExitCode
from cxrsync.report_data import ReportData, Trouble
from cxrsync.ui.report_headline import last_failed

TROUBLE_WORDS = {
    Trouble.FAILED: "not fetched",
    Trouble.MISMATCHED: "unlike the published digest",
    Trouble.ACKNOWLEDGED: "unlike the published digest, acknowledged",
    Trouble.GONE: "verified before, gone now",
    Trouble.CHANGED: "changed since verified",
    Trouble.OUTDATED: "not the file that the manifest names now",
    Trouble.UNREADABLE: "not readable",
    Trouble.REFUSED: "manifest line not followed",
}
_NEXT_STEPS = {
    Trouble.FAILED: "Run cxrsync pull again: only these files are asked for. Where the reason "
    "stays the same, open one of the files in a browser, and tell PhysioNet if that fails too.",
    Trouble.MISMATCHED: "The source sent the same wrong bytes twice. Report these files to "
    "PhysioNet; cxrsync pull names them. To accept that they are missing, list them with "
    "--acknowledge.",
    Trouble.ACKNOWLEDGED: "Nothing to do: a pull asks for them again when the manifest or the "
    "source's copy has changed.",
    Trouble.GONE: "Check that the whole disk is mounted, and whether a purge or a person has "
    "deleted them. Then run cxrsync pull: only these files are fetched again.",
    Trouble.CHANGED: "Run cxrsync pull: it hashes them, keeps those that are right, and fetches "
    "the others again after it has moved them to the trash.",
    Trouble.OUTDATED: "Run cxrsync pull: it replaces them, and moves the old ones to the trash.",
    Trouble.UNREADABLE: "Check the permissions of their folders, and the disk (dmesg, smartctl). "
    "Then run cxrsync pull.",
    Trouble.REFUSED: "Such a line is damaged, or its path would lead out of the tree. Report it to "
    "PhysioNet; all other files are mirrored.",
}
_RUN_STEPS = {
    ExitCode.UNEXPECTED: "Run it again with cxrsync --debug, and report what it says.",
    ExitCode.USAGE: "Correct the options that the message names.",
    ExitCode.CREDENTIALS: "Sign in at https://physionet.org/login/ to check the password, and set "
    "it anew where the run looks for it (PHYSIONET_PASSWORD_FILE, keyring or ~/.netrc).",
    ExitCode.ACCESS: "Open the dataset's page on PhysioNet. Its data use agreement is signed for "
    "each version, and the required training expires: renew it in the settings of your account.",
    ExitCode.FILES_FAILED: "Run it again: only the files that failed are asked for.",
    ExitCode.CONTRADICTED: "Report the files to PhysioNet, or list them with --acknowledge.",
    ExitCode.DISK: "Mend what the message says of the disk, then run it again. Nothing is lost.",
    ExitCode.UNREACHABLE: "Check the network, and https://physionet.org in a browser; then run it "
    "again. Nothing is lost.",
    ExitCode.REFUSED: "A person must look at what the message names. Nothing was changed.",
}


def next_step(trouble: Trouble) -> str:
    """What a person can do about it."""
    return _NEXT_STEPS[trouble]


def run_step(data: ReportData) -> str:
    """What to do about the last run, empty where it did not fail."""
    if not last_failed(data):
        return ""
    code = data.runs[-1].exit_code
    return next((step for known, step in _RUN_STEPS.items() if known == code), "")
