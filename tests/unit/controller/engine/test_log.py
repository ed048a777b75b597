import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from controller.engine import log
from controller.engine.log import JsonFormatter, TextFormatter, about, keys


@contextmanager
def a_logger(formatter: logging.Formatter) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.getLogger("test_log")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield logger, stream
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


def test_a_text_line_is_logfmt_with_the_keys_after_the_message():
    with a_logger(TextFormatter()) as (logger, stream):
        logger.warning("reconcile failed", extra=keys(kind="Job", name="etl", error='no "python"'))

    line = stream.getvalue()
    assert line.startswith("time=20")
    assert 'level=warning logger=test_log msg="reconcile failed" kind=Job name=etl error="no \\"python\\""\n' in line


@pytest.mark.parametrize("value", ["a\nlevel=error msg=forged", "a\n", "\n"])
def test_a_value_cannot_break_out_of_its_line(value):
    with a_logger(TextFormatter()) as (logger, stream):
        logger.warning("x", extra=keys(name=value, other="level=error msg=forged"))

    assert stream.getvalue().count("\n") == 1
    assert f"name={json.dumps(value)} other=" in stream.getvalue()


def test_a_json_line_is_one_object():
    with a_logger(JsonFormatter()) as (logger, stream):
        logger.warning("reconcile failed", extra=keys(name="etl", retry_seconds=0.5))

    line = json.loads(stream.getvalue())
    assert (line["msg"], line["name"], line["retry_seconds"]) == ("reconcile failed", "etl", 0.5)


def test_keys_of_a_pass_are_on_every_line_of_it_and_on_none_after():
    with a_logger(JsonFormatter()) as (logger, stream):
        with about(kind="Job", reconcile_id="7"):
            logger.warning("inside", extra=keys(kind="Runtime"))
        logger.warning("after")

    inside, after = map(json.loads, stream.getvalue().splitlines())
    assert (inside["kind"], inside["reconcile_id"]) == ("Runtime", "7")
    assert "reconcile_id" not in after


def test_a_traceback_follows_the_text_line_and_is_a_value_in_json():
    def fail() -> BaseException:
        try:
            raise KeyError("gone")
        except KeyError as error:
            return error

    with a_logger(TextFormatter()) as (logger, stream):
        logger.error("bug", exc_info=fail())
    with a_logger(JsonFormatter()) as (logger, json_stream):
        logger.error("bug", exc_info=fail())

    assert "Traceback" in stream.getvalue().splitlines()[1]
    assert "KeyError: 'gone'" in json.loads(json_stream.getvalue())["traceback"]


def test_setup_sends_the_logs_of_the_process_to_the_stream_it_is_given():
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    for handler in before:  # basicConfig(force) would close pytest's.
        root.removeHandler(handler)
    try:
        log.setup(logging.INFO, log.LogFormat.JSON, stream)
        logging.getLogger("anything").info("hello")
    finally:
        for handler in list(root.handlers):
            root.removeHandler(handler)
        for handler in before:
            root.addHandler(handler)
        root.setLevel(level)

    assert json.loads(stream.getvalue())["msg"] == "hello"
