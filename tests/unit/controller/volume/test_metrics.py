"""What is measured of volumes."""

from prometheus_client import CollectorRegistry, generate_latest

from controller.volume.metrics import VolumesCollector


def test_each_volume_tells_its_size_its_use_and_its_users():
    status = {"capacityBytes": 8192, "usedBytes": 4096, "usedBy": [{"job": "etl", "attempt": 1}]}
    registry = CollectorRegistry()
    registry.register(VolumesCollector(lambda: [{"metadata": {"namespace": "n", "name": "v"}, "status": status}]))

    told = generate_latest(registry).decode()

    assert 'runwright_volume_capacity_bytes{namespace="n",volume="v"} 8192.0' in told
    assert 'runwright_volume_used_bytes{namespace="n",volume="v"} 4096.0' in told
    assert 'runwright_volume_users{namespace="n",volume="v"} 1.0' in told


def test_a_volume_that_was_not_made_so_far_has_no_size():
    collector = VolumesCollector(lambda: [{"metadata": {"namespace": "n", "name": "v"}}])

    assert [len(family.samples) for family in collector.collect()] == [0, 0, 1]
