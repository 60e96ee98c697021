"""Objects in the stand-in for the Kubernetes API of tests/support/cluster.py, changed and looked at past its API."""

import json
import sys
import urllib.request
from contextlib import contextmanager

from tests.actions.harness.base import Failure, Harness, silent
from tests.support.realparts import server

_TOKEN = "the-token-of-the-service-account"


_TEMPLATE = {
    "metadata": {"labels": {"app": "llm-a"}},
    "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "llm:1"}]},
}


class ClusterHarness(Harness):
    stride = 3
    resource, name, namespace = (), "", "ml"

    @contextmanager
    def serve(self):
        where = self.tmp / "url"
        argv = [sys.executable, "-m", "tests.support.cluster", str(where)]
        with server(argv, log=self.tmp / "cluster.log", ready=where.exists):
            self.url = where.read_text()
            yield

    def past(self, what, data=None):
        """Sets, changes or looks at the objects past the API."""
        request = urllib.request.Request(
            f"{self.url}/harness/{what}", json.dumps(data).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def edit(self, change, name=None, kind=None):
        self.past("edit", {"kind": kind or self.body()["kind"], "name": name or self.name, "change": change})

    @contextmanager
    def fresh(self):
        self.past("reset", self.objects())
        yield

    def objects(self):
        return [(self.resource, self.namespace, self.body())]

    def body(self):
        raise NotImplementedError

    @property
    def object(self):
        kind = self.body()["kind"]
        found = self.past("look")["objects"]
        return next(each for each in found if each["kind"] == kind and each["metadata"]["name"] == self.name)

    def settings(self):
        return {"server": self.url, "token_secret": "cluster", "settle": "500ms"}

    def secrets(self):
        return {"cluster": _TOKEN, "wrong": "a-wrong-token"}

    def state(self):
        return sorted((each["kind"], each["metadata"]["name"], json.dumps(each["spec"], sort_keys=True))
                      for each in self.past("look")["objects"])  # fmt: skip

    def effects(self):
        return sum(action != "delete" for action in self.past("look")["log"])

    def failures(self):
        quiet = {"server": f"http://127.0.0.1:{silent(self)}", "timeout": "200ms"}
        return [
            Failure("nothing listens", "see whether it runs", settings={"server": "http://127.0.0.1:1"}),
            Failure("nothing answers", "see whether it runs", settings=quiet),
            Failure("a wrong token", "token_secret", settings={"token_secret": "wrong"}),
            Failure("no token", "token_secret", settings={"token_secret": ""}),
            Failure("a secret that is not there", "add it to the secrets", settings={"token_secret": "none"}),
            Failure("a certificate that is not there", "ca_file", settings={"ca_file": "/nonexistent/ca.pem"}),
            *self.own_failures(),
        ]

    def own_failures(self):
        return []


class CordonHarness(ClusterHarness):
    action = "kubernetes.cordon"
    resource, name, namespace = ("", "v1", "nodes"), "gpu-3", None

    def body(self):
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-3"}, "spec": {"podCIDR": "10.0.3.0/24"}}

    def params(self):
        return {"node": "gpu-3"}

    def contained(self):
        return self.object["spec"].get("unschedulable") is True

    def someone_undoes(self):
        self.edit({"spec": {"unschedulable": None}})
        return True

    def own_failures(self):
        return [Failure("no such node", "check its name", params={"node": "gpu-9"})]


class ScaleHarness(ClusterHarness):
    action = "kubernetes.scale"
    resource, name = ("apps", "v1", "deployments"), "llm-a"

    def body(self):
        template = _TEMPLATE | {"spec": _TEMPLATE["spec"] | {"restartPolicy": "Always"}}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "llm-a", "namespace": "ml"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "llm-a"}}, "template": template},
            "status": {"replicas": 3},
        }

    def params(self):
        return {"namespace": "ml", "workload": "llm-a", "replicas": 0}

    def contained(self):
        return self.object["spec"]["replicas"] == 0 == self.object["status"]["replicas"]

    def someone_undoes(self):
        self.edit({"spec": {"replicas": 3}, "status": {"replicas": 3}})
        return True

    def someone_changes(self):
        self.edit({"spec": {"replicas": 7}, "status": {"replicas": 7}})
        return True

    def own_failures(self):
        return [Failure("no such workload", "check its name", params={"workload": "llm-z"})]


