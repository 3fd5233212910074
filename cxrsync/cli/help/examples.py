"""Examples of the commands, for their help and man pages. A test parses each of them."""

from __future__ import annotations

# Command → command lines, each with what it does.
EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "pull": (
        (
            "cxrsync pull --jpg --shard p10",
            "One tenth of the images of MIMIC-CXR-JPG, and its tables; run it again to resume",
        ),
        (
            "cxrsync pull --jpg --split test --dry-run",
            "What the test split would take in bytes and hours; nothing is fetched",
        ),
        (
            'cxrsync pull --jpg --frontal --label "Pneumonia=1" --dest /data',
            "Frontal images with pneumonia, into /data",
        ),
    ),
    "verify": (
        ("cxrsync verify --jpg", "Hash everything that was pulled"),
        ("cxrsync verify --jpg --repair", "Fetch what is bad or missing, too"),
        (
            "cxrsync verify --jpg --scrub 30d --repair",
            "Each night a share, so that each file is hashed every 30 days",
        ),
    ),
    "slurm": (
        ("cxrsync slurm pull --jpg > jpg.sh", "A script, to be read and given to sbatch"),
        ("cxrsync slurm verify --jpg --submit", "Verify on many nodes; submit the script, too"),
    ),
    "index": (
        ("cxrsync index --jpg --frontal --output frontal.csv", "A table of all frontal images"),
        (
            "cxrsync index --jpg --as torchxrayvision --output .",
            "What a loader of images reads, of those that are here",
        ),
    ),
    "resize": (
        ("cxrsync resize --jpg", "512 pixels, into mimic-cxr-jpg-512 beside the dataset"),
        ("cxrsync resize --jpg --split test --pixels 256", "A part of them, smaller"),
    ),
    "receipt": (
        ("cxrsync receipt --output receipt.json", "What this tree was pulled with"),
        ("cxrsync receipt --check receipt.json", "Whether a tree has the files of a receipt"),
    ),
    "cite": (
        ("cxrsync cite mimic-cxr-jpg", "The newest version, or the one that is here"),
        ("cxrsync cite mimic-cxr-jpg/2.0.0 --bibtex", "One version, for LaTeX"),
    ),
    "ls": (
        ("cxrsync ls --jpg --frontal", "The paths of all frontal images"),
        (
            "cxrsync ls --jpg --shard p10 --format sha256sum",
            "The checksums of one shard, for sha256sum -c",
        ),
    ),
    "info": (
        ("cxrsync info", "The datasets that are known"),
        ("cxrsync info mimic-cxr-jpg", "One dataset: versions, size, tables, agreement, DOI"),
    ),
    "head": (
        ("cxrsync head split", "The split table of MIMIC-CXR-JPG"),
        ("cxrsync head mimic-cxr/cxr-record-list --rows 3", "A table of another dataset"),
    ),
    "diff": (("cxrsync diff --jpg 2.0.0 2.1.0", "What changed, and how much a pull would fetch"),),
    "status": (
        ("cxrsync status --jpg", "Verified and missing files, by shard"),
        ("cxrsync status --jpg --html report.html", "The same as a page with pictures"),
    ),
    "mirror": (
        ("cxrsync mirror --init jobs.yaml", "Once: mark the destination of each job"),
        ("cxrsync mirror --check jobs.yaml", "What each job would do"),
        ("cxrsync mirror jobs.yaml", "Every night"),
    ),
    "access": (
        ("cxrsync access", "MIMIC-CXR and MIMIC-CXR-JPG, the newest version of each"),
        ("cxrsync access mimic-cxr-jpg/2.0.0", "One version of one dataset"),
    ),
    "help": (
        ("cxrsync help selection", "A topic"),
        ("cxrsync help pull", "A command, as cxrsync pull --help"),
        ("cxrsync help 7", "What exit code 7 means"),
    ),
    "demo": (
        ("cxrsync demo", "Watch a pull, a kill, a resume and a verification"),
        ("cxrsync demo --serve", "Keep the server running, to try commands by hand"),
    ),
}
