"""Verified files that are gone: a few are fetched again, many only if the user says so."""

from pathlib import Path

from e2e.stage import JPG, VERSION, Machine, fingerprint, image_bytes_sent

from cxrsync.demo.server.server import MiniPhysioNet


def test_many_files_that_are_gone_are_fetched_only_on_request(
    machine: Machine, server: MiniPhysioNet, jpg: Path
) -> None:
    assert machine.pull("--jpg", "--shard", "p10").code == 0
    images = sorted((machine.dest / JPG / VERSION).glob("files/**/*.jpg"))
    for image in images[:3]:
        image.unlink()
    server.request_log.reset()

    refused = machine.pull("--jpg", "--shard", "p10", "--max-refetch", "2")

    assert refused.code == 11, refused.err
    assert "3 of" in refused.err
    assert "purge" in refused.err
    assert "--refetch" in refused.err
    assert image_bytes_sent(server) == 0
    assert refused.summary["files"]["fetched"] == 0

    looked = machine.run("pull", "--jpg", "--shard", "p10", "--max-refetch", "2", "--dry-run")
    assert "a pull would be refused" in looked.err

    again = machine.pull("--jpg", "--shard", "p10", "--max-refetch", "2", "--refetch")
    assert again.code == 0, again.err
    assert again.summary["files"]["fetched"] == 3
    root = machine.dest / JPG / VERSION
    assert fingerprint(root, below="files/") == fingerprint(jpg, below="files/p10/")


def test_a_repair_is_what_the_user_asked_for(machine: Machine) -> None:
    assert machine.pull("--jpg", "--shard", "p10").code == 0
    for image in sorted((machine.dest / JPG / VERSION).glob("files/**/*.jpg"))[:3]:
        image.unlink()
    machine.environment["CXRSYNC_MAX_REFETCH"] = "0"
    assert machine.pull("--jpg", "--shard", "p10").code == 11
    assert machine.run("verify", "--repair").code == 0
    assert machine.pull("--jpg", "--shard", "p10").code == 0
