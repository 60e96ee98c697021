"""MLflow's model registry: a stand-in, unless HALON_TEST_MLFLOW names the `mlflow` command of an installed MLflow.

MLflow takes 240 MB and twenty seconds to start. The stand-in answers the requests of the actions in the shapes of
MLflow 3.17, against which the same tests were run.
"""

import http.server
import json
import os
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.actions.harness.base import Failure, Harness, silent
from tests.support.realparts import free_port, listening, server

_API = "/api/2.0/mlflow"


class Registry(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def none(self):
        return self.answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not found"})

    def shown(self, name, number):
        model = self.server.models[name]
        tags = [{"key": key, "value": value} for key, value in model["versions"][number].items()]
        aliases = [alias for alias, named in model["aliases"].items() if named == number]
        return {"name": name, "version": number, "status": "READY", "tags": tags, "aliases": aliases}

    def handle_one(self):
        url = urlsplit(self.path)
        given = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        given |= {key: value[0] for key, value in parse_qs(url.query).items()}
        path = url.path.removeprefix(_API)
        name = given.get("name") or given.get("filter", "").partition("'")[2].rstrip("'")
        models = self.server.models
        if path == "/registered-models/create":
            models[name] = {"versions": {}, "aliases": {}}
        if path == "/model-versions/search" and name not in models:
            return self.answer(200, {})
        if name not in models:
            return self.none()
        model, number, alias = models[name], given.get("version"), given.get("alias")
        match self.command, path:
            case "POST", "/model-versions/create":
                number = str(len(model["versions"]) + 1)
                model["versions"][number] = {each["key"]: each["value"] for each in given.get("tags", [])}
            case "GET", "/model-versions/search":
                found = [self.shown(name, each) for each in sorted(model["versions"], key=int, reverse=True)]
                return self.answer(200, {"model_versions": found})
            case "GET", "/registered-models/alias":
                # MLflow answers 400 for an alias that is not there, as the real one does.
                if alias not in model["aliases"]:
                    return self.answer(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "alias not found."})
                return self.answer(200, {"model_version": self.shown(name, model["aliases"][alias])})
            case "POST", "/registered-models/alias":
                model["aliases"][alias] = number
            case "DELETE", "/registered-models/alias":
                model["aliases"].pop(alias, None)
            case _ if number not in model["versions"]:
                return self.none()
            case "GET", "/model-versions/get":
                return self.answer(200, {"model_version": self.shown(name, number)})
            case "POST", "/model-versions/set-tag":
                model["versions"][number][given["key"]] = given["value"]
            case "DELETE", "/model-versions/delete-tag":
                model["versions"][number].pop(given["key"], None)
        return self.answer(200, {})

    do_GET = do_POST = do_DELETE = handle_one  # noqa: N815  # names that http.server looks for


class RepointAliasHarness(Harness):
    action = "mlflow.repoint-alias"
    counts_effects = False  # an alias that names a version can't be let name it once more
    stride = 3

    @contextmanager
    def serve(self):
        if command := os.environ.get("HALON_TEST_MLFLOW"):
            port = free_port()
            argv = [command, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
                    "--backend-store-uri", f"sqlite:///{self.tmp}/mlflow.db"]  # fmt: skip
            environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
            with server(argv, log=self.tmp / "mlflow.log", ready=lambda: listening(port), env=environment):
                self.url = f"http://127.0.0.1:{port}"
                yield
            return
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as stand_in:
            stand_in.daemon_threads, stand_in.models = True, {}
            thread = threading.Thread(target=stand_in.serve_forever, args=(0.02,))
            thread.start()
            self.url = f"http://127.0.0.1:{stand_in.server_port}"
            yield
            stand_in.shutdown()
            thread.join()

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
