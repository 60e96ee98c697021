"""The shipped unit, judged by the real systemd-analyze; and how an installation treats files that were edited."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.realparts import need

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "systemd/halond.service"
EXPOSURE_MAX = 1.5


@pytest.fixture
def unit(tmp_path):
    """The unit in a folder of its own, its programs there to be found."""
    analyze = need("systemd-analyze")
    text = UNIT.read_text()
    for command in set(re.findall(r"^Exec\w+=(\S+)", text, re.MULTILINE)):
        text = text.replace(f"={command} ", "=/bin/true ")
    (tmp_path / "halond.service").write_text(text)
    return analyze, tmp_path / "halond.service"


def drop_in(unit, name):
    """Put a shipped drop-in beside the unit."""
    folder = unit.parent / "halond.service.d"
    folder.mkdir(exist_ok=True)
    shutil.copy(ROOT / f"systemd/drop-ins/{name}.conf", folder)


def exposure(analyze, unit):
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", str(unit)], capture_output=True, text=True, check=True
    )
    return float(re.search(r"Overall exposure level for .*?: ([\d.]+)", done.stdout)[1])


@pytest.mark.parametrize("drop_ins", [(), ("nftables",), ("process",), ("nftables", "process")])
def test_real_systemd_analyze_finds_nothing_to_say(unit, drop_ins):
    """`systemd-analyze verify` is silent about the unit, alone and with the drop-ins of actions."""
    analyze, path = unit
    for name in drop_ins:
        drop_in(path, name)
    done = subprocess.run([analyze, "verify", "--man=no", str(path)], capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "halond" in line]
    assert (done.returncode, said) == (0, [])


def test_real_systemd_analyze_would_say_so_if_a_line_were_wrong(unit):
    """The check above can fail: a misspelt key is reported."""
    analyze, path = unit
    path.write_text(path.read_text().replace("LockPersonality=", "LockPersonalty="))
    done = subprocess.run([analyze, "verify", "--man=no", str(path)], capture_output=True, text=True, check=False)
    assert "LockPersonalty" in done.stderr


def test_real_systemd_analyze_rates_the_unit_as_hardened(unit):
    """The exposure of the unit is at most 1.5; a drop-in adds to it, which is why none is installed unasked."""
    analyze, path = unit
    alone = exposure(analyze, path)
    assert alone <= EXPOSURE_MAX
    drop_in(path, "nftables")
    assert exposure(analyze, path) > alone


def test_the_unit_leaves_the_daemon_the_time_that_the_config_gives_it():
    """TimeoutStopSec is longer than the shipped `daemon.stop_within`."""
    within_s = int(re.search(r'^stop_within = "(\d+)s"', (ROOT / "config.toml").read_text(), re.MULTILINE)[1])
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)[1]) > within_s


@pytest.mark.parametrize(
    ("last", "etc", "shipped", "kept", "beside"),
    [
        (None, None, "1", "1", None),
        ("1", "1", "2", "2", None),
        ("1", "mine", "2", "mine", "2"),
        ("1", "mine", "1", "mine", None),
        (None, "mine", "1", "mine", "1"),
        ("1", None, "2", None, None),
        ("1", "2", "2", "2", None),
    ],
)
def test_an_edited_config_is_never_overwritten(tmp_path, last, etc, shipped, kept, beside):
    """An untouched file is upgraded, an edited one kept with the new one beside it, a removed one stays away."""
    for folder, text in (("last", last), ("etc", etc), ("shipped", shipped)):
        (tmp_path / folder / "rules").mkdir(parents=True)
        if text is not None:
            (tmp_path / folder / "rules/one.toml").write_text(text)
    places = [str(tmp_path / each) for each in ("shipped", "last", "etc")]
    done = subprocess.run(
        ["bash", str(ROOT / "scripts/lay_config.sh"), *places], capture_output=True, text=True, check=True
    )

    def read(name):
        path = tmp_path / "etc/rules" / name
        return path.read_text() if path.exists() else None

    assert (read("one.toml"), read("one.toml.new")) == (kept, beside)
    assert ("one.toml.new" in done.stdout) == (beside is not None)


def test_an_unknown_drop_in_is_refused_with_the_names_that_there_are(tmp_path):
    """Nothing is installed where the argument is wrong."""
    done = subprocess.run(
        ["bash", str(ROOT / "scripts/install.sh"), "--drop-in", "proces"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DESTDIR": str(tmp_path)},
    )
    assert done.returncode == 2
    assert "nftables notify-reload process" in done.stderr
    assert not list(tmp_path.iterdir())
