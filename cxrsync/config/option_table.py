"""The option table: command line, environment, Python and job files take their options from here.

The order is the order in ``--help``. The options of ``cxrsync demo`` are not in the table, and they
have no environment variables: a user who sets ``CXRSYNC_DIR`` but means ``CXRSYNC_DEST`` must get
an error. The module imports neither click nor YAML, because every command imports it.
"""

from __future__ import annotations

from cxrsync.config.command_options import COMMAND, ON, OUTPUT, PROGRAM, SLURM
from cxrsync.config.index_options import INDEX
from cxrsync.config.job import STORE_MAX_CONNECTIONS, HttpPath, Job, Link, Reports
from cxrsync.config.limit_options import LIMITS
from cxrsync.config.option import Group, Option, Section, Type
from cxrsync.config.refresh_options import REFRESH
from cxrsync.config.selection_options import DATASET, SELECTION

_JOB = Job("")
_LIMITS = _JOB.limits


def _words(kind: type[HttpPath | Link | Reports]) -> tuple[str, ...]:
    return tuple(each.value for each in kind)


_DEST = Option(
    "dest", Type.PATH, Group.DESTINATION, short="-d", metavar="DIR", example="/data",
    default=str(_JOB.dest),
    help="The folder that holds, or will hold, DATASET/VERSION [default: {default}]. The layouts "
    "of wget and a version's own folder are recognised.",
    near="o O P output outdir out output_dir output_directory directory directory_prefix dir "
    "destination target target_dir local_dir prefix root to",
)  # fmt: skip

_TRANSFER = (
    Option(
        "connections", Type.INT, Group.TRANSFER, short="-j", metavar="N|auto", words=("auto",),
        default="auto", at_least=1, at_most=STORE_MAX_CONNECTIONS,
        help="Concurrent connections, ranges included [default: {default}, 4 to 8; from the cloud "
        "up to 32].",
        hint="Leave it out: more than 8 connections lead to connect timeouts, not to speed.",
        near="x jobs threads parallel workers concurrency transfers checkers processes streams "
        "max_connections num_connections max_connection_per_server max_concurrent_downloads",
    ),
    Option(
        "retries", Type.INT, Group.TRANSFER, metavar="N", default=_LIMITS.retries, at_least=0,
        advanced=True,
        help="Failures in a row after which a file fails [default: {default}].",
        near="t tries retry max_tries max_retries low_level_retries attempts",
    ),
    Option(
        "connect_timeout", Type.DURATION, Group.TRANSFER, metavar="TIME", above=0, advanced=True,
        default=_LIMITS.connect_timeout, near="contimeout dns_timeout", example="30s",
        help="How long to wait for a new connection: 30s, 2m [default: {default}].",
    ),
    Option(
        "stall_timeout", Type.DURATION, Group.TRANSFER, metavar="TIME", example="1m",
        default=_LIMITS.stall_timeout, above=0, advanced=True,
        help="Close a connection after so long without data [default: {default}].",
        near="T timeout read_timeout idle_timeout speed_time",
    ),
    Option(
        "give_up_after", Type.DURATION, Group.TRANSFER, metavar="TIME", example="1h",
        default=_LIMITS.give_up_after, above=0, advanced=True,
        help="How long to wait for a server that is down, or that asks to wait "
        "(Retry-After), before the run ends: 6h, 90m [default: {default}].",
        near="max_wait wait waitretry retry_wait patience retry_max_time",
    ),
    Option(
        "wait_lock", Type.DURATION, Group.TRANSFER, metavar="TIME", default=_LIMITS.wait_lock,
        at_least=0, advanced=True, example="10m",
        help="How long to wait for another run's lock [default: {default}]; for the manifest and "
        "the tables, which all runs share, at least --give-up-after.",
        near="retry_lock lock_wait lock_timeout wait_for_lock",
    ),
    *LIMITS,
    Option(
        "no_fsync", Type.FLAG, Group.TRANSFER, advanced=True, near="nofsync no_sync",
        help="For scratch disks: faster, but after a power cut only verify finds lost data.",
    ),
)  # fmt: skip

