"""A job's volume in the place of a runtime's package cache: one thing, never two at one place."""

import pytest

from controller.job import package_cache
from controller.job.observed import PackageCache
from support.builders import a_job

CACHE = PackageCache("pip", "pip-cache", "/host/caches/pip-cache")


@pytest.mark.parametrize(
    ("mount", "place"),
    [
        ({"name": "pip-cache"}, "/volumes/pip-cache"),
        ({"name": "pip-cache", "mountPath": "/srv/pip"}, "/srv/pip"),
        ({"name": "mine", "mountPath": "/volumes/pip-cache"}, "/volumes/pip-cache"),
    ],
)
def test_a_volume_of_the_caches_name_or_in_its_place_is_the_cache(mount, place):
    cache = package_cache.of(a_job(volumeMounts=[mount]), CACHE)

    assert package_cache.mount(cache, 1) is None
    assert package_cache.variables(cache, {}) == {"PIP_CACHE_DIR": place}
    assert package_cache.told(cache) == place


def test_other_volumes_leave_the_cache_alone():
    assert package_cache.of(a_job(volumeMounts=[{"name": "datasets"}]), CACHE) == CACHE
