"""Writes the first corpus of each target: the shipped files, the examples of the pages, the golden mistakes."""

import hashlib
import re

from engine.cli.init import FILES
from tests.fuzz.run import CORPUS, ROOT
from tests.support.samples import SAMPLES, producer_of


def seeds():
    """(target, bytes) of every seed."""
    for path in sorted((ROOT / "rules").rglob("*.toml")):
        yield "ruletests" if path.name.endswith(".test.toml") else "rules", path.read_bytes()
    for path in sorted((ROOT / "tests" / "golden" / "diagnostics").rglob("*.toml")):
        yield "config" if path.name == "config.toml" else "rules", path.read_bytes()
    for page in ("rules.md", "diagnostics.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for block in re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            yield "ruletests" if "[test." in block else "rules", block.encode()
    yield "ruletests", FILES["slow-model.test.toml"].encode()
    for expect in (
        '{ incident = "availability", at = "1m", key = { k = "a" }, contain = [] }',
        '{ incident = "no", rule = "x" }',
    ):
        event = (
            '{ at = "0s", type = "t", data = { a = [1, "x"] }, ext = { tenant = "b" }, repeat = 3, every = "1m30s" }'
        )
        yield "ruletests", f'[test.a]\nevents = [{event}]\nexpect = [{expect}]\nuntil = "1h"\n'.encode()
    yield "config", re.sub(rb"(?m)^#.*\n", b"", (ROOT / "config.toml").read_bytes())
    for event in (
        '{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-01-01T00:00:00Z","subject":"x","data":{"a":1.5}}',
        '{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"AAEC","datacontenttype":"text/plain","ext1":true}',
        '[{"specversion":"1.0","id":"1","source":"s","type":"t"},{"specversion":"0.3"},7]',
        '{"specversion":"1.0","id":"é","source":"urn:a","type":"t","time":"2026-01-01T00:00:00.123456789+05:30","data":null}',
    ):
        yield "events", event.encode()
    for condition in (
        "event.data.loss > 3.0 && event.subject in list.watched",
        "event.data.tags.exists(t, t.matches('^a.*')) || has(event.data.nested.x)",
        "string(event.time) + event.source.substring(1)",
        "{'a': [1, 2u, -3.5e7], b'x': null}['a'][0] + int(event.data.step) % 7",
        "event.data.tags.map(t, size(t)).filter(n, n > 0).all(n, n < 9) ? duration('1h') : duration('2s')",
    ):
        yield "cel", condition.encode()
    for name, sample in SAMPLES.items():
        yield "producers", f"{producer_of(name).name}\n{sample.body}".encode()


def main():
    """Writes what is not there yet, named by its hash as the fuzzer does."""
    for target, content in seeds():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        if len(content) <= 4_096:
            (folder / hashlib.sha1(content, usedforsecurity=False).hexdigest()).write_bytes(content)


if __name__ == "__main__":
    main()
