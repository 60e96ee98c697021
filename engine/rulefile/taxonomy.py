"""The twelve built-in incident types with a line for people; rule files add their own with `[incident.ID]`."""

from engine.model import IncidentType

TAXONOMY: dict[IncidentType, str] = {
    IncidentType(name): description
    for name, description in {
        # training
        "data-poisoning": "training data were manipulated to bias the model or to open a backdoor in it",
        "supply-chain-compromise": "a dependency, a pretrained model or a data set came with harm inside",
        "intellectual-property-theft": "weights, architecture or training data are being taken",
        "training-data-breach": "training data were exposed to someone who may not see them",
        # inference
        "adversarial-attack": "inputs are crafted to make the model answer wrongly",
        "prompt-injection": "inputs are crafted to override the instructions of a language model",
        "model-extraction": "queries are made to copy the behaviour of the model",
        "privacy-violation": "answers disclose data of persons, or whether they were trained on",
        # operations
        "model-drift": "the model or its inputs have moved away from what it was validated on",
        "performance-anomaly": "quality, latency or use of resources is far from normal",
        "fairness": "outcomes differ between groups by more than is allowed",
        "availability": "the service or a part of it does not answer",
    }.items()
}
"""Id to description, in the order of the life of a model."""
