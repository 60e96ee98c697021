"""A real Slurm cluster of one node on loopback: slurmctld and slurmd, jobs that count in files."""

import os
import socket
import subprocess
from contextlib import contextmanager

from tests.actions.harness.base import Failure, Harness
from tests.support.realparts import free_port, need, need_root, server
from tests.support.wait import until

_CONF = """
ClusterName=halon
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/none
CredType=cred/none
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller}
SlurmdPort={daemon}
StateSaveLocation={tmp}/state
SlurmdSpoolDir={tmp}/spool
SlurmctldPidFile={tmp}/slurmctld.pid
SlurmdPidFile={tmp}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=1
SchedulerParameters=batch_sched_delay=0
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 CPUs=1 State=UNKNOWN
PartitionName=main Nodes=n1 Default=YES MaxTime=INFINITE State=UP
"""
_JOB = "#!/bin/sh\nwhile :; do echo x >>{out}; sleep 0.01; done\n"


class SuspendHarness(Harness):
    action = "slurm.suspend"
    stride = 4
    counts_effects = False  # a suspended job can't be suspended once more

    @contextmanager
    def serve(self):
        need_root("slurmd runs jobs of users")
        controller, daemon, host = need("slurmctld"), need("slurmd"), socket.gethostname().partition(".")[0]
        self.tmp.chmod(0o755)
        self.conf = self.tmp / "slurm.conf"
        ports = {"controller": free_port(), "daemon": free_port()}
        self.conf.write_text(_CONF.format(host=host, tmp=self.tmp, **ports))
        (self.tmp / "state").mkdir()
        (self.tmp / "spool").mkdir()
        self.env = {**os.environ, "SLURM_CONF": str(self.conf)}
        with (
            server([controller, "-D", "-i"], log=self.tmp / "ctld.log", env=self.env, ready=lambda: self.ask("ping")),
            server(
                [daemon, "-D", "-N", "n1"],
                log=self.tmp / "slurmd.log",
                env=self.env,
                ready=lambda: "IDLE" in self.ask("show", "node", "n1"),
            ),
        ):
            yield

    def ask(self, *arguments, program="scontrol"):
        done = subprocess.run([need(program), *arguments], env=self.env, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 and "DOWN" not in done.stdout else ""

    def submit(self, *options):
        out = self.tmp / f"job-{next(self.numbers)}.out"
        script = self.tmp / f"job-{next(self.numbers)}.sh"
        script.write_text(_JOB.format(out=out))
        # A name that would deceive who reads scontrol's output.
        name = "x JobState=SUSPENDED Priority=0"
        fixed = ["--parsable", "-n1", "-o", "/dev/null", "-J", name, "-D", "/"]
        return self.ask(*fixed, *options, str(script), program="sbatch").strip(), out

    @contextmanager
    def fresh(self):
        self.job, self.out = self.submit()
        until(self.out.exists, what="the job runs")
        until(lambda: self.status(self.job)[0] == "RUNNING", what="the job is RUNNING")
        yield
        self.ask("--state=SUSPENDED", "--user=root", program="scancel")
        self.ask("--user=root", program="scancel")
        self.ask("--user=nobody", program="scancel")
        until(lambda: not self.ask("-h", program="squeue").strip(), what="the queue is empty")

    def status(self, job):
        return self.ask("-h", "-t", "all", "-j", job, "-o", "%T|%Q", program="squeue").strip().split("|")

    def params(self):
        return {"job": self.job}

    def settings(self):
        return {"conf": str(self.conf)}

    def state(self):
        return self.status(self.job)[0]

    def grows(self):
        before = self.out.stat().st_size
        try:
            until(lambda: self.out.stat().st_size != before, within_s=0.2)
        except AssertionError:
            return False
        return True

    def contained(self):
        return self.status(self.job)[0] == "SUSPENDED" and not self.grows()

    def someone_undoes(self):
        self.ask("resume", self.job)
        until(self.grows, what="the job goes on")
        return True

    def failures(self):
        @contextmanager
        def ended():
            self.ask(self.job, program="scancel")
            until(lambda: self.status(self.job)[0] == "CANCELLED", what="the job ends")
            yield

        return [
            Failure("no such job", "squeue shows", params={"job": "99999"}),
            Failure("it has ended", "squeue shows", during=ended),
            Failure("it ends after the check", "has ended meanwhile", during=ended, at_apply=True),
            Failure("no such program", "install it", settings={"bin_folder": "/nonexistent"}),
            Failure("no such configuration", "`conf`", settings={"conf": "/nonexistent/slurm.conf"}),
        ]


class CancelHarness(SuspendHarness):
    action = "slurm.cancel"

    def contained(self):
        return self.status(self.job)[0] == "CANCELLED" and not self.grows()

    def someone_undoes(self):
        return False  # a cancelled job is gone

    def failures(self):
        return [each for each in super().failures() if not each.at_apply]


class HoldUserHarness(SuspendHarness):
    action = "slurm.hold-user"

    @contextmanager
    def fresh(self):
        with super().fresh():
            self.held, _ = self.submit("--uid=nobody", "--hold")
            self.waiting = [self.submit("--uid=nobody")[0] for _ in range(2)]
            until(lambda: all(self.status(job)[0] == "PENDING" for job in self.waiting), what="the jobs wait")
            until(lambda: all(self.status(job)[1] != "0" for job in self.waiting), what="the jobs have a priority")
            yield

    def params(self):
        return {"user": "nobody"}

    def state(self):
        return [self.status(job)[1] == "0" for job in [self.held, *self.waiting]]

    def contained(self):
        return all(self.state()) and self.status(self.job)[0] == "RUNNING"

    def someone_undoes(self):
        self.waiting.append(self.submit("--uid=nobody")[0])
        until(lambda: self.status(self.waiting[-1])[1] != "0", what="the new job has a priority")
        return True

    def failures(self):
        return [
            Failure("root", "the cluster itself", params={"user": "root"}),
            Failure("no such user", "check the name", params={"user": "no-such-user"}),
            Failure("no such program", "install it", settings={"bin_folder": "/nonexistent"}),
            Failure("no such configuration", "`conf`", settings={"conf": "/nonexistent/slurm.conf"}),
        ]