class SuspendJobHarness(ClusterHarness):
    action = "kubernetes.suspend-job"
    resource, name, kind = ("batch", "v1", "jobs"), "run-7", "Job"

    def body(self):
        spec = {"template": _TEMPLATE, "suspend": False}
        return {
            "apiVersion": "/".join(filter(None, self.resource[:2])),
            "kind": self.kind,
            "metadata": {"name": "run-7", "namespace": "ml", "labels": {"team": "a"}},
            "spec": {"runPolicy": {"suspend": False}, "pytorchReplicaSpecs": {}} if self.kind == "PyTorchJob" else spec,
            "status": {"active": 2},
        }

    def objects(self):
        ended = self.body()
        ended["metadata"]["name"] = "run-6"
        ended["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
        return [*super().objects(), (self.resource, self.namespace, ended)]

    def params(self):
        return {"namespace": "ml", "job": "run-7", "kind": self.kind}

    def contained(self):
        found = self.object
        spec = found["spec"]["runPolicy"] if self.kind == "PyTorchJob" else found["spec"]
        return spec["suspend"] is True and found["status"]["active"] == 0

    def someone_undoes(self):
        self.edit({"spec": {"runPolicy": {"suspend": False}} if self.kind == "PyTorchJob" else {"suspend": False}})
        return True

    def own_failures(self):
        return [
            Failure("no such job", "check its name", params={"job": "run-9"}),
            Failure("a job that has ended", "has ended: Complete", params={"job": "run-6"}),
        ]


class SuspendTrainJobHarness(SuspendJobHarness):
    resource, kind = ("trainer.kubeflow.org", "v1alpha1", "trainjobs"), "TrainJob"


class SuspendPyTorchJobHarness(SuspendJobHarness):
    resource, kind = ("kubeflow.org", "v1", "pytorchjobs"), "PyTorchJob"


_POLICIES, _PODS = ("networking.k8s.io", "v1", "networkpolicies"), ("", "v1", "pods")


def policy(name, labels, **spec):
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {"podSelector": {"matchLabels": labels}, **spec},
    }


class KubernetesIsolateHarness(ClusterHarness):
    action = "kubernetes.isolate"

    def objects(self):
        def pod(name, labels):
            return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ml", "labels": labels},
                    "spec": _TEMPLATE["spec"]}  # fmt: skip

        return [
            (_PODS, "ml", pod("a-1", {"app": "llm-a", "track": "blue"})),
            (_PODS, "ml", pod("b-1", {"app": "llm-b"})),
            (_POLICIES, "ml", policy("of-b", {"app": "llm-b"}, policyTypes=["Ingress"], ingress=[{}])),
        ]

    def params(self):
        return {"namespace": "ml", "labels": {"app": "llm-a"}}

    def ours(self):
        found = self.past("look")["objects"]
        return [each for each in found if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] != "of-b"]

    def edit_ours(self, change):
        self.edit(change, self.ours()[0]["metadata"]["name"], "NetworkPolicy")

    def contained(self):
        """What a network plug-in makes of the policies: the pods are selected both ways, and nothing is allowed."""
        return len(self.ours()) == 1 and self.ours()[0]["spec"] == {
            "podSelector": {"matchLabels": {"app": "llm-a"}},
            "policyTypes": ["Ingress", "Egress"],
        }

    def someone_undoes(self):
        self.edit_ours(None)
        return True

    def someone_changes(self):
        self.edit_ours({"spec": {"ingress": [{}]}})
        return True

    def own_failures(self):
        @contextmanager
        def open_wide():
            wide = policy("wide", {"track": "blue"}, policyTypes=["Egress"], egress=[{}])
            self.past("reset", [*self.objects(), (_POLICIES, "ml", wide)])
            yield

        return [
            Failure("no such pods", "no pod in ml has the labels", params={"labels": {"app": "llm-z"}}),
            Failure("another policy allows their traffic", "the policy wide allows", during=open_wide),
        ]
