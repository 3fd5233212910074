"""The part of the option table that selects a dataset, and files of it."""

from __future__ import annotations

from cxrsync.config.option import Group, Option, Type
from cxrsync.config.selection import CHEXPERT, Unit

DATASET = (
    Option(
        "jpg", Type.FLAG, Group.DATASET,
        help="MIMIC-CXR-JPG: the images as JPG, labels and splits; 558 GB.",
        near="jpeg jpgs mimic_cxr_jpg",
    ),
    Option(
        "dicom", Type.FLAG, Group.DATASET,
        help="MIMIC-CXR: the images as DICOM, and the reports; 4.7 TB.",
        near="dcm dicoms mimic_cxr",
    ),
    Option(
        "dataset", Type.TEXT, Group.DATASET, metavar="SLUG", example="mimic-cxr-jpg",
        help="Any PhysioNet dataset, by its name or its address on PhysioNet, as NAME or "
        "NAME/VERSION.",
        near="slug project database db name",
    ),
    Option(
        "dataset_version", Type.TEXT, Group.DATASET, metavar="V", example="2.1.0",
        help="As 2.1.0 [default: the version in DEST, else the newest]; latest: the newest.",
        near="version release revision tag",
    ),
)  # fmt: skip

SELECTION = (
    Option(
        "shard", Type.SHARD, Group.SELECTION, metavar="P10", repeatable=True, example="p10",
        help="A tenth of the subjects, by the first digits of their ids: p10 to p19; also 10, "
        "p10-p14 and p10,p12; repeatable.",
        near="shards folder folders part partition chunk",
    ),
    Option(
        "split", Type.TEXT, Group.SELECTION, metavar="S", repeatable=True, example="test",
        help="train, validate or test; with --split-table the names in it; repeatable.",
        near="splits subset fold set train test validate val",
    ),
    Option(
        "subject", Type.IDS, Group.SELECTION, metavar="ID", repeatable=True, example="p10000032",
        help="p10000032, or @FILE with ids (one a line, a CSV or TSV table with a column "
        "subject_id, JSON; also .gz; @- reads standard input); repeatable.",
        near="subjects subject_id subject_ids patient patients patient_id participant",
    ),
    Option(
        "study", Type.IDS, Group.SELECTION, metavar="ID", repeatable=True, example="s50414267",
        help="s50414267, or @FILE with ids, as above; repeatable.",
        near="studies study_id study_ids exam exams accession",
    ),
    Option(
        "image", Type.IDS, Group.SELECTION, metavar="ID", repeatable=True,
        example="02aa804e-bde0afdd-112c0b34-7bc16630-4e384014",
        help="A DICOM id, or @FILE with ids, as above; repeatable.",
        near="images image_id image_ids dicom_id dicom_ids instance files_from",
    ),
    Option(
        "skip_unknown", Type.FLAG, Group.SELECTION, advanced=True,
        help="Leave out ids that the version does not have, and name them, instead of refusing "
        "them. At least one must be there.",
        near="ignore_unknown skip_missing ignore_missing allow_missing allow_unknown",
    ),
    Option(
        "view", Type.TEXT, Group.SELECTION, advanced=True,
        metavar="PA,AP", repeatable=True, example="PA",
        help="View positions, such as PA, AP, LATERAL or LL; blank: none is recorded; repeatable.",
        near="views view_position projection position",
    ),
    Option("frontal", Type.FLAG, Group.SELECTION, help="Views PA and AP.", near="front pa ap"),
    Option(
        "lateral", Type.FLAG, Group.SELECTION, advanced=True,
        help="Views LATERAL and LL.", near="side ll",
    ),
    Option(
        "label", Type.TEXT, Group.SELECTION, metavar="L=V", repeatable=True, example="Pneumonia=1",
        help='"Pneumonia=1" (or 0, -1, blank). Values of one label are alternatives; different '
        "labels must all match.",
        near="labels finding findings diagnosis pathology disease class",
    ),
    Option(
        "labeler", Type.TEXT, Group.SELECTION, metavar="NAME", example="negbio", default=CHEXPERT,
        advanced=True,
        help="chexpert or negbio [default: {default}].",
        near="labeller labelers annotator chexpert negbio",
    ),
    Option(
        "only", Type.TEXT, Group.SELECTION, metavar="KIND", repeatable=True, example="images",
        help="images, reports, tables, archives or docs; repeatable.",
        near="kind kinds type types file_type filetype content",
    ),
    Option(
        "metadata_only", Type.FLAG, Group.SELECTION, help="Tables and documents, no images.",
        near="metadata tables_only csv_only only_metadata no_images",
    ),
    Option(
        "include", Type.TEXT, Group.SELECTION, metavar="GLOB", repeatable=True, example="*.dcm",
        help="Only paths that match the glob; * matches / too. @FILE has globs or paths, one a "
        "line; repeatable.",
        near="A accept accept_regex pattern filter glob match iinclude path",
    ),
    Option(
        "exclude", Type.TEXT, Group.SELECTION, advanced=True,
        metavar="GLOB", repeatable=True, example="*.dcm",
        help="No paths that match the glob, or those of @FILE; repeatable.",
        near="R reject reject_regex ignore skip omit iexclude",
    ),
    Option(
        "limit", Type.INT, Group.SELECTION, metavar="N", at_least=1,
        help="The first N files (tables not counted).",
        near="first head count max_count max_images",
    ),
    Option(
        "sample", Type.INT, Group.SELECTION, metavar="N", at_least=1,
        help="N images (or subjects or studies, see --sample-by) drawn at random, the same ones on "
        "every machine.",
        near="random subsample sample_size",
    ),
    Option(
        "sample_by", Type.CHOICE, Group.SELECTION, metavar="UNIT",
        words=tuple(each.value for each in Unit), default=Unit.IMAGE.value, advanced=True,
        help="The unit of --sample: subject, study or image [default: {default}].",
        near="by group_by unit stratify",
    ),
    Option(
        "seed", Type.INT, Group.SELECTION, metavar="S", default=0, advanced=True,
        help="The seed of --sample, a whole number [default: {default}].",
        near="random_seed random_state",
    ),
    Option(
        "split_table", Type.PATH, Group.SELECTION, metavar="FILE", advanced=True,
        help="Read the splits from this file instead of the published table: CSV, TSV, or JSON by "
        "split.",
        near="split_csv annotation",
    ),
    Option(
        "no_tables", Type.FLAG, Group.SELECTION, advanced=True,
        help="Leave out the tables, which come with selected images.",
        near="skip_tables without_tables images_only no_metadata no_csv",
    ),
)  # fmt: skip
