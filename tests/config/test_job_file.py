"""Job files: what they say, and what is refused with its place and what to write instead."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.config.job import Job, unattended
from cxrsync.config.job_file import MirrorFile, read_job_file
from cxrsync.config.job_keys import JOB_KEYS
from cxrsync.config.parse_job import make_job
from cxrsync.errors import UsageError
from cxrsync.model import Kind

MINIMAL = 'jobs:\n  - dataset: mimic-cxr-jpg\n    dataset_version: "2.1.0"\n'


def read(folder: Path, text: str, **environ: str) -> MirrorFile:
    file = folder / "jobs.yaml"
    file.write_text(text, "utf-8")
    return read_job_file(file, environ)


def only_job(folder: Path, text: str, **environ: str) -> Job:
    [found] = read(folder, text, **environ).jobs
    return found.job


def with_key(line: str) -> str:
    return f"{MINIMAL}    {line}\n"


def refusal(folder: Path, text: str, **environ: str) -> tuple[str, str]:
    """The message without the file's name, and the next step."""
    with pytest.raises(UsageError) as refused:
        read(folder, text, **environ)
    said = str(refused.value)
    assert said.startswith(f"{folder / 'jobs.yaml'}")
    return said.removeprefix(f"{folder / 'jobs.yaml'}").lstrip(", :"), refused.value.next_step


def test_a_minimal_file(tmp_path: Path) -> None:
    found = read(tmp_path, MINIMAL)
    assert found.settings == {}
    [job] = found.jobs
    assert (job.name, job.settings) == ("mimic-cxr-jpg", {})
    dest = tmp_path / "physionet.org/files"
    # Nobody watches a mirror: a purged or unmounted disk must not be filled again.
    options = {"jpg": True, "dataset_version": "2.1.0", "dest": dest, "max_refetch": "1%"}
    assert job.job == unattended(make_job(options))


def test_a_whole_file(tmp_path: Path) -> None:
    text = """
    defaults:
      dest: ${DATA}/files
      user: alice
      connections: auto
      limit_rate: {"08:00-20:00": 1M, 20:00-08:00: "off"}
      jpg: true
      dataset_version: "2.1.0"
      retries: ${RETRIES}
    jobs:
      - name: jpg
        shard: [p10-p11, p14]
        split: train
        view: [PA, AP]
        window: 22:00-06:00
        max_bytes: 100G
      - name: dicom
        dicom: true
        only: [tables, docs]
        subject: ["@subjects.txt", 10000032]
        connections: 6
        from: mirror
    log: log/cxrsync.log
    """
    (tmp_path / "subjects.txt").write_text("p10000084\n")
    (tmp_path / "mirror").mkdir()
    found = read(tmp_path, text, DATA="/data", RETRIES="7")
    assert found.settings == {"log": tmp_path / "log/cxrsync.log"}
    jpg, dicom = found.jobs
    assert (jpg.name, dicom.name) == ("jpg", "dicom")
    common = {
        "dest": "/data/files", "user": "alice", "dataset_version": "2.1.0", "retries": 7,
        "limit_rate": {"08:00-20:00": "1M", "20:00-08:00": "off"},
    }  # fmt: skip
    assert jpg.job == unattended(make_job(
        {**common, "jpg": True, "max_refetch": "1%", "shard": ["p10-p11", "p14"],
         "split": ["train"], "view": ["PA", "AP"], "window": "22:00-06:00", "max_bytes": "100G"}
    ))  # fmt: skip
    assert dicom.job.dataset == "mimic-cxr"
    assert dicom.job.selection.only == (Kind.TABLES, Kind.DOCS)
    assert dicom.job.selection.subjects == ("p10000032", "p10000084")
    assert (dicom.job.limits.connections, dicom.job.limits.retries) == (6, 7)
    assert dicom.job.origin.from_dir == tmp_path / "mirror"
    assert [each.name for each in found.only("dicom").jobs] == ["dicom"]
    with pytest.raises(UsageError, match=r"has no job 'jpeg'") as refused:
        found.only("jpeg")
    assert refused.value.next_step == "Its jobs: jpg, dicom."


