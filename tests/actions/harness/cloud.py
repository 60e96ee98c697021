"""Things in the stand-in for AWS of tests/support/cloud.py, made and looked at by boto3 over HTTP."""

import configparser
import logging
import stat
import sys
from contextlib import contextmanager

import boto3

from tests.actions.harness.base import Failure, Harness, silent
from tests.support.realparts import free_port, listening, server

_SECRET = "the-secret-key-of-halon"


class CloudHarness(Harness):
    stride = 9  # of boto3's calls, each some 0.3 s

    @contextmanager
    def serve(self):
        self.port = free_port()
        argv = [sys.executable, "-m", "tests.support.cloud", str(self.port)]
        with server(argv, log=self.tmp / "moto.log", ready=lambda: listening(self.port)):
            yield

    def client(self, service, **credentials):
        logging.getLogger("botocore").setLevel(logging.CRITICAL)  # the test's own calls: they hold what was made
        credentials = credentials or {"aws_access_key_id": "AKIAHALON", "aws_secret_access_key": _SECRET}
        return boto3.session.Session().client(
            service, region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{self.port}", **credentials
        )

    def settings(self):
        return {"endpoint": f"http://127.0.0.1:{self.port}", "access_key_id_secret": "id", "secret_key_secret": "key"}

    def secrets(self):
        return {"key": _SECRET, "id": "AKIAHALONITSELF0"}

    def failures(self):
        quiet = {"endpoint": f"http://127.0.0.1:{silent(self)}", "timeout": "200ms"}
        return [
            Failure("nothing listens", "not reachable", settings={"endpoint": "http://127.0.0.1:1"}),
            Failure("nothing answers", "see `region`", settings=quiet),
            Failure("a secret that is not there", "add it to the secrets", settings={"secret_key_secret": "none"}),
            *self.own_failures(),
        ]


class DisableAccessKeyHarness(CloudHarness):
    action = "aws.disable-access-key"
    counts_effects = False  # a key that is inactive can't be made so once more

    @contextmanager
    def fresh(self):
        self.iam = self.client("iam")
        self.user = f"trainer-{next(self.numbers)}"
        self.iam.create_user(UserName=self.user)
        made = self.iam.create_access_key(UserName=self.user)["AccessKey"]
        self.key, self.old_secret = made["AccessKeyId"], made["SecretAccessKey"]
        self.file = self.tmp / f"{self.user}.credentials"
        yield

    def hidden(self):
        return [self.old_secret]

    def params(self):
        return {"user": self.user, "access_key_id": self.key}

    def state(self):
        keys = self.iam.list_access_keys(UserName=self.user)["AccessKeyMetadata"]
        return sorted((each["AccessKeyId"], each["Status"]) for each in keys)

    def contained(self):
        return self.state() == [(self.key, "Inactive")]

    def someone_undoes(self):
        self.iam.update_access_key(UserName=self.user, AccessKeyId=self.key, Status="Active")
        return True

    def own_failures(self):
        return [
            Failure("no such user", "check the name of the user", params={"user": "nobody"}),
            Failure("no such key", "has no access key", params={"access_key_id": "AKIA0000000000000000"}),
        ]


class RotateAccessKeyHarness(DisableAccessKeyHarness):
    action = "aws.rotate-access-key"

    def settings(self):
        return super().settings() | {"files": {self.user: str(self.file), "nobody": str(self.file)}}

    def kept(self):
        parser = configparser.RawConfigParser()
        parser.read(self.file)
        return dict(parser["default"]) if parser.has_section("default") else {}

    def hidden(self):
        return [self.old_secret, self.kept().get("aws_secret_access_key", "")]

    def contained(self):
        kept, keys = self.kept(), dict(self.state())
        return (
            keys.pop(self.key) == "Inactive"
            and keys == {kept["aws_access_key_id"]: "Active"}
            and bool(kept["aws_secret_access_key"])
            and stat.S_IMODE(self.file.stat().st_mode) == 0o600
            and [each.name for each in self.tmp.glob(f".{self.file.name}*")] == []
        )

    def own_failures(self):
        @contextmanager
        def third():
            self.iam.create_access_key(UserName=self.user)
            yield

        @contextmanager
        def no_folder():
            self.file.mkdir()
            yield
            self.file.rmdir()

        return [
            *super().own_failures(),
            Failure("no file for the user", "add it to `files`", settings={"files": {}}),
            Failure("no such folder", "existing folder", settings={"files": {self.user: "/nonexistent/x"}}),
            Failure("two keys already", "can't have a third", during=third),
            Failure("the file can't be written", "let halond read it", during=no_folder, at_apply=True),
        ]