_SOURCE = (
    Option(
        "from_dir", Type.PLACE, Group.SOURCE, flag="--from", metavar="PLACE", repeatable=True,
        example="/mnt/mirror",
        help="Copy from a tree on a local disk instead (a version's folder, or a folder that holds "
        "DATASET/VERSION; ./s3 if it has such a name); or from the cloud: s3 or gcs, "
        "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX. Repeatable: what the first lacks, or has wrong, "
        "comes from the next; physionet is PhysioNet.",
        near="source src local local_tree copy_from input bucket s3 gcs cloud",
    ),
    Option(
        "manifest", Type.PATH, Group.SOURCE, metavar="FILE", advanced=True,
        help="Use this file as the dataset's SHA256SUMS.txt, instead of the one of the source.",
        near="sha256sums checksums checksum_file manifest_file hashes",
    ),
    Option(
        "access_point_number", Type.INT, Group.SOURCE, metavar="NN", at_least=1, at_most=99,
        default=_JOB.origin.access_point_number, advanced=True,
        help="With --from s3: the last two digits of your access point [default: {default}].",
        near="access_point accesspoint point_number",
    ),
    Option(
        "aws_profile", Type.TEXT, Group.SOURCE, metavar="NAME", advanced=True, example="physionet",
        help="With --from s3: the profile of AWS's configuration whose credentials are used.",
        near="profile aws_profile_name",
    ),
    Option(
        "requester_pays", Type.TEXT, Group.SOURCE, metavar="PROJECT", advanced=True,
        example="my-project",
        help="With --from gcs: your project, which pays Google Cloud for the transfer.",
        near="billing_project user_project project_id gcs_user_project quota_project",
    ),
    Option(
        "endpoint_url", Type.TEXT, Group.SOURCE, metavar="URL", advanced=True,
        example="https://minio.example.org:9000",
        help="With --from s3://BUCKET: another store than AWS that speaks as S3 does (MinIO, "
        "Ceph).",
        near="endpoint s3_endpoint host_base s3_host",
    ),
    Option(
        "base_url", Type.TEXT, Group.SOURCE, metavar="URL", advanced=True,
        default=_JOB.origin.base_url,
        help="The address of the files [default: {default}].",
        near="url base host server mirror http_url",
    ),
    Option(
        "user", Type.TEXT, Group.SOURCE, advanced=True, metavar="NAME", example="alice",
        help="The user name; the password is never an argument.",
        near="u user_name username http_user login account email",
    ),
    Option(
        "ca_file", Type.PATH, Group.SOURCE, metavar="PEM", advanced=True,
        help="Trust this certificate authority, too.",
        near="cacert ca_cert ca_certificate ca_bundle certificate no_check_certificate insecure",
    ),
    Option(
        "user_agent", Type.TEXT, Group.SOURCE, metavar="STR", default=_JOB.origin.user_agent,
        advanced=True,
        help="The User-Agent header; PhysioNet accepts only those that begin with Wget/, "
        "as the default does.",
        near="U agent useragent",
    ),
    Option(
        "http", Type.CHOICE, Group.SOURCE, metavar="lean|aiohttp", words=_words(HttpPath),
        default=_JOB.origin.http.value, advanced=True,
        help="How files are fetched: by a lean client of cxrsync's own, which leaves unusual "
        "answers to aiohttp; or always by aiohttp [default: {default}].",
        near="http_client http_library http_backend transport",
    ),
    Option(
        "allow_synced", Type.FLAG, Group.DESTINATION, advanced=True,
        help="Allow a destination that is synced online (Google Drive, OneDrive, Dropbox and the "
        "like). Check first that your data use agreement permits it.",
        near="allow_cloud allow_cloud_sync allow_sync",
    ),
)  # fmt: skip