@pytest.mark.parametrize(
    ("line", "said", "step"),
    [
        # Keys.
        ("shrad: p10", "line 4, column 5: jobs[0].shrad: there is no such key",
         "Did you mean shard?"),
        ("threads: 4", "there is no such key", "Did you mean connections?"),
        ("nmae: x", "there is no such key", "Did you mean name?"),
        ("dry_run: true", "there is no such key", "dry_run is an option of the command line only."),
        ("log: x", "there is no such key", "log is for all jobs: it belongs to the top"),
        ("from_dir: /x", "there is no such key", "Did you mean from"),
        ("dataset: mimic-cxr", "jobs[0].dataset is a duplicate key (the first is in line 2", ""),
        # Values.
        ("shard: p99", "line 4, column 5: jobs[0].shard: mimic-cxr-jpg has no shard p99", "p10"),
        ("shard: q", "line 4, column 5: jobs[0].shard: 'q' is not a shard", "Write p10 to p19"),
        ("shard:", "jobs[0].shard: is empty", "leave the key out"),
        ("with_reports: null", "jobs[0].with_reports: is empty", "leave the key out"),
        ("dest: ~", "jobs[0].dest: is empty", 'Write "~", in quotes.'),
        ("shard: [p10, null]", "jobs[0].shard: has an empty value", "leave the option"),
        ("shard: []", "jobs[0].shard: is empty", "leave the option out"),
        ("retries: many", "jobs[0].retries: 'many' is not a whole number of at least 0", ""),
        ('retries: "3"', "jobs[0].retries: '3' is not a whole number", "Write 3, without quotes."),
        ("no_fsync: 'yes'", "'yes' is not true or false", "Write True, without quotes."),
        ("sample_by: week", "jobs[0].sample_by: 'week' is not", "Known: subject"),
        ("labeler: negbio", "jobs[0].labeler: without label selects nothing", "Add label."),
        ("jpg: 7", "jobs[0].jpg: 7 is not true or false", ""),
        ("window: 22:00", "jobs[0].window: '22:00' is not a span of the day", "22:00-06:00"),
        ("max_duration: 2:00", "jobs[0].max_duration: '2:00' is not a duration",
         "could be hours or minutes"),
        ("wait_lock: 1:30:00", "jobs[0].wait_lock: '1:30:00' is not a duration", "write 90m"),
        ("scrub: 12h", "jobs[0].scrub: '12h' is not a duration of at least 1d", "30d"),
        ("scrub: 30", "jobs[0].scrub: 30 is not a duration of at least 1d", "Write it as 30d"),
        ("base_url: https://u:p@example.org", "jobs[0].base_url: contains a user name", ""),
        ("link_from: nowhere", "jobs[0].link_from:", ""),
        ("name: a b", "jobs[0].name: this is not a name for a job", "jpg-frontal"),
        ("name:", "jobs[0].name: this is not a name for a job", "jpg-frontal"),
        ('subject: "@~nobody-here/ids"', "jobs[0].subject:", ""),
        ("name: [a]", "jobs[0].name: this is not a name for a job", "jpg-frontal"),
        ('subject: "@-"', "jobs[0].subject: @- reads standard input", ""),
        ('include: ["*.csv", "@-"]', "jobs[0].include: @- reads standard input", ""),
        # Traps of YAML.
        ("view: no", "jobs[0].view: YAML reads no without quotes as true or false",
         'Write "no", in quotes.'),
        ("label: [On]", "line 4, column 13: jobs[0].label[0]: YAML reads On without quotes",
         'Write "On", in quotes.'),
        ("labeler: 1.10", "YAML reads 1.10 without quotes as a number",
         'Write "1.10", in quotes.'),
        ("limit_rate: off", "YAML reads off without quotes as true or false",
         'Write "off", in quotes.'),
        ("user: 1_000", "YAML reads 1_000 without quotes as a number", 'Write "1_000", in'),
        # Secrets.
        ("password: hunter2", "jobs[0].password: a password does not belong in a job file",
         "PHYSIONET_PASSWORD_FILE, or use ~/.netrc"),
        ("password_file: hunter2", "a password does not belong", "PHYSIONET_PASSWORD_FILE"),
        ("http_password: hunter2", "a password does not belong", "chmod 600"),
        ("api-token: hunter2", "a password does not belong", "chmod 600"),
        ("user: ${PHYSIONET_PASSWORD}", "jobs[0].user: a password does not belong", "chmod 600"),
        # Variables.
        ("user: ${NOBODY}", "jobs[0].user: the variable NOBODY is not set", "cron and systemd"),
        ("user: ${EMPTY}", "jobs[0].user: the variable EMPTY is empty", "Set it"),
        ("user: a${b", "${ begins the name of a variable", "Write ${NAME}."),
        ("user: ${a-b}", "${ begins the name of a variable", "Write ${NAME}."),
        ("retries: ${WORD}", "jobs[0].retries: 'word' is not a whole number", ""),
        ("shard: [p10, '${NOBODY}']", "line 4, column 18: jobs[0].shard[1]: the variable", "cron"),
    ],
)  # fmt: skip
def test_what_is_refused_in_a_job(tmp_path: Path, line: str, said: str, step: str) -> None:
    variables = {"EMPTY": " ", "WORD": "word", "PHYSIONET_PASSWORD": "hunter2"}
    what, next_step = refusal(tmp_path, with_key(line), **variables)
    assert said in what
    assert step in next_step
    assert "hunter2" not in what + next_step
    assert "--" not in what + next_step  # keys, not options of the command line


