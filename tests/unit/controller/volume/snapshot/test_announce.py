"""What events and metrics say of snapshots."""

from prometheus_client import CollectorRegistry, generate_latest

from controller.volume.snapshot.announce import news
from controller.volume.snapshot.metrics import SnapshotsCollector
from support.volumes import snapshot_document

READY = {"readyToUse": True, "restoreSize": "8Mi", "diskBytes": 4096}
LOST = {"conditions": [{"type": "Ready", "status": "False", "reason": "Lost", "message": "gone"}]}


def with_status(status):
    return snapshot_document() | {"status": status}


def test_it_is_said_once_that_a_snapshot_can_be_used_or_is_lost():
    assert news(with_status({}), with_status(READY)) == [("Normal", "ReadyToUse", "it holds 8Mi of volume data")]
    assert news(with_status(READY), with_status(READY)) == []
    assert news(with_status(READY), with_status(LOST)) == [("Warning", "Lost", "gone")]
    assert news(with_status(LOST), with_status(LOST)) == []


def test_each_snapshot_tells_whether_it_can_be_used_and_what_it_takes():
    registry = CollectorRegistry()
    registry.register(SnapshotsCollector(lambda: [with_status(READY), snapshot_document("tuesday")]))

    told = generate_latest(registry).decode()

    assert 'runwright_volume_snapshot_ready{namespace="default",snapshot="monday"} 1.0' in told
    assert 'runwright_volume_snapshot_ready{namespace="default",snapshot="tuesday"} 0.0' in told
    assert 'runwright_volume_snapshot_restore_size_bytes{namespace="default",snapshot="monday"} 8.388608e+06' in told
    assert 'runwright_volume_snapshot_disk_bytes{namespace="default",snapshot="monday"} 4096.0' in told