PARTITION = Option(
    "only_partition", Type.SHARD, Group.PULL, section=Section.SELECTION,
    metavar="P10|root", repeatable=True, example="p10", advanced=True,
    help="Of what is selected, only the files in this shard, or in no known shard (root): one "
    "task of a job array. The sample, the limit and the record are those of the whole job; "
    "repeatable.",
    near="partitions task array_task only_shard",
)  # fmt: skip

_PULL = (
    Option(
        "with_reports", Type.FLAG, Group.PULL, section=Section.SELECTION,
        help="With --jpg: also fetch the reports of the selected studies, from MIMIC-CXR.",
        near="include_reports and_reports add_reports",
    ),
    Option(
        "gunzip_tables", Type.FLAG, Group.PULL, section=Section.SELECTION, advanced=True,
        help="Also lay the plain .csv beside each .csv.gz, for programs that read only those.",
        near="gunzip unzip unpack decompress extract unpack_tables plain_tables",
    ),
    Option(
        "resize", Type.INT, Group.PULL, section=Section.DESTINATION, metavar="PX", advanced=True,
        at_least=16, at_most=4096,
        help="Also make a smaller copy of each image as soon as it is verified, whose shorter side "
        "has PX pixels, in a tree of its own beside the dataset: mimic-cxr-jpg-PX/VERSION/files/….",
        near="scale shrink downscale smaller thumbnail thumbnails size px resolution",
    ),
    Option(
        "drop_originals", Type.FLAG, Group.PULL, section=Section.DESTINATION, advanced=True,
        help="With --resize: remove each original once its copy is proven. All of MIMIC-CXR-JPG "
        "takes about 16 GB then, not 558.",
        near="drop remove_originals delete_originals no_originals discard_originals only_copies "
        "replace_originals",
    ),
    Option(
        "reports", Type.CHOICE, Group.PULL, section=Section.SELECTION,
        metavar="zip|files", words=_words(Reports),
        default=Reports.AUTO.value, advanced=True,
        help="Fetch reports in one archive, or one by one [default: with --only reports or "
        "--with-reports the archive, if it is smaller]. Unpacked reports get the "
        "archive's modification time.",
        near="reports_as report_format",
    ),
    Option(
        "link_from", Type.PATH, Group.PULL, metavar="DIR", example="/data/2.0.0", advanced=True,
        help="The folder of an older version, whose unchanged files are reused. An older version "
        "beside the new one is found automatically.",
        near="link_dest copy_dest compare_dest reference parent reuse_from",
    ),
    Option(
        "link", Type.CHOICE, Group.PULL, metavar="HOW", words=_words(Link),
        default=_JOB.link.value, advanced=True,
        help="How to reuse files: reflink (else a copy), copy, or hardlink. With "
        "hardlink a program that edits a file in place, as wget does, changes both versions "
        "[default: {default}].",
        near="link_type link_mode reflink hardlink hard_link",
    ),
    Option(
        "force", Type.FLAG, Group.PULL, section=Section.DESTINATION,
        help="Pull even if the free disk space seems too small.",
        near="f ignore_space no_space_check skip_space_check",
    ),
    Option(
        "acknowledge", Type.PATH, Group.PULL, metavar="FILE", advanced=True,
        help="A file with known mismatches, a path and the observed SHA-256 a line. They are "
        "listed, but do not count as failures (exit 0).",
        near="ack acknowledged known known_bad ignore_mismatch allow_mismatch baseline",
    ),
    PARTITION,
    *REFRESH,
)  # fmt: skip

OPTIONS: tuple[Option, ...] = (
    *(*DATASET, *SELECTION, _DEST),
    *(*_TRANSFER, *_SOURCE, *_PULL),
    *(*COMMAND, *INDEX, ON, *SLURM, *OUTPUT, *PROGRAM),
)
BY_NAME = {option.name: option for option in OPTIONS}
JOB_OPTIONS = tuple(option for option in OPTIONS if option.is_of_job)


def options_of(*groups: Group) -> list[Option]:
    """Return the options of these groups, in the order of ``--help``."""
    return [option for option in OPTIONS if option.group in groups]