VERSION = 'dataset_version: "2.1.0"'
KEEP = "keep_versions: 1"
LATEST, OLD = "dataset_version: latest", "dataset_version: '2.0.0'"
TWO_ON_ONE_TREE = f"""jobs:
  - jpg: true
    {VERSION}
  - name: b
    jpg: true
    {VERSION}
    dest: ./physionet.org//files
"""


@pytest.mark.parametrize(
    ("text", "said", "step"),
    [
        ("", "this is empty", "Write key: value"),
        ("- a", "this is not a mapping", "configs/nightly.yaml"),
        ("defaults:\n  jpg: true\n", "there are no jobs", "Write jobs:"),
        ("jobs:\n", "line 1, column 1: jobs: there are no jobs", "Write jobs:"),
        ("jobs: {a: 1}", "jobs: this is not a list of jobs", "Write jobs:"),
        ("jobs: [a]", "jobs[0]: this is not a mapping", "key: value"),
        ("jobs:\n  -\n", "jobs[0]: this is empty", "key: value"),
        (MINIMAL + "defaults:\n", "defaults: this is empty", "key: value"),
        (MINIMAL + "shard: p10\n", "line 4, column 1: shard: there is no such key",
         "shard belongs into a job, or into defaults"),
        (MINIMAL + "job: x\n", "job: there is no such key", "Did you mean jobs?"),
        (MINIMAL + "hooks: x\n", "hooks: there is no such key", "Did you mean before or after?"),
        (MINIMAL + "password: x\n", "password: a password does not belong", "chmod 600"),
        (MINIMAL + "log: 7\n", "log: YAML reads 7 without quotes as a number", '"7"'),
        (MINIMAL + "defaults:\n  shrad: x\n", "line 5, column 3: defaults.shrad: there is no",
         "Did you mean shard?"),
        (MINIMAL + "defaults:\n  shard: p9\n", "line 5, column 3: defaults.shard: 'p9' is not",
         "p10"),
        ("jobs:\n\t- jpg: true\n", "line 2, column 1: this is not valid YAML",
         "The line begins with a tab, which YAML does not allow there. Use spaces."),
        ("jobs: [\n", "this is not valid YAML", "needs quotes"),
        ("jobs: a: b\n", "line 1, column 8: this is not valid YAML", "needs quotes"),
        (f"jobs:\n  - {VERSION}\n", "line 2, column 5: jobs[0]: the job names no dataset", "Add"),
        ("jobs:\n  - jpg: true\n", "jobs[0]: the job names no dataset_version",
         'Add dataset_version: "2.1.0", with the quotes; or latest'),
        ("jobs:\n  - jpg: true\n    dataset_version: 2.10\n",
         "line 3, column 5: jobs[0].dataset_version: YAML reads 2.10 without quotes as a number",
         'Write "2.10", in quotes.'),
        (f"jobs:\n  - {{jpg: true, {VERSION}, name: a}}\n  - {{jpg: true, {LATEST}}}\n",
         "line 3, column 5: jobs[1]: latest may become the version of the job 'a'",
         "another dest"),
        (f"jobs:\n  - {{jpg: true, {VERSION}, name: a, {KEEP}}}\n  - {{jpg: true, {OLD}}}\n",
         "line 2, column 5: jobs[0]: keep_versions may discard the version of the job 'mimic",
         "another dest"),
        (f"jobs:\n  - {{jpg: true, {VERSION}, keep_versions: 0}}\n",
         "keep_versions: 0 is not a whole number of at least 1", ""),
        (f"jobs:\n  - jpg: true\n    dicom: true\n    {VERSION}\n",
         "jobs[0]: more than one dataset", "Name one"),
        (TWO_ON_ONE_TREE,
         "line 4, column 5: jobs[1]: the jobs 'mimic-cxr-jpg' and 'b' are for one tree",
         "another dest"),
        (f"jobs:\n  - jpg: true\n    {VERSION}\n  - jpg: true\n    dataset_version: '2.0.0'\n",
         "jobs[1]: two jobs have the name 'mimic-cxr-jpg'", "Give each job a name"),
    ],
)  # fmt: skip
def test_what_is_refused_in_a_file(tmp_path: Path, text: str, said: str, step: str) -> None:
    what, next_step = refusal(tmp_path, text)
    assert said in what
    assert step in next_step
    assert not re.search(r"(?<!\w)--", what + next_step.replace("mirror --schema", ""))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*: No such file") as missing:
        read_job_file(tmp_path / "none.yaml")
    assert "copy configs/nightly.yaml" in missing.value.next_step
    with pytest.raises(UsageError, match="cannot read") as folder:
        read_job_file(tmp_path)
    assert "nightly.yaml" not in folder.value.next_step


