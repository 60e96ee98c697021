"""engine.intake.producers.dcgm: what operators rely on beyond the samples."""

import pytest

from tests.support.samples import converted

ROW = 'DCGM_FI_DEV_{}{{gpu="0",Hostname="gpu-3"}} {}\n'


def page(text):
    return converted("dcgm", body=text.encode())


def test_a_counter_is_found_whatever_its_kind_is_called():
    """Versions differ in whether XID is a gauge or a counter."""
    for kind in ("gauge", "counter", "untyped"):
        text = f"# TYPE DCGM_FI_DEV_XID_ERRORS {kind}\n" + ROW.format("XID_ERRORS", 31)
        [event] = page(text).events
        assert event.data["xid"] == 31


def test_a_page_with_times_has_ids_of_its_own():
    """Times of the exposition are milliseconds; then a second delivery is a duplicate."""
    text = ROW.format("GPU_TEMP", "61 1772446951500")
    [first] = page(text).events
    [again] = converted("dcgm", body=text.encode(), arrived_us=5).events
    assert (first.time_us, first.id) == (1_772_446_951_500_000, again.id)


def test_metrics_of_other_programs_on_the_page_are_passed_by():
    """Go's own and those without a device."""
    text = "go_goroutines 7\nDCGM_EXPORTER_X 1\n" + ROW.format("GPU_UTIL", 50)
    [event] = page(text).events
    assert event.data["gpu_util"] == 0.5


@pytest.mark.parametrize("value", ["NaN", "+Inf"])
def test_a_value_that_is_no_number_is_not_known(value):
    """DCGM writes blanks as odd values."""
    text = ROW.format("GPU_TEMP", value) + ROW.format("POWER_USAGE", 9)
    [event] = page(text).events
    assert "temperature_c" not in event.data


@pytest.mark.parametrize("text", ["go_goroutines 7\n", 'DCGM_X{gpu="0} 1\n', "DCGM_FI_DEV_GPU_TEMP one\n", "<html>"])
def test_a_page_that_is_none_says_so(text):
    """A proxy's error page does not pass for a quiet machine."""
    assert page(text).events == []
    assert page(text).malformed
