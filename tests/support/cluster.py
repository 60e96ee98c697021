"""A stand-in for the Kubernetes API made by others, kmock, with what matters here put around it: bearer tokens, the
OpenAPI schema for what is written, and the controllers' part of an object. Run as a program, it writes its URL.
"""

import asyncio
import copy
import sys
from pathlib import Path

import aiohttp.web
import kmock
import kubernetes_validate

_TOKEN = "the-token-of-the-service-account"
_VERSION = "1.34"
_SCHEMALESS = {"PyTorchJob", "TrainJob"}  # custom resources: their schema is in no wheel


class Api(kmock.KubernetesEmulator):
    """`log` lists what requests changed."""

    log: list = []

    async def _handle(self, request):
        if request.url.path.startswith("/harness/"):
            return aiohttp.web.json_response(self.harness(request.url.path, request.data))
        if request.headers.get("Authorization") != f"Bearer {_TOKEN}":
            status = 403 if "Authorization" in request.headers else 401
            return aiohttp.web.json_response({"kind": "Status", "message": "denied"}, status=status)
        action = request.action.name.lower() if request.action else ""
        if action in {"create", "update"}:
            wrong = self.wrong(request, action)
            if wrong:
                return aiohttp.web.json_response({"kind": "Status", "message": wrong}, status=422)
        answer = await super()._handle(request)
        if action in {"create", "update", "delete"} and answer.status < 300:
            self.log.append(action)
            for obj in self.objects.values():
                if not obj.deleted:
                    self.follow(obj)
        return answer

    def wrong(self, request, action):
        """Why the API server would refuse the object; empty where it would not."""
        if action == "create":
            whole = request.data
        else:
            if request.headers.get("Content-Type") != "application/merge-patch+json":
                return "a patch of another kind"
            wanted = (request.resource, request.namespace, request.name)
            found = next((obj for key, obj in self.objects.items() if tuple(key) == wanted), None)
            if found is None or found.deleted:
                return ""  # kmock answers 404
            whole = merged(copy.deepcopy(found.raw), request.data)
        if whole.get("kind") in _SCHEMALESS:
            return ""
        try:
            kubernetes_validate.validate(whole, _VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            return f"invalid: {error.message}"
        return ""

    @staticmethod
    def follow(obj):
        """What the controllers of workloads and jobs make of an object."""
        found = obj.raw
        if found["kind"] == "Deployment":
            obj.patch({"status": {"replicas": found["spec"]["replicas"]}})
        elif found["kind"] in {"Job", "PyTorchJob", "TrainJob"}:
            suspended = suspend(found)
            condition = {"type": "Suspended", "status": "True" if suspended else "False"}
            obj.patch({"status": {"active": 0 if suspended else 2, "conditions": [condition]}})

    def harness(self, path, data):
        """What a test sets, changes and sees, past the API."""
        if path == "/harness/reset":
            self.log.clear()
            self.objects.clear()
            for resource, namespace, body in data:
                self.objects[kmock.resource(*resource), namespace, body["metadata"]["name"]] = body
        elif path == "/harness/edit":
            found = next(
                obj for obj in self.objects.values() if not obj.deleted and same(obj.raw, data["kind"], data["name"])
            )
            found.delete() if data["change"] is None else found.patch(data["change"])
            if data["change"] is not None:
                self.follow(found)
        return {"objects": [obj.raw for obj in self.objects.values() if not obj.deleted], "log": self.log}


def same(raw, kind, name):
    return raw["kind"] == kind and raw["metadata"]["name"] == name


def merged(base, change):
    """RFC 7386."""
    for name, value in change.items():
        if value is None:
            base.pop(name, None)
        elif isinstance(value, dict):
            base[name] = merged(base[name] if isinstance(base.get(name), dict) else {}, value)
        else:
            base[name] = value
    return base


def suspend(found):
    spec = found["spec"].get("runPolicy", {}) if found["kind"] == "PyTorchJob" else found["spec"]
    return spec.get("suspend", False)


async def main(path):
    async with Api() as api, kmock.Server(api) as server:
        path.with_suffix(".part").write_text(str(server.url).rstrip("/"))
        path.with_suffix(".part").rename(path)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