def test_a_flag_that_is_false_replaces_nothing(tmp_path: Path) -> None:
    text = f"defaults:\n  dataset: eicu-crd\n  {VERSION}\njobs:\n  - jpg: false\n"
    assert only_job(tmp_path, text).dataset == "eicu-crd"


@pytest.mark.parametrize(
    ("keys", "dataset", "version", "follows"),
    [
        ("dataset: MIMIC-CXR-JPG, dataset_version: v2.1.0", "mimic-cxr-jpg", "2.1.0", False),
        ("dataset: mimic-cxr/2.0.0", "mimic-cxr", "2.0.0", False),
        ('dataset: "https://physionet.org/content/novel/1.0/"', "novel", "1.0", False),
        ("jpg: true, dataset_version: Latest", "mimic-cxr-jpg", None, True),
        ("dataset: mimic-cxr/latest", "mimic-cxr", None, True),
    ],
)
def test_a_dataset_as_people_write_it(
    tmp_path: Path, keys: str, dataset: str, version: str | None, follows: bool
) -> None:
    [job] = read(tmp_path, f"jobs:\n  - {{{keys}}}\n").jobs
    assert (job.job.dataset, job.job.version, job.follows_latest) == (dataset, version, follows)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("dataset: mimic-cxr/", "the job names no dataset_version"),
        ('dataset: "https://physionet.org/content/mimic-cxr/"', "the job names no dataset_version"),
        ("dataset: mimic-cxr/2.0.0, dataset_version: '2.1.0'", "more than one version"),
    ],
)
def test_a_dataset_without_its_version(tmp_path: Path, keys: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(tmp_path, f"jobs:\n  - {{{keys}}}\n")


def test_what_another_job_names_may_not_be_discarded(tmp_path: Path) -> None:
    """Once its folder is in the trash, the whole file would be refused."""
    (tmp_path / "m/mimic-cxr-jpg/2.0.0").mkdir(parents=True)
    text = (
        f"jobs:\n  - {{jpg: true, dest: m, {LATEST}, {KEEP}}}\n"
        f"  - {{name: b, jpg: true, dest: elsewhere, {VERSION}, "
        "link_from: m/mimic-cxr-jpg/PLACE}\n"
    )
    what, step = refusal(tmp_path, text.replace("PLACE", "2.0.0"))
    assert "line 2, column 5: jobs[0]: keep_versions may discard " in what
    assert "which the job 'b' names in link_from" in what
    assert "Leave out keep_versions" in step
    (tmp_path / "jobs.yaml").write_text(text.replace("/PLACE", ""))  # it holds all versions
    assert len(read_job_file(tmp_path / "jobs.yaml").jobs) == 2
    (tmp_path / "jobs.yaml").write_text(text.replace("PLACE", "2.0.0").replace(f", {KEEP}", ""))
    assert len(read_job_file(tmp_path / "jobs.yaml").jobs) == 2


def test_a_job_that_follows_the_newest_version(tmp_path: Path) -> None:
    text = (
        "defaults: {dataset_version: latest, keep_versions: 2}\n"
        "jobs:\n  - jpg: true\n  - {dicom: true, dataset_version: '2.1.0'}\n"
        "  - {name: b, jpg: true, dest: elsewhere}\n"
    )
    follower, pinned, other = read(tmp_path, text).jobs
    assert (follower.job.version, follower.follows_latest) == (None, True)
    assert (pinned.job.version, pinned.follows_latest) == ("2.1.0", False)
    assert other.follows_latest
    assert follower.settings == pinned.settings == {"keep_versions": 2}


@pytest.mark.parametrize("key", ["dataset", "jpg", "dicom"])
def test_a_dataset_of_the_job_replaces_that_of_the_defaults(tmp_path: Path, key: str) -> None:
    values: dict[str, Any] = {"dataset": "mimic-cxr", "jpg": "true", "dicom": "true"}
    text = f"defaults:\n  dataset: eicu-crd\n  {VERSION}\njobs:\n  - {key}: {values[key]}\n"
    assert only_job(tmp_path, text).dataset != "eicu-crd"


ODD = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-2, 99), st.floats(), st.text(max_size=8),
        st.sampled_from(["p10", "off", "@x", "@-", "${HOME}", "${", "1M", "22:00-06:00", "2.1.0"]),
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["08:00-20:00", "a", ""]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
KEYS = st.sampled_from([*(option.key for option in JOB_KEYS), "name", "log", "password", "x"])
JOB = st.dictionaries(KEYS, ODD, max_size=4)
GOOD = {"dataset": "mimic-cxr-jpg", "dataset_version": "2.1.0"}


