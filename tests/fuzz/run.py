"""`make fuzz`: each target of tests/fuzz/targets.py under atheris for FUZZ_S seconds, the corpus kept and minimised.

A crash stops it with the input in `.fuzz/`; mend the cause, and put the input into tests/fuzz/corpus/TARGET/.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(__file__).resolve().parent / "corpus"
WORK = ROOT / ".fuzz"
INPUT_BYTES_MAX = 4_096
RUN_S_MAX = 10
"""One input that takes longer is a finding."""


def fuzz(target, arguments):
    """Runs one target in this process until libFuzzer ends it."""
    import atheris  # noqa: PLC0415  # the group `fuzz`; absent in the ordinary set-up

    with atheris.instrument_imports(include=["engine", "tests.fuzz.targets"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415  # instrumented as it is imported
    # To merge, libFuzzer starts itself again through the shell, by its own name.
    again = f"{shlex.quote(sys.executable)} -m tests.fuzz.run --child {target}"
    atheris.Setup([again, *arguments], TARGETS[target])
    atheris.Fuzz()


def main():
    """Every target (or the named ones) in a process of its own, then what it found merged into the corpus."""
    if sys.argv[1:2] == ["--child"]:
        return fuzz(sys.argv[2], sys.argv[3:])
    seconds = int(os.environ.get("FUZZ_S", "60"))
    names = sys.argv[1:] or sorted(each.name for each in CORPUS.iterdir())
    for name in names:
        kept, grown, found = CORPUS / name, WORK / name, WORK / f"crash-{name}-"
        grown.mkdir(parents=True, exist_ok=True)
        kept.mkdir(exist_ok=True)
        child = [sys.executable, "-m", "tests.fuzz.run", "--child", name]
        words = CORPUS.parent / "words.dict"
        limits = [f"-max_len={INPUT_BYTES_MAX}", f"-timeout={RUN_S_MAX}", f"-artifact_prefix={found}", f"-dict={words}"]
        sys.stderr.write(f"fuzz: {name} for {seconds} s\n")
        run = [*child, *limits, f"-max_total_time={seconds}", "-verbosity=0", str(grown), str(kept)]
        ended = subprocess.run(run, cwd=ROOT, check=False).returncode
        if ended:
            sys.stderr.write(f"fuzz: {name} failed; the input is {found}…\n")
            return ended
        merge = [*child, *limits, "-merge=1", "-verbosity=0", str(kept), str(grown)]
        subprocess.run(merge, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
