import pytest
from pydantic import ValidationError

from api.objects import causes
from api.types.registry import Registry


def a_registry(url: str, **spec) -> Registry:
    return Registry.model_validate({"metadata": {"name": "default"}, "spec": {"url": url, **spec}})


@pytest.mark.parametrize(
    "url", ["file:///srv/runtimes", "https://x.example/registry.json", "http://h:1/r", "owner/repo"]
)
def test_a_registry_is_a_directory_a_url_or_a_repository(url):
    assert a_registry(url).spec.url == url


@pytest.mark.parametrize("url", ["ftp://x/y", "/srv/runtimes", "owner", "owner/", "a/b/c", "https://", "a b/c"])
def test_anything_else_is_refused_with_what_would_be(url):
    with pytest.raises(ValidationError, match="must be file://DIR"):
        a_registry(url)


def test_its_numbers_have_bounds():
    with pytest.raises(ValidationError) as caught:
        a_registry("owner/repo", priority=5000, cacheSeconds=-1)

    assert [error["loc"] for error in caught.value.errors()] == [("spec", "priority"), ("spec", "cacheSeconds")]


WITH_PASSWORD = "http://anna:s3cret@h:1/registry.json"


@pytest.mark.parametrize(
    "url",
    [
        WITH_PASSWORD,
        "https://s3cret@h/",
        "ftp://anna:s3cret@h/",
        "https://anna:s3cret@[h/",
        f"https://s3cret{'x' * 3000}@h/",
    ],
)
def test_a_password_in_an_address_is_refused_and_repeated_nowhere(url):
    for spec in ({"url": url}, {"url": "owner/repo", "mirrors": ["file:///srv", url]}):
        with pytest.raises(ValidationError) as caught:
            Registry.model_validate({"metadata": {"name": "default"}, "spec": spec})

        (cause,) = causes.of(caught.value)
        assert cause.field.startswith("spec.")
        assert "s3cret" not in str(cause)


def test_who_is_refused_with_a_password_learns_what_to_do():
    with pytest.raises(ValidationError) as caught:
        a_registry(WITH_PASSWORD)

    (cause,) = causes.of(caught.value)
    assert (cause.field, cause.reason) == ("spec.url", "FieldValueInvalid")
    assert '"http://(hidden)@h:1/registry.json"' in cause.message
    assert "spec.credentials" in cause.message