@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    defaults=JOB,
    jobs=st.lists(JOB.map(lambda job: {**GOOD, **job}) | JOB, max_size=2) | ODD,
    top=st.dictionaries(st.sampled_from(["log", "x", "dest"]), ODD, max_size=1),
)
def test_whatever_stands_there_is_read_or_refused(
    tmp_path: Path, defaults: object, jobs: object, top: dict[str, object]
) -> None:
    text = yaml.safe_dump({"defaults": defaults, "jobs": jobs, **top}, allow_unicode=True)
    try:
        found = read(tmp_path, text, HOME="/home")
    except UsageError:
        return
    assert all(each.job.dest.is_absolute() for each in found.jobs)


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    text = """
    logg: x
    defaults:
      window: 22-6
    jobs:
      - jpg: true
        shrad: p10
        retries: "3"
      - dataset: mimic-cxr
      - dataset: mimic-cxr-jpg
        dataset_version: 2.1
    """
    said, steps = refusal(tmp_path, text)
    assert said == "6 problems"
    places = re.findall(r"line (\d+), column \d+: ([\w\[\].]+)", steps)
    assert places == [
        ("2", "logg"), ("4", "defaults.window"), ("7", "jobs[0].shrad"), ("8", "jobs[0].retries"),
        ("9", "jobs[1]"), ("11", "jobs[2].dataset_version"),
    ]  # fmt: skip
    assert "Did you mean shard?" in steps
    # What the defaults were to say about the dataset is not missing in each job.
    said, _ = refusal(tmp_path, "defaults: {dataset_version: 2.1}\njobs: [{jpg: true}]\n")
    assert "YAML reads 2.1 without quotes" in said
