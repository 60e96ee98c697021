"""A stand-in for AWS made by others, moto's server, with what it lacks put in: interfaces that change their groups, and
training jobs that run until they are stopped. Run as a program with a port.
"""

import json
import sys

from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.sagemaker.models import FakeTrainingJob
from moto.sagemaker.responses import SageMakerResponse
from moto.server import main

_train = FakeTrainingJob.__init__


def train(self, *arguments, **named):
    """A job that runs."""
    _train(self, *arguments, **named)
    self.training_job_status = self.secondary_status = "InProgress"


def stop(self):
    """StopTrainingJob."""
    job = self.sagemaker_backend.training_jobs[json.loads(self.body)["TrainingJobName"]]
    job.training_job_status = job.secondary_status = "Stopped"
    return json.dumps({})


# moto adds the groups that an instance was started with to those that its interface was given since.
NetworkInterface.group_set = property(lambda card: card._group_set or card.instance.security_groups)
FakeTrainingJob.__init__ = train
SageMakerResponse.stop_training_job = stop

if __name__ == "__main__":
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
