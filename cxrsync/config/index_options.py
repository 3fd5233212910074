"""The part of the option table that concerns the index of images."""

from __future__ import annotations

from cxrsync.config.option import Group, Option, Type

INDEX = (
    Option(
        "present", Type.FLAG, Group.COMMAND, help="Only the images that are on the disk.",
        near="existing only_present on_disk downloaded local",
    ),
    Option(
        "as", Type.CHOICE, Group.COMMAND, metavar="LOADER",
        words=("torchxrayvision", "huggingface"),
        help="Write what a loader reads as it stands, into the folder that --output names: "
        "torchxrayvision (the two tables of its MIMIC_Dataset) or huggingface (metadata.jsonl of "
        "an imagefolder); only of images that are on the disk.",
        near="loader for format to",
    ),
    Option(
        "pixels", Type.INT, Group.COMMAND, metavar="PX", default=512, at_least=16, at_most=4096,
        help="The shorter side of the copies [default: {default}]. Smaller images keep their size.",
        near="size px resize width height resolution side",
    ),
    Option(
        "output", Type.PATH, Group.COMMAND, short="-o", metavar="FILE", example="index.csv",
        help="Write to FILE; its name ends in .csv, .jsonl or .parquet. It appears when it is "
        "whole.",
        near="out outfile output_file write_to format file",
    ),
)  # fmt: skip