class RotateSecretHarness(CloudHarness):
    action = "aws.rotate-secret"

    @contextmanager
    def fresh(self):
        self.manager = self.client("secretsmanager")
        self.name = f"prod/trainer-{next(self.numbers)}"
        made = self.manager.create_secret(Name=self.name, SecretString="the-old-secret-of-the-trainer")
        self.first = made["VersionId"]
        yield

    def params(self):
        return {"secret_id": self.name}

    def hidden(self):
        return ["the-old-secret-of-the-trainer"]

    def state(self):
        return self.manager.describe_secret(SecretId=self.name)["VersionIdsToStages"]

    def contained(self):
        current = [version for version, stages in self.state().items() if "AWSCURRENT" in stages]
        return len(current) == 1 and current != [self.first]

    def effects(self):
        return len(self.state()) - 1

    def own_failures(self):
        return [Failure("no such secret", "check the name", params={"secret_id": "prod/none"})]


class QuarantineInstanceHarness(CloudHarness):
    action = "aws.quarantine-instance"
    counts_effects = False  # an instance in a group alone can't be put into it once more

    @contextmanager
    def fresh(self):
        self.ec2 = self.client("ec2")
        number = next(self.numbers)
        self.groups = [
            self.ec2.create_security_group(GroupName=f"{name}-{number}", Description=name)["GroupId"]
            for name in ("serving", "monitoring", "quarantine", "another")
        ]
        image = self.ec2.describe_images()["Images"][0]["ImageId"]
        made = self.ec2.run_instances(
            ImageId=image, MinCount=1, MaxCount=1, SecurityGroupIds=self.groups[:2], InstanceType="t3.micro"
        )
        self.instance = made["Instances"][0]["InstanceId"]
        yield
        self.ec2.terminate_instances(InstanceIds=[self.instance])

    def params(self):
        return {"instance": self.instance}

    def settings(self):
        return super().settings() | {"group": self.groups[2]}

    def cards(self):
        found = self.ec2.describe_instances(InstanceIds=[self.instance])["Reservations"][0]["Instances"][0]
        return found["NetworkInterfaces"]

    def state(self):
        return [(each["NetworkInterfaceId"], sorted(g["GroupId"] for g in each["Groups"])) for each in self.cards()]

    def contained(self):
        return [groups for _, groups in self.state()] == [[self.groups[2]]]

    def put(self, groups):
        card = self.cards()[0]["NetworkInterfaceId"]
        self.ec2.modify_network_interface_attribute(NetworkInterfaceId=card, Groups=groups)
        return True

    def someone_undoes(self):
        return self.put(self.groups[:2])

    def someone_changes(self):
        return self.put(self.groups[3:])

    def own_failures(self):
        return [
            Failure("no such instance", "check the id", params={"instance": "i-0123456789abcdef0"}),
            Failure("no group of the quarantine", "set `group`", settings={"group": ""}),
        ]


class StopTrainingJobHarness(CloudHarness):
    action = "aws.stop-training-job"
    counts_effects = False  # a job that has stopped can't be stopped once more

    @contextmanager
    def fresh(self):
        self.maker = self.client("sagemaker")
        self.job = f"run-{next(self.numbers)}"
        self.maker.create_training_job(
            TrainingJobName=self.job,
            AlgorithmSpecification={"TrainingImage": "llm:1", "TrainingInputMode": "File"},
            RoleArn="arn:aws:iam::123456789012:role/trainer-role",
            OutputDataConfig={"S3OutputPath": "s3://models"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 600},
        )
        yield

    def params(self):
        return {"job": self.job}

    def state(self):
        return self.maker.describe_training_job(TrainingJobName=self.job)["TrainingJobStatus"]

    def contained(self):
        return self.state() == "Stopped"

    def own_failures(self):
        return [Failure("no such job", "check the name of the job", params={"job": "run-none"})]
