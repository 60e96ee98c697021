"""The model registry of a real MLflow server with its database in SQLite."""

import json
import os
import urllib.error
import urllib.request
from contextlib import contextmanager
from urllib.parse import urlencode

from tests.actions.harness.base import Failure, Harness, silent
from tests.support.realparts import free_port, listening, need_part, server

_API = "/api/2.0/mlflow"
_START_WITHIN_S = 120.0  # half a minute of a quiet processor


class RepointAliasHarness(Harness):
    action = "mlflow.repoint-alias"
    counts_effects = False  # an alias that names a version can't be let name it once more
    stride = 4

    @contextmanager
    def serve(self):
        port = free_port()
        argv = [need_part("mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
                "--backend-store-uri", f"sqlite:///{self.tmp}/mlflow.db"]  # fmt: skip
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        log = self.tmp / "mlflow.log"
        with server(argv, log=log, ready=lambda: listening(port), env=environment, within_s=_START_WITHIN_S):
            self.url = f"http://127.0.0.1:{port}"
            yield

    def tell(self, method, path, **fields):
        """The answer to a request of the test's own; None where there is no such thing."""
        url, data = f"{self.url}{_API}{path}", None
        if method == "GET":
            url += "?" + urlencode(fields)
        else:
            data = json.dumps(fields).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code in {400, 404}:
                return None
            raise

    @contextmanager
    def fresh(self):
        self.model = f"llm-{next(self.numbers)}"
        self.tell("POST", "/registered-models/create", name=self.model)
        for sound in ("true", "true", "false", "true"):
            tags = [{"key": "halon.verified", "value": sound}]
            self.tell("POST", "/model-versions/create", name=self.model, source="s3://models/llm", tags=tags)
        self.point("prod", 3)
        self.point("canary", 3)
        yield

    def point(self, alias, number):
        self.tell("POST", "/registered-models/alias", name=self.model, alias=alias, version=str(number))
        return True

    def named(self, alias):
        found = self.tell("GET", "/registered-models/alias", name=self.model, alias=alias)
        return found and int(found["model_version"]["version"])

    def params(self):
        return {"model": self.model, "alias": "prod"}

    def settings(self):
        return {"url": self.url}

    def state(self):
        versions = [self.tell("GET", "/model-versions/get", name=self.model, version=str(n)) for n in range(1, 5)]
        tags = [sorted((t["key"], t["value"]) for t in each["model_version"].get("tags", [])) for each in versions]
        return tags, self.named("prod"), self.named("canary")

    def contained(self):
        return self.named("prod") == 2 and self.named("canary") == 3

    def someone_undoes(self):
        return self.point("prod", 3)

    def someone_changes(self):
        return self.point("prod", 1)

    def failures(self):
        quiet = {"url": f"http://127.0.0.1:{silent(self)}", "timeout": "200ms"}
        return [
            Failure("nothing listens", "see whether it runs", settings={"url": "http://127.0.0.1:1"}),
            Failure("nothing answers", "see whether it runs", settings=quiet),
            Failure("a secret that is not there", "add it to the secrets", settings={"bearer_secret": "none"}),
            *self.own_failures(),
        ]

    def own_failures(self):
        return [
            Failure("no such model", "check both names", params={"model": "none"}),
            Failure("no such alias", "check both names", params={"alias": "none"}),
            Failure("no version verifies", "name one by hand", settings={"verified_tag": "of-nobody"}),
        ]


class BlockVersionHarness(RepointAliasHarness):
    action = "mlflow.block-version"

    def params(self):
        return {"model": self.model, "version": 3}

    def contained(self):
        found = self.tell("GET", "/model-versions/get", name=self.model, version="3")["model_version"]
        blocked = {"key": "halon.blocked", "value": "true"} in found.get("tags", [])
        return blocked and self.named("prod") is None and self.named("canary") is None

    def own_failures(self):
        return [
            Failure("no such model", "check both", params={"model": "none"}),
            Failure("no such version", "check both", params={"version": 9}),
        ]
