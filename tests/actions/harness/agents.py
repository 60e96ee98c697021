"""A real mosquitto, and an agent on it that isolates ports: a client of its own, as one at the edge would be."""

import json
from contextlib import ExitStack, contextmanager

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.actions.harness.base import Failure, Harness, silent
from tests.support.mosquitto import Mosquitto
from tests.support.wait import until


class Agent:
    """Does what it is told once for each id, and answers every request."""

    def __init__(self, port, name):
        self.done, self.ids, self.count = set(), {}, 0
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name)
        self.client.on_message = self.told
        self.name = name
        self.client.connect("127.0.0.1", port)
        self.client.subscribe(f"halon/agents/{name}/commands", 1)
        self.ready = False
        self.client.on_subscribe = lambda *_: setattr(self, "ready", True)
        self.client.loop_start()
        until(lambda: self.ready, what="the agent has subscribed")

    def told(self, client, data, message):
        request = json.loads(message.payload)
        wanted = (request["command"], json.dumps(request["arguments"], sort_keys=True))
        reply = {"request": request["request"]}
        if request["command"] == "melt":
            reply |= {"state": "failed" if request["ask"] == "do" else "not-in-force", "error": "no such part"}
        elif request["command"] == "blink":
            reply |= {"state": "failed", "error": "the port does not answer"}
        else:
            if request["ask"] == "do" and request["id"] not in self.ids:
                self.ids[request["id"]] = wanted
                self.done.add(wanted)
                self.count += 1
            reply["state"] = "in-force" if wanted in self.done else "not-in-force"
        topic = f"halon/agents/{self.name}/replies"
        client.publish(topic, b"not JSON", 1)
        client.publish(topic, json.dumps({"request": "of-another", "state": "in-force"}), 1)
        client.publish(topic, json.dumps(reply), 1)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


class PublishHarness(Harness):
    action = "mqtt.publish"
    stride = 2

    @contextmanager
    def serve(self):
        with Mosquitto(self.tmp) as self.broker, ExitStack() as stack:
            folder = self.tmp / "closed"
            folder.mkdir()
            self.closed = stack.enter_context(Mosquitto(folder, settings=["allow_anonymous false"]))
            self.agent = Agent(self.broker.port, "edge-7")
            stack.callback(self.agent.close)
            yield

    @contextmanager
    def fresh(self):
        self.agent.done, self.agent.ids, self.agent.count = set(), {}, 0
        yield

    def params(self):
        return {"agent": "edge-7", "command": "isolate", "arguments": {"port": "eth0"}}

    def settings(self):
        return {"port": self.broker.port, "commands": ["isolate", "melt", "blink"], "timeout": "5s"}

    def secrets(self):
        return {"broker": "a-wrong-password-of-the-broker"}

    def state(self):
        return sorted(self.agent.done)

    def contained(self):
        return ("isolate", '{"port": "eth0"}') in self.agent.done

    def effects(self):
        return self.agent.count

    def someone_undoes(self):
        self.agent.done.clear()
        self.agent.ids.clear()
        return True

    def failures(self):
        soon = {"timeout": "300ms"}
        login = {"port": self.closed.port, "user": "halon", "password_secret": "broker"}
        return [
            Failure("a command that is not allowed", "config.toml", params={"command": "reboot"}),
            Failure("nothing listens", "see whether it runs", settings={"port": 1}),
            Failure("nothing answers", "see whether it runs", settings={"port": silent(self)} | soon),
            Failure("a wrong password", "password_secret", settings=login),
            Failure("a secret that is not there", "add it to the secrets", settings={"password_secret": "none"}),
            Failure("no such agent", "did not reply", params={"agent": "edge-9"}, settings=soon),
            Failure("the agent can't do it", "no such part", params={"command": "melt"}),
            Failure("the agent can't tell", "does not answer", params={"command": "blink"}),
        ]
